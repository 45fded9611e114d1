"""What all tests share."""

from handoff.startup import ready

import gc
import io
import logging
import os
import signal
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import botocore.session
import httpx
import pytest
from pytest_socket import socket_allow_hosts

from dev.simulated.account import STACK_NAME
from dev.simulated.clock import standing
from dev.template import shared_variables
from tests.support import certificates

ready()  # the collector: a function whose import fails does not start it

_HEADING = "what was tried"
_FAILURES = os.environ.pop("FAILURES", "")  # not for the runs of pytest that tests start

# Each function's folder is a root of modules of its own, as in Lambda.
sys.path[:0] = sorted(str(folder) for folder in (Path(__file__).parents[1] / "functions").iterdir())

# Powertools reads these when it is imported.
for name, value in shared_variables(STACK_NAME).items():
    os.environ.setdefault(name, value)


# A shell that starts this process in the background lets it ignore Ctrl-C, and with it the commands under test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Each boto3 session searches and parses the models of its services again, and tests make hundreds of sessions.
botocore.session.create_loader = cache(botocore.session.create_loader)
# Each client of httpx reads all certificates again.
httpx._transports.default.create_ssl_context = cache(httpx._transports.default.create_ssl_context)


def pytest_collection_finish():
    """Exclude what is loaded by now from garbage collections, which took a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_addoption(parser):
    """How far the experiments of tests/chaos go."""
    group = parser.getgroup("chaos")
    group.addoption("--chaos", choices=["sample", "full"], default="sample")
    group.addoption("--chaos-seed", type=int, default=1, help="what the random choices begin with")
    group.addoption("--experiment", help="for tests/chaos/rerun_experiment.py: an experiment, as its failure named it")
    group.addoption("--chaos-schedule", help="one order of calls for a test of interleavings, such as AABAT")


@pytest.fixture
def clock():
    """A clock that stands still until it is moved, for our own servers as well."""
    with standing() as clock:
        yield clock


@pytest.fixture(params=["freeze", "forward"], ids=["monotonic clock stops", "monotonic clock continues"])
def frozen_for(request, clock):
    """Let seconds pass while Lambda has frozen the environment. Both behaviors of the monotonic clock were seen."""
    return getattr(clock, request.param)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate for servers on loopback, with its key."""
    return certificates.self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def world(stack, clock):
    """A deployment of the test's ``stack`` with ten mugs, and two customers who can order: ada and bob."""
    from dev.simulated.world import World  # noqa: PLC0415  # it reads the environment set above

    world = World(stack, clock)
    world.stock()
    world.customer()
    world.customer("bob")
    return world


@pytest.fixture
def api(world):
    """The API with Ada's token."""
    return world.api()


@pytest.fixture
def logged():
    """Reads all that was logged so far."""
    from handoff.telemetry import logger  # noqa: PLC0415  # it reads the environment set above

    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logger.registered_formatter)
    logger.addHandler(handler)
    yield stream.getvalue
    logging.getLogger(logger.name).removeHandler(handler)


@pytest.fixture
def sends_signal():
    """Send this process a signal. If the program does not handle it, nothing happens."""
    ignored = {signum: signal.signal(signum, lambda *_: None) for signum in (signal.SIGTERM, signal.SIGHUP)}
    yield lambda signum: os.kill(os.getpid(), signum)
    for signum, handler in ignored.items():
        signal.signal(signum, handler)


@pytest.fixture(autouse=True)
def _closed_sockets():
    """Nothing leaves this machine."""
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


def _reason(report):
    crash = getattr(report.longrepr, "reprcrash", None)
    return (crash.message if crash else str(report.longrepr)).strip().replace("\n", "\n    ")[:600]


@pytest.fixture
def tally(record_property):
    """Counts what a test has tried, by name, for the summary at the end of the run."""
    counts = Counter()
    yield counts
    for name, count in counts.items():
        record_property(f"tried {name}", count)


def pytest_terminal_summary(terminalreporter):
    """Print what was tried, and list the failures in the file that FAILURES names."""
    if _FAILURES:
        Path(_FAILURES).parent.mkdir(parents=True, exist_ok=True)
        failed = [report for kind in ("failed", "error") for report in terminalreporter.getreports(kind)]
        Path(_FAILURES).write_text("".join(f"{report.nodeid}\n    {_reason(report)}\n" for report in failed))
    counts = Counter()
    for report in terminalreporter.getreports(""):  # those of the teardowns: a tally is complete only then
        for name, count in report.user_properties:
            if name.startswith("tried "):
                counts[name.removeprefix("tried ")] += count
    if counts:
        terminalreporter.section(_HEADING)
        for name, count in sorted(counts.items()):
            terminalreporter.write_line(f"{count:>9,}  {name}")
