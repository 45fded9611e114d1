"""`make run` when it is interrupted, when it is killed, and when MiniStack ends unexpectedly."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from dev.commands import main
from dev.local import records
from dev.local.stack import LocalStack, LocalStackError, running
from ops.polling import until

LONG = 120  # seconds that end a test that hangs; a busy machine needs tens of them
# The command, with MiniStack, but without a deployment and a console.
SERVE = """
import contextlib
from types import SimpleNamespace
from dev import run
from dev.local.stack import running

def serve(port, *, once):
    with running(port) as stack:
        print("MiniStack is up", flush=True)
        run._serve(stack, SimpleNamespace(api_url=stack.endpoint, options=""), SimpleNamespace(token="a-token"), "")
    return 0

run.beside = lambda *_: contextlib.nullcontext("")
run._run = serve
run.run()
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextlib.contextmanager
def started(*command: str, port: int, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start a Python process in another process group; kill the processes that it leaves."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "AWS_"))}
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=records.ROOT,
        env=inherited | {"PORT": str(port), "PYTHONUNBUFFERED": "1"} | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def read_until(process: subprocess.Popen[str], text: str) -> None:
    seen = ""
    while text not in seen:
        line = process.stdout.readline()
        assert line, f"{text!r} was not printed: {seen}"
        seen += line


def left_of(record: records.Record) -> list[object]:
    """Return the processes and files that are left of a stack."""
    processes = [each for each in psutil.process_iter() if str(record.temporary) in _environment(each).values()]
    return [*processes, *([record.temporary] if record.temporary.exists() else [])]


def _environment(process: psutil.Process) -> dict[str, str]:
    with contextlib.suppress(psutil.Error):
        return process.environ()
    return {}


def record_of(port: int) -> records.Record:
    record = records.read(port)
    assert record
    assert record.pid
    assert left_of(record)
    return record


def test_ctrl_c_during_the_imports_ends_without_a_stack_trace() -> None:
    # GIVEN a command that imports its modules, and prints each
    with started("-m", "dev", "run", port=free_port(), PYTHONPROFILEIMPORTTIME="1") as process:
        read_until(process, "click")
        # WHEN it is interrupted, THEN it is gone at once
        os.killpg(process.pid, signal.SIGINT)
        output = process.communicate(timeout=LONG)[0]
        assert process.returncode == -signal.SIGINT
    assert "Traceback" not in output


def test_ctrl_c_during_start_up_cleans_up() -> None:
    port = free_port()
    # GIVEN a stack that is being built
    with started("-m", "dev", "run", port=port) as process:
        read_until(process, "sam build")
        record = record_of(port)
        # WHEN Ctrl-C reaches it and SAM, THEN it removes everything, and says so
        os.killpg(process.pid, signal.SIGINT)
        output = process.communicate(timeout=LONG)[0]
        assert process.returncode == 130
    assert "Stopped. The local stack has been removed." in output
    assert "Traceback" not in output
    assert left_of(record) == []
    assert records.read(port) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_further_signals_do_not_interrupt_the_clean_up(number: signal.Signals) -> None:
    port = free_port()
    with started("-c", SERVE, port=port) as process:
        read_until(process, "MiniStack is up")
        record = record_of(port)
        # WHEN the signal is sent over and over while the command ends MiniStack
        ended = time.monotonic() + LONG
        while psutil.pid_exists(record.pid):
            assert time.monotonic() < ended
            process.send_signal(number)
            time.sleep(0.02)
        # THEN it removes everything, and says so
        output = process.communicate(timeout=LONG)[0]
        assert process.returncode == 130
    assert left_of(record) == []
    assert records.read(port) is None
    assert "Stopped. The local stack has been removed." in output
    assert "Traceback" not in output


@pytest.mark.parametrize("step", ["sam build", "Ctrl-C to stop"])
def test_a_dead_ministack_ends_the_command_with_an_error(step: str) -> None:
    port = free_port()
    command = ("-m", "dev", "run") if step == "sam build" else ("-c", SERVE)
    # GIVEN a command that builds, or that waits for Ctrl-C
    with started(*command, port=port, ONCE="") as process:
        read_until(process, step)
        record = record_of(port)
        until(LocalStack(port).is_up, bool, LONG)
        # WHEN MiniStack is killed, THEN the command ends within seconds, and says where the log is
        os.kill(record.pid, signal.SIGKILL)
        output = process.communicate(timeout=LONG)[0]
        assert process.returncode == 1
    log = records.STATE / f"ministack-{port}.log"
    assert f"Error: The local stack is gone: MiniStack ended unexpectedly (SIGKILL). Its log is {log}." in output
    assert "Traceback" not in output
    assert "running on http://127.0.0.1" in log.read_text()
    log.unlink()
    assert left_of(record) == []


def test_the_next_run_removes_what_a_killed_one_left() -> None:
    port = free_port()
    # GIVEN a command that was killed, and its stack, which still runs
    with started("-c", SERVE, port=port) as process:
        read_until(process, "MiniStack is up")
        record = record_of(port)
        process.kill()
        process.wait()
        assert len(left_of(record)) > 1
        # WHEN another run starts, on another port
        with running(free_port()):
            # THEN processes and files of the killed one are gone
            assert left_of(record) == []
            assert records.read(port) is None


def test_a_ministack_that_does_not_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "STATE", tmp_path)
    nothing = {"USE_SSL": "1", "MINISTACK_SSL_CERT": "/nothing", "MINISTACK_SSL_KEY": "/nothing"}
    with pytest.raises(LocalStackError, match="MiniStack did not start"), running(free_port(), variables=nothing):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["run", "drill", "fuzz", "console", "checkout", "fault-proxy"])
@pytest.mark.parametrize("port", ["70000", "-1", "abc", "9" * 5000])
def test_a_number_that_is_not_a_port_is_a_usage_error(command: str, port: str) -> None:
    result = CliRunner().invoke(main, [command, f"--port={port}"])
    assert result.exit_code == 2
    assert f"{port!r} is not a port number. Ports are " in result.stderr


@pytest.mark.parametrize("command", ["run", "drill", "fuzz"])
def test_a_variable_that_is_not_a_port_is_a_usage_error(command: str) -> None:
    result = CliRunner(env={"PORT": "70000"}).invoke(main, [command])
    assert result.exit_code == 2
    assert "(env var: 'PORT'): '70000' is not a port number. Ports are 1 to 65535." in result.stderr
