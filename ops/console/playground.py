"""Tools that a caller may add to the console: sample orders, faults to switch on, and poison messages."""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from nicegui import run

from ops.console.errors import ERRORS, describe
from ops.console.poller import any_page_open

KEPT = 3  # responses to show
_INTERVAL = 1.0  # seconds between two repeated orders


@dataclass(frozen=True)
class SampleOrder:
    """The API's response to a sample order; ``order_id`` is empty if none was placed."""

    status: int
    milliseconds: float
    order_id: str


class SampleOrders:
    """Places sample orders for all pages. ``place`` places one and blocks until the API responds."""

    def __init__(self, place: Callable[[], SampleOrder]) -> None:
        self.repeats = False  # place an order every second
        self.error = ""
        self.placed: deque[tuple[int, SampleOrder]] = deque(maxlen=KEPT)  # numbered, newest first
        self._place = place
        self._numbers = itertools.count(1)

    async def place(self) -> None:
        """Place one order. If that fails, set ``error``."""
        try:
            order = await run.io_bound(self._place)
        except ERRORS as error:
            self.error = describe(error)
        else:
            self.error = ""
            if order:  # None if the console shuts down meanwhile
                self.placed.appendleft((next(self._numbers), order))

    async def run(self) -> None:
        """Place an order every second while ``repeats`` is set and a page is open, until cancelled."""
        while True:
            if self.repeats and any_page_open():
                await self.place()
            self.repeats = self.repeats and any_page_open()
            await asyncio.sleep(_INTERVAL)


@dataclass(frozen=True)
class FaultSwitch:
    """The text beside a switch: the fault and its effect."""

    label: str
    hint: str


class FaultSwitches(Protocol):
    """Faults that can be switched on, by name. Methods block, and raise httpx.HTTPError on failure."""

    @property
    def known(self) -> Mapping[str, FaultSwitch]:
        """All switches."""

    def active(self) -> frozenset[str]:
        """Return the names of the switches that are on."""

    def turn(self, name: str, *, on: bool) -> None:
        """Turn a switch on or off. Idempotent."""

    def close(self) -> None:
        """Close connections."""


@dataclass(frozen=True)
class Playground:
    """The tools together.

    ``poison`` sends a message that a consumer rejects, so that it becomes a dead letter. It blocks, and raises one of
    `ops.console.errors.ERRORS` on failure.

    ``act`` confirms the payment of an order that waits for its customer, in the customer's place, and returns what came
    of it. It blocks, and is None if the payment provider is not the sandbox.
    """

    orders: SampleOrders
    faults: FaultSwitches
    poison: Callable[[str], object]
    act: Callable[[str], str] | None = None
