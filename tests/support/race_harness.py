"""A harness for races: a world with a process for every handler, cheap enough to run a thousand times."""

import random
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

import boto3

from dev.simulated.api import Api
from dev.simulated.functions import Functions
from dev.simulated.queues import Queues
from dev.simulated.wire import Call, Crash, Fault, crash_before
from dev.simulated.world import MUG, World
from ops.stock_shards import set_shards
from tests.support import invariants, scheduler
from tests.support.fingerprint import fingerprint
from tests.support.scheduler import Choose, Handler, Race, Turn

# A scenario prepares the world and yields a race. When no work is left, it receives what each handler returned, None if
# that handler died, and checks it.
Scenario = Callable[["RaceHarness"], Generator[Race, list[Any], None]]

_A_DAY = 86_400_000  # ms
_MOST_HANDLERS = 3


class RaceHarness:
    """A world with spare processes. They stay warm, so each run has another day, without earlier data."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._loaded: dict[str, int] = {}
        self._begun = world.clock.ms
        self._days = 0
        self._known: set[str] = set()
        settings = world.functions.settings
        self._spare = [Functions(world.stack, world.clock, settings) for _ in range(_MOST_HANDLERS)]
        self._used = 0

    def play(self, scenario: Scenario, choose: Choose) -> list[Turn]:
        """Run a scenario once in the chosen order, wait until no work is left, and check the invariants.

        All runs of a harness are of the same scenario.
        """
        self._reset()
        act = scenario(self)
        race = next(act)
        turns, results = scheduler.play(race, self.world.wire, self.world.clock, choose, self._matters)
        self.world.wire.heal()
        known = fingerprint(self.world, self._begun + self._days * _A_DAY, results)
        if known in self._known:
            return turns  # another order has led to the same state, which was checked
        self.world.until_quiet()
        created = [answer.json for answer in results if getattr(answer, "status", 0) == 201]
        placed = [document for document in created if "refundId" not in document]
        invariants.check_all(self.world, self._loaded, placed, mail_repeats=race.deaths)
        try:
            act.send(results)
        except StopIteration:
            self._known.add(known)
            return turns
        raise AssertionError("a scenario yields once")

    @property
    def outcomes(self) -> int:
        """The number of different outcomes of the runs."""
        return len(self._known)

    # --- preparation of a scenario ------------------------------------------------------------------------------------

    def stock(self, sku: str, available: int, **values: int) -> None:
        """Write a product with this stock."""
        self.world.stock(sku, available, **values)
        self._loaded[sku] = available

    def split(self, sku: str, shards: int) -> Handler:
        """Return a run of the command that gives a product this number of stock shards."""
        client = boto3.client("dynamodb")
        return lambda: set_shards(client, self.world.table("ProductsTable"), sku, shards)

    def strike(self, do: Handler, pattern: str, fault: Fault = crash_before) -> None:
        """Run an action with a fault at its first call of this name."""
        self.world.wire.on(pattern, fault)
        with suppress(Crash):
            do()
        self.world.wire.heal()

    # --- handlers, each in its own process ----------------------------------------------------------------------------

    def api(self, user: str = "ada", **claims: str) -> Api:
        """Return the API with a fresh copy of the catalog; the user's token has these claims as well."""
        api = Api(self._process("OrdersFunction"), {"sub": user, "token_use": "access", **claims})
        api.get("/catalog")
        return api

    def program(self, *scopes: str) -> Api:
        """Return the API as a program with these scopes sees it."""
        return self.world.program(*scopes).served_by(self._process("OrdersFunction"))

    def sweep(self) -> Handler:
        """Return a run of the sweeper."""
        functions = self._process("SweeperFunction")
        return lambda: functions.invoke("SweeperFunction", {})

    def queues(self, function: str) -> Queues:
        """Return the queues with one more process for one consumer."""
        return Queues(self.world.stack, self._process(function), self.world.client("sqs"))

    def _process(self, function: str) -> Functions:
        functions = self._spare[self._used]
        self._used += 1
        functions.module(function)
        return functions

    def _reset(self) -> None:
        self._days += 1
        self._used = 0
        self.world.clock.forward((self._begun + self._days * _A_DAY - self.world.clock.ms) / 1000)
        self.world.stack.empty()
        self.world.wire.reset()
        random.seed(0)  # for random pauses and shards
        self._loaded.clear()
        self.stock(MUG, 10)
        self.world.customer()
        self.world.customer("bob")

    def _matters(self, call: Call) -> bool:
        """Return False for queries of empty shards: they take no turn, because their time makes no difference."""
        if call.request.get("IndexName") != "unfinished":
            return True
        return bool(self.world.client("dynamodb").query(**call.request)["Count"])
