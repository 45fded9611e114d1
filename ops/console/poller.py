"""Reads a deployment every few seconds, once for all open pages."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from nicegui import Client, Event, run

from handoff.clock import now_ms
from ops.console.errors import ERRORS, describe
from ops.console.figures import Figures

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """The newest figures, None before the first read, and the error of the last read; empty if it succeeded."""

    figures: Figures | None = None
    error: str = ""


class Poller:
    """Calls ``read`` every ``interval`` seconds while a page is open: on AWS, each read costs money."""

    def __init__(self, read: Callable[[], Figures], interval: float) -> None:
        self.interval = interval
        self.snapshot = Snapshot()
        self.changed = Event[[]]()
        self._read = read
        self._requested = asyncio.Event()

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
        try:
            self.snapshot = Snapshot(await run.io_bound(self._read))
        except ERRORS as error:
            self.snapshot = Snapshot(self.snapshot.figures, describe(error))
        except Exception as error:  # a bug in the console: the page shows it, and polling continues
            _logger.exception("Reading the deployment failed")
            self.snapshot = Snapshot(self.snapshot.figures, f"internal console error {type(error).__name__}")
        self.changed.emit()

    async def _pause(self) -> None:
        """Wait until the interval is over, a poll is requested, or another page is opened."""
        until = now_ms() + self.interval * 1000
        before = any_page_open()
        while now_ms() < until and not self._requested.is_set() and any_page_open() <= before:
            await asyncio.sleep(0.1)
        self._requested.clear()


def any_page_open() -> bool:
    """Return whether a browser shows the console."""
    return any(client.has_socket_connection for client in Client.instances.values())
