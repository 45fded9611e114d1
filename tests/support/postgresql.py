"""A PostgreSQL server of its own for the tests, where its programs are installed."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, None if it is not installed. Debian keeps them outside of PATH."""
    found = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return Path(found).parent if found else debian[-1].parent if debian else None


@contextmanager
def server(bin_folder: Path) -> Iterator[str]:
    """Run a server while the context lasts; yield the SQLAlchemy URL of an empty database."""
    with tempfile.TemporaryDirectory(prefix="handoff-postgresql-") as temporary:
        data = Path(temporary) / "data"
        if os.geteuid() == 0:
            shutil.chown(temporary, _UNPRIVILEGED)
        _run(bin_folder / "initdb", "-D", data, "-U", "shop", "-A", "trust", "-E", "UTF8", "--no-sync")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = f"-h 127.0.0.1 -p {port} -c unix_socket_directories='' -c fsync=off"
        control = bin_folder / "pg_ctl"
        _run(control, "-D", data, "-l", Path(temporary) / "log", "-o", options, "-w", "-t", "120", "start")
        try:
            yield f"postgresql+psycopg://shop@127.0.0.1:{port}/postgres"
        finally:
            _run(control, "-D", data, "-m", "immediate", "-w", "stop")


def _run(*command: str | Path) -> None:
    user = _UNPRIVILEGED if os.geteuid() == 0 else None
    done = subprocess.run(
        command,
        user=user,
        cwd="/",
        env={"LC_ALL": "C", "PATH": os.defpath},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command[0]} failed: {done.stderr}"
