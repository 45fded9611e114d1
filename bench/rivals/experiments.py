"""Place one order with one fault, let the system recover, and check the invariants."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from bench.rivals.relay import Relay
from bench.rivals.shop import KEY, UNITS, new_world, request
from bench.scenarios import ADDRESS, USER, sku
from dev import invariants
from dev.invariants import Violation
from dev.simulated import wire
from dev.simulated.clock import Clock, standing
from dev.simulated.stack import SimulatedStack
from dev.simulated.wire import Call, Crash, Deliver, Fault
from dev.simulated.world import World, body
from handoff import aws

CHECKPOINT = "CheckpointDurableExecution"
_FAULTS: dict[str, Fault] = {
    "answer lost": wire.lose_response,
    "crash before": wire.crash_before,
    "crash after": wire.crash_after,
}
_SWEEPS = 30  # minutes: longer than a PENDING order lives
_RETRY_AFTER = 30  # seconds after which a customer asks again: Handoff's lease is 25 s


class Rival(Protocol):
    """One way to place an order, in one world."""

    def place(self) -> dict[str, Any]:
        """Send the customer's request; return the answer with its status."""

    def publish(self) -> None:
        """Do what follows an answered request at once."""

    def recover(self) -> None:
        """Let time pass until nothing happens any more."""


@dataclass(frozen=True)
class Way:
    """A way to place an order: how to make it, and its clock. ``waits``: a caller gets an answer after every fault."""

    name: str
    make: Callable[[World, str, int], Rival]
    clock: Callable[[], AbstractContextManager[Clock]] = standing
    waits: bool = False


class Handoff:
    """Handoff itself: its API function and its sweeper."""

    def __init__(self, world: World, token: str, lines: int) -> None:
        self._world = world
        self._body = body(*((sku(n), 1) for n in range(lines)), token=token, shippingAddress=ADDRESS)

    def place(self) -> dict[str, Any]:
        """Send the request to the API."""
        answer = self._world.api(USER).place(self._body, key=KEY)
        return {**answer.json, "status": answer.status}

    def publish(self) -> None:
        """Do nothing: the request has published the event."""

    def recover(self) -> None:
        """Run the sweeper every minute."""
        sweep(self._world)


class Relayed:
    """Handoff's steps with a relay from the stream, and the sweeper for PENDING orders."""

    def __init__(self, world: World, token: str, lines: int) -> None:
        self._world = world
        self._relay = Relay(world)
        self._request = request(lines, token)

    def place(self) -> dict[str, Any]:
        """Send the request to the API."""
        return self._relay.place(self._request)

    def publish(self) -> None:
        """Poll the stream."""
        self._relay.restart()
        self._relay.poll()

    def recover(self) -> None:
        """Run the sweeper every minute, and poll the stream."""
        sweep(self._world)
        self._relay.poll()


def sweep(world: World) -> None:
    """Run the sweeper every minute until no order is unfinished."""
    for _ in range(_SWEEPS):
        world.clock.forward(60)
        with suppress(Crash, *aws.ERRORS):
            world.sweep()
        if not any("unfinished" in order for order in world.items("OrdersTable")):
            return


WAYS = (Way("Handoff", Handoff), Way("relay from DynamoDB Streams", Relayed))


@dataclass(frozen=True)
class Strike:
    """A fault at the nth call with this name; of checkpoints, those that save a step's result count."""

    kind: str
    call: str
    nth: int

    def plan(self, world: World, moment: list[int]) -> None:
        """Plan the fault, which adds its time to ``moment``."""

        def fault(call: Call, deliver: Deliver) -> Any:
            moment.append(world.clock.ms)
            return _FAULTS[self.kind](call, deliver)

        world.wire.on(self.call, fault, nth=self.nth, where=_counts)


@dataclass(frozen=True)
class Outcome:
    """The outcome of an order. ``event_after`` is the seconds from the fault to the event's publication."""

    strike: Strike | None
    status: int
    placed: bool
    violations: Sequence[Violation]
    event_after: float | None
    calls: Sequence[Call] = field(repr=False)


def run(stack: SimulatedStack, way: Way, strike: Strike | None, *, token: str, asks_again: bool) -> Outcome:
    """Place one order of one line."""
    random.seed(0)
    with way.clock() as clock:
        world = new_world(stack, clock, lines=1)
        rival = way.make(world, token, 1)
        moment: list[int] = []
        published = _note_events(world)
        if strike:
            strike.plan(world, moment)
        answer = _ask(rival, world, again=asks_again)
        rival.publish()
        calls = list(world.wire.calls)  # before the sweeper's
        rival.recover()
        assert bool(moment) == bool(strike), f"{strike} struck nothing"  # noqa: S101
        later = [at - moment[0] for call, at in published if call.status == 200 and moment and at >= moment[0]]
        return Outcome(
            strike=strike,
            status=answer["status"],
            placed=any(order["status"] == "PLACED" for order in world.items("OrdersTable")),
            violations=violations(world, [answer] if answer["status"] == 201 else []),
            event_after=later[0] / 1000 if later else None,
            calls=calls,
        )


def strikes(undisturbed: Outcome) -> Iterator[Strike]:
    """Yield every single fault of a run."""
    seen: dict[str, int] = {}
    for call in filter(_counts, undisturbed.calls):
        seen[call.name] = seen.get(call.name, 0) + 1
        yield from (Strike(kind, call.name, seen[call.name]) for kind in _FAULTS)


def violations(world: World, answered: Sequence[dict[str, Any]]) -> list[Violation]:
    """Return the violated invariants of stock, money, histories and events. A declined payment holds nothing."""
    found = world.snapshot()
    snapshot = replace(found, ledger=[entry for entry in found.ledger if entry.get("state") != "declined"])
    loaded = {product["sku"]: UNITS for product in snapshot.products}
    return [
        *invariants.nothing_is_unfinished(snapshot),
        *invariants.histories_are_sound(snapshot),
        *invariants.stock_adds_up(snapshot, loaded),
        *invariants.money_has_owners(snapshot),
        *invariants.every_event_is_published(snapshot),
        *invariants.answers_are_kept(snapshot, answered),
    ]


def _ask(rival: Rival, world: World, *, again: bool) -> dict[str, Any]:
    """Send the request, and again under the same key while there is no definite answer."""
    answer: dict[str, Any] = {"status": 500}
    for nth in range(3 if again else 1):
        if nth:
            world.clock.forward(_RETRY_AFTER)
        with suppress(Crash):
            answer = rival.place()
        if answer["status"] < 409:
            break
    return answer


def saves_result(call: Call) -> bool:
    """Return whether a checkpoint saves the result of a step: until then, a crash repeats the step."""
    return any(update["Action"] == "SUCCEED" for update in call.request["Updates"])


def _counts(call: Call) -> bool:
    return call.operation != CHECKPOINT or saves_result(call)


def _note_events(world: World) -> list[tuple[Call, int]]:
    """Return the calls that send events, with their times; the world adds to it."""
    noted: list[tuple[Call, int]] = []

    def note(call: Call) -> None:
        if call.operation == "PutEvents":
            noted.append((call, world.clock.ms))

    world.wire.gate = note
    return noted
