"""Records of the running local stacks, one file for each port. With them, a run removes what a killed one has left."""

import contextlib
import logging
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
from pydantic import BaseModel, ValidationError

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".local"
FOLDER_PREFIX = "handoff-"  # of a stack's temporary folder
_TERM_SECONDS = 3  # that processes have to end before they are killed

_logger = logging.getLogger(__name__)


class Record(BaseModel):
    """A stack: the process that started it, MiniStack's process, and the folder of its temporary files."""

    owner: int  # process id
    begun: float | None = None  # when the owner was created: after a reboot another process may have its id
    pid: int | None = None  # MiniStack's
    temporary: Path
    variables: dict[str, str] = {}  # that all functions inherit

    @property
    def in_use(self) -> bool:
        """Whether the process that started the stack is still running."""
        try:
            return psutil.Process(self.owner).create_time() == self.begun
        except psutil.NoSuchProcess:
            return False


def read(port: int) -> Record | None:
    """Return the record of the stack on a port, None without one. One that can't be read is logged and ignored."""
    file = _file(port)
    try:
        return Record.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        _logger.warning(
            "%s can't be read, so it is ignored. If a stack still runs on that port, end its process.", file
        )
        return None


def write(port: int, record: Record) -> None:
    """Replace the record of the stack on a port as a whole: another process may be reading it."""
    file = _file(port)
    file.parent.mkdir(exist_ok=True)
    whole = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        whole.write_text(record.model_dump_json())
        whole.replace(file)
    finally:
        whole.unlink(missing_ok=True)


def remove(port: int) -> None:
    """Remove the record and the token of the stack on a port, if there are any."""
    token_file(port).unlink(missing_ok=True)
    _file(port).unlink(missing_ok=True)


def token_file(port: int) -> Path:
    """Return the file with the sample customer's token: each stack has its own user pool."""
    return STATE / f"token-{port}"


def end_abandoned() -> None:
    """Remove the stacks, on all ports, of processes that were killed before they could clean up."""
    for port in _ports():
        record = read(port)
        if record is not None and record.in_use:
            continue
        if record is not None:
            _end_abandoned(record)
        remove(port)


def _end_abandoned(record: Record) -> None:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        if record.pid and "ministack" in " ".join(psutil.Process(record.pid).cmdline()):
            end_processes(record.pid)
    if record.temporary.name.startswith(FOLDER_PREFIX):  # never another folder, whatever the record says
        remove_folder(record.temporary)


def end_processes(pid: int) -> None:
    """Terminate a process and all that it started; return when they have ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        main = psutil.Process(pid)
        family = [*main.children(recursive=True), main]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(family, timeout=_TERM_SECONDS)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=_TERM_SECONDS)


def remove_folder(folder: Path) -> None:
    """Remove a stack's temporary folder, or log that this failed."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        _logger.warning("%s could not be removed completely. Remove it yourself.", folder)


def _file(port: int) -> Path:
    return STATE / f"stack-{port}.json"


def _ports() -> Iterator[int]:
    for file in sorted(STATE.glob("stack-*.json")):
        name = file.stem.removeprefix("stack-")
        if name.isdecimal():
            yield int(name)
