"""Reads a deployment every few seconds, once for all open pages."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import httpx
from botocore.exceptions import BotoCoreError
from nicegui import Client, Event, run

from handoff.clock import now_ms
from ops.console.errors import ERRORS, describe
from ops.console.figures import Figures
from ops.console.formats import clock

_NAVIGATION = 5_000  # ms that a browser takes at most from one page to the next
_MISSED_READS = 3
_PATIENCE = 10.0  # seconds, at most: on AWS, three reads are 90 s apart
_NO_ANSWER = (BotoCoreError, httpx.TransportError)  # the other errors are answers
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """The newest figures, None before the first read, and the error of the last read; empty if it succeeded.

    ``silent_since``: when the deployment last answered (epoch ms), if it does not answer now.
    """

    figures: Figures | None = None
    error: str = ""
    silent_since: int | None = None

    @property
    def state(self) -> str:
        """How current the figures are."""
        if self.silent_since is not None:
            return f"no answer since {clock(self.silent_since)}"
        if self.figures is None:
            return "no data" if self.error else "loading ..."
        return f"{'stale' if self.error else 'live'}, {clock(self.figures.at)}"


class Poller:
    """Calls ``read`` every ``interval`` seconds while a page is open: on AWS, each read costs money."""

    def __init__(self, read: Callable[[], Figures], interval: float) -> None:
        self.interval = interval
        self.snapshot = Snapshot()
        self.changed = Event[[]]()
        self._read = read
        self._requested = asyncio.Event()
        self._answered_at = now_ms()  # when the last read succeeded, or the first one began

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            if any_page_open():
                await self._poll()
            else:
                self.snapshot = Snapshot()  # a page that is opened later must not show old figures
            await self._pause()

    def poll_now(self) -> None:
        """Poll without waiting for the interval, because something was changed."""
        self._requested.set()

    async def _poll(self) -> None:
        patience = min(_MISSED_READS * self.interval, _PATIENCE)
        if self.snapshot == Snapshot():
            self._answered_at = now_ms()
        late = asyncio.get_running_loop().call_later(patience, self._show_silence)
        try:
            figures = await run.io_bound(self._read)
            self._answered_at = now_ms()
            self.snapshot = Snapshot(figures)
        except ERRORS as error:
            since = self.snapshot.silent_since if isinstance(error, _NO_ANSWER) else None
            self.snapshot = Snapshot(self.snapshot.figures, describe(error), since)
        except Exception as error:  # a bug in the console: the page shows it, and polling continues
            _logger.exception("Reading the deployment failed")
            self.snapshot = Snapshot(self.snapshot.figures, f"internal console error {type(error).__name__}")
        finally:
            late.cancel()
        self.changed.emit()

    def _show_silence(self) -> None:
        """Show that a read gets no answer: botocore reports it after its last try, a minute later."""
        self.snapshot = replace(self.snapshot, silent_since=self._answered_at)
        self.changed.emit()

    async def _pause(self) -> None:
        """Wait until the interval is over, a poll is requested, or another page is opened."""
        until = now_ms() + self.interval * 1000
        before = any_page_open()
        while now_ms() < until and not self._requested.is_set() and any_page_open() <= before:
            await asyncio.sleep(0.1)
        self._requested.clear()


class _Pages:
    """Whether a browser shows the console. A page that is left for another one of the console counts as open."""

    def __init__(self) -> None:
        self._open_at = 0  # epoch milliseconds

    def any_open(self) -> bool:
        """Return whether a page is open, or was moments ago."""
        if any(client.has_socket_connection for client in Client.instances.values()):
            self._open_at = now_ms()
        return now_ms() - self._open_at < _NAVIGATION


any_page_open = _Pages().any_open
