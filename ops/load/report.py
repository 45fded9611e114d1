"""The table of a load test for people, and its document for scripts."""

import os
import platform
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from rich.table import Table

from ops.load.figures import percent, percentiles
from ops.load.measure import Level, all_answers
from ops.load.run import LoadTest
from ops.load.settings import Settings
from ops.load.users import PLACED
from ops.stack.deployment import Deployment

_TITLES = ("USERS", "ORDERS/S", "P50 (MS)", "P95", "P99", "AVAILABILITY", "BACKLOG", "LAG P95 (S)", "DRAINED (S)")
_CONNECTIONS = 3


def table(levels: Sequence[Level], settings: Settings) -> Table:
    """Return the table: a row for each number of users."""
    shown = Table(*_TITLES, box=None)
    for column in shown.columns:
        column.justify = "right"
    for level in levels:
        times = (f"{time:,.0f}" for time in percentiles(level.placed))
        lag = f"{level.lag.p95 / 1000:.1f} {level.lag.consumer}" if level.lag else "-"
        drained = f"> {settings.within:.0f}" if level.drained is None else f"{level.drained:.0f}"
        shown.add_row(
            str(level.users),
            f"{level.rate:.2f}",
            *times,
            percent(level.availability),
            str(level.backlog),
            lag,
            drained,
        )
    return shown


def notes(test: LoadTest, client: dict[str, Any]) -> list[str]:
    """Return what the figures mean, and where they were measured."""
    settings, counts = test.settings, all_answers(test.levels)
    where = f"{client['host']} ({client['cores']} cores)"
    if test.stage.deployment.endpoint:
        network = "The stack ran on the same machine and shared its cores."
    elif client["connectMs"] is None:
        network = "Times include the network."
    else:
        network = f"Times include the network: a TCP connection to the API took {client['connectMs']:.0f} ms."
    lines = [
        f"The users ran on {where}. {network}",
        f"The first {settings.warm_up:g} s of each row are not in the figures. Percentiles are those of placed orders.",
        "Backlog: the most events that were due and not handled, in all queues.",
        "Lag: from an event to its effect, by the slowest consumer. Drained: from the last answer to no backlog.",
    ]
    failed = ", ".join(f"{count} x {status}" for status, count in counts.items() if status != PLACED)
    return [*lines, f"Answers other than 201: {failed}."] if failed else lines


def document(test: LoadTest, client: dict[str, Any]) -> dict[str, Any]:
    """Return everything for scripts. Times are in milliseconds, unless a name says seconds."""
    deployment = test.stage.deployment
    return {
        "stack": deployment.stack,
        "stackId": deployment.stack_id,
        "api": deployment.api_url,
        "client": client,
        "settings": {name: value for name, value in asdict(test.settings).items() if name != "payment_token"},
        "levels": [_level(level) for level in test.levels],
        "checks": [{"what": check.what, "seen": check.seen, "passed": check.passed} for check in test.checks],
        "consistent": test.is_consistent,
        "interrupted": test.interrupt is not None,
    }


def _level(level: Level) -> dict[str, Any]:
    p50, p95, p99 = percentiles(level.placed) if level.placed else (None, None, None)
    return {
        "users": level.users,
        "seconds": level.seconds,
        "answers": level.counts,
        "ordersPerSecond": level.rate,
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "availability": level.availability if level.answers else None,
        "backlogMax": level.backlog,
        "lagP95": level.lag and asdict(level.lag),
        "drainedSeconds": level.drained,
    }


def client_of(deployment: Deployment) -> dict[str, Any]:
    """Return where the users run, and how long a TCP connection to the API takes; None if it is refused."""
    parts = urlsplit(deployment.api_url)
    address = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    times = []
    with suppress(OSError):  # such as behind a proxy
        for _ in range(_CONNECTIONS):
            began = time.perf_counter()
            socket.create_connection(address, timeout=5).close()
            times.append((time.perf_counter() - began) * 1000)
    return {"host": platform.node(), "cores": os.cpu_count(), "connectMs": median(times) if times else None}
