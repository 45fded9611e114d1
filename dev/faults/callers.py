"""The processes at the other end of a connection on this machine."""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress

import psutil

Address = tuple[str, int]  # of a socket: IP address and port


def callers(caller: Address, server: Address) -> list[int]:
    """Return the ids of the processes, except this one, that hold the connection from ``caller`` to ``server``.

    Both ends identify a connection: Linux gives the same local port to several connections with different servers.
    """
    return [
        found.pid
        for found in psutil.net_connections("tcp")
        if (found.laddr, found.raddr) == (caller, server) and found.pid not in (None, os.getpid())
    ]


def kill(processes: Iterable[int]) -> None:
    """Kill processes with SIGKILL. One that has ended is skipped."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
