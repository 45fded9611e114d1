"""The one watch that all pages of the console share: what it has seen last, and what kept it from looking."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from nicegui import Client, Event, run

from handoff import aws
from handoff.clock import now_ms
from ops.console.figures import Figures
from ops.stack.cloudwatch import MetricsError

_logger = logging.getLogger(__name__)
# What looking at a deployment raises when it is refused, or not answered.
ERRORS = (*aws.ERRORS, MetricsError, httpx.HTTPError)


@dataclass(frozen=True)
class Sight:
    """What was seen last, None if nothing was yet, and why it is no newer; empty if it is."""

    figures: Figures | None = None
    trouble: str = ""


class Watch:
    """Looks at a deployment every few seconds, for as long as any page is open: on AWS, each look costs."""

    def __init__(self, look: Callable[[], Figures], every: float) -> None:
        self.every = every
        self.sight = Sight()
        self.changed = Event[[]]()
        self._look = look
        self._again = asyncio.Event()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            if anybody():
                await self._glance()
            else:
                self.sight = Sight()  # what was seen long ago is not shown to whoever comes next
            await self._pause()

    def look_again(self) -> None:
        """Look now: something was changed."""
        self._again.set()

    async def _glance(self) -> None:
        try:
            self.sight = Sight(await run.io_bound(self._look))
        except ERRORS as error:
            self.sight = Sight(self.sight.figures, said(error))
        except Exception as error:  # a mistake of ours: the page says so, and the watch goes on
            _logger.exception("A look failed")
            self.sight = Sight(self.sight.figures, f"the console's own error, {type(error).__name__}")
        self.changed.emit()

    async def _pause(self) -> None:
        """Wait until it is time, or somebody asks, or the first page is opened."""
        until = now_ms() + self.every * 1000
        before = anybody()
        while now_ms() < until and not self._again.is_set() and anybody() <= before:
            await asyncio.sleep(0.1)
        self._again.clear()


def anybody() -> bool:
    """Whether any page is open."""
    return any(client.has_socket_connection for client in Client.instances.values())


def said(error: Exception) -> str:
    """What went wrong, in a line."""
    return " ".join(str(error).split()) or type(error).__name__
