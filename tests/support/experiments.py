"""Run a scenario with faults at chosen calls, let the system recover, and check the invariants."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.awsrequest import AWSResponse

from dev.simulated import wire
from dev.simulated.clock import standing
from dev.simulated.stack import SimulatedStack
from dev.simulated.wire import Call, Deliver, Fault
from dev.simulated.world import World
from tests.support import invariants, scenarios, stripe_intents, stripe_server
from tests.support.scenarios import LOADED, Client, Scenario
from tests.support.stripe_server import StripeServer

_TRIES = 2  # of the SDK, in `handoff.aws.config`
_CONFLICT_TRIES = 8  # of `handoff.aws.conflict_pauses`
_THROTTLED = {
    "dynamodb": wire.refuse("ProvisionedThroughputExceededException"),
    "eventbridge": wire.refuse("ThrottlingException"),
    "sqs": wire.refuse("RequestThrottled"),
    "sesv2": wire.refuse("TooManyRequestsException", 429),
    "secrets-manager": wire.refuse("ThrottlingException"),
}
_STRIPES = {
    "tok_approve": stripe_server.VISA,
    "tok_decline": stripe_server.DECLINED,
    "tok_refund_pending": stripe_server.PENDING_REFUND,
    "tok_action": stripe_intents.NEEDS_CUSTOMER,
    "tok_action_fail": stripe_intents.DECLINED_LATER,
    "tok_action_abandon": stripe_intents.NEEDS_CUSTOMER,
}
_WRITES = {"PutItem", "UpdateItem", "TransactWriteItems"}


def _throttle(call: Call, deliver: Deliver) -> AWSResponse:
    return _THROTTLED[call.service](call, deliver)


def _writes(call: Call) -> bool:
    return call.operation in _WRITES


def _any(call: Call) -> bool:
    return True


@dataclass(frozen=True)
class Kind:
    """A kind of fault of a call; ``times`` includes its retries."""

    name: str
    fault: Fault
    times: int = 1
    fits: Callable[[Call], bool] = _any


KINDS = [
    Kind("crash before", wire.crash_before),
    Kind("crash after", wire.crash_after),
    Kind("answer lost", wire.lose_response),
    Kind("answers of all tries lost", wire.lose_response, _TRIES),
    Kind("timed out", wire.lose_request, _TRIES),
    Kind("throttled", _throttle, _TRIES),
    Kind("out of order", wire.refuse("InternalServerError", 500), _TRIES),
    Kind("conflict", wire.conflict, 1, _writes),
    Kind("conflicts without end", wire.conflict, _CONFLICT_TRIES, _writes),
    Kind("entry refused", wire.fail_first_entry, 1, lambda call: call.operation == "PutEvents"),
    Kind("keys left unread", wire.leave_some, 1, lambda call: call.operation == "BatchGetItem"),
]

# For pairs, the kinds with different effects: a crash before a call equals one after the previous call, and one kind of
# rejection stands for all.
PAIRED = [kind for kind in KINDS if kind.name not in {"crash before", "throttled", "out of order"}]


@dataclass(frozen=True)
class Strike:
    """A fault at the nth call (from 1) of a scenario."""

    nth: int
    kind: Kind

    def __str__(self) -> str:
        return f"{self.kind.name} at call {self.nth}"


@dataclass(frozen=True)
class Experiment:
    """The scenario, its faults, and every call with the function that made it."""

    scenario: Scenario
    strikes: tuple[Strike, ...]
    calls: list[Call]

    def further(self, kinds: Sequence[Kind] = KINDS) -> Iterator[Strike]:
        """Yield every possible fault of a call after the last faulty one."""
        last = max((strike.nth for strike in self.strikes), default=0)
        for nth, call in enumerate(self.calls[last:], start=last + 1):
            yield from (Strike(nth, kind) for kind in kinds if kind.fits(call))


def run(stack: SimulatedStack, scenario: Scenario, *strikes: Strike, stripe: StripeServer | None = None) -> Experiment:
    """Run an experiment and check the invariants. Without ``stripe`` the sandbox is the payment provider."""
    random.seed(0)
    with standing() as clock:
        world = World(stack, clock, stripe, scenario.settings)
        tokens = _STRIPES if stripe else {}
        earlier = Client(world, tokens=tokens)
        scenarios.prepare(earlier, scenario)
        start = len(world.wire.calls)
        struck: list[str] = []
        for strike in strikes:
            fault = _recording(world, struck, strike.kind.fault)
            world.wire.on("*", fault, nth=strike.nth, times=strike.kind.times, retries=True)
        client = Client(world, scenario.patient, tokens)
        try:
            scenario.act(client)
            world.until_quiet()
            calls = world.wire.calls[start:]
            world.wire.heal()
            assert len(struck) >= len(strikes), f"the faults struck only these functions: {struck}"
            scenario.expect(client)
            placed = [*earlier.placed, *client.placed]
            invariants.check_all(world, LOADED, placed, mail_repeats=struck.count("EmailsFunction"))
        except Exception as error:
            again = f"{scenario.name}: {', '.join(map(str, strikes))}"
            error.add_note(f'Again: pytest tests/chaos/rerun_experiment.py --experiment "{again}"')
            raise
        return Experiment(scenario, strikes, calls)


def parse(strike: str) -> Strike:
    """Return the strike that a text describes."""
    name, _, nth = strike.partition(" at call ")
    return Strike(int(nth), next(kind for kind in KINDS if kind.name == name))


def _recording(world: World, struck: list[str], fault: Fault) -> Fault:
    """Return the fault, which records the function that it strikes."""

    def recorded(call: Call, deliver: Deliver) -> Any:
        struck.append(world.functions.running[-1])
        return fault(call, deliver)

    return recorded
