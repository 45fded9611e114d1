"""The processes at the other end of a connection on this machine."""

import os
import signal
from contextlib import suppress

import psutil

Address = tuple[str, int]  # of a socket: IP address and port


def kill_callers(caller: Address, server: Address) -> list[int]:
    """Kill the processes, except this one, that hold the connection from ``caller`` to ``server``; return their ids.

    Both ends identify a connection: Linux gives the same local port to several connections with different servers.
    """
    killed = []
    for found in psutil.net_connections("tcp"):
        if (found.laddr, found.raddr) == (caller, server) and found.pid not in (None, os.getpid()):
            killed.append(found.pid)
            with suppress(ProcessLookupError):
                os.kill(found.pid, signal.SIGKILL)
    return killed
