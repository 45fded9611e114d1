"""The outages: what breaks in each drill. Everything breaks at the network, in the fault proxy."""

import itertools
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from dev.drills.stack import WORKERS, DrillStack
from dev.faults.rules import Planned, Rule
from dev.invariants import ON_ITS_WAY, Harm, Violation
from handoff.clock import now_ms
from ops.stack.deployment import Deployment
from shop.events import EVENTS, DetailType, OrderData

Fault = Callable[[DrillStack], AbstractContextManager[list[Planned]]]


@dataclass(frozen=True)
class Observation:
    """The observations during an outage, and the violations of the conditions that must hold during it."""

    seen: str = ""
    violations: tuple[Violation, ...] = ()


@dataclass(frozen=True)
class Drill:
    """An outage, its duration in seconds, and the reasons of dead letters that no redrive can help.

    ``watch`` is called at the end of the outage, before the fault is removed.
    """

    what: str
    seconds: float
    fault: Fault
    permanent: tuple[str, ...] = ()
    watch: Callable[[DrillStack], Observation] = lambda _: Observation()


def _rules(make: Callable[[Deployment], Sequence[Rule]]) -> Fault:
    """Return the fault made of these rules of the proxy, given a deployment."""
    return lambda stack: stack.proxy.faults.in_force(*make(stack.deployment))


def _no_mail(_deployment: Deployment) -> Sequence[Rule]:
    return [Rule(call="sesv2.SendEmail", refuse="ServiceUnavailable", status=503)]


def _slow_analytics(deployment: Deployment) -> Sequence[Rule]:
    return [Rule(call="dynamodb.TransactWriteItems", table=deployment.resource("SalesTable"), delay=3_000)]


def _no_bus(_deployment: Deployment) -> Sequence[Rule]:
    return [
        Rule(call="eventbridge.PutEvents", share=0.5, refuse="InternalException", status=500),
        Rule(call="eventbridge.PutEvents", delay=5_000, drop="before"),
    ]


def _silent_provider(deployment: Deployment) -> Sequence[Rule]:
    ledger = deployment.resource("SandboxTable")
    return [
        Rule(table=ledger, share=0.5, delay=6_000, drop="before"),
        Rule(table=ledger, delay=6_000, drop="after"),
    ]


def _no_capture(deployment: Deployment) -> Sequence[Rule]:
    """Capturing and voiding read the hold first, and then write in a transaction. Authorizing puts one item."""
    ledger = deployment.resource("SandboxTable")
    return [
        Rule(call="dynamodb.BatchGetItem", table=ledger, share=0.5, refuse="ServiceUnavailable", status=503),
        Rule(call="dynamodb.BatchGetItem", table=ledger, drop="before"),
        Rule(call="dynamodb.TransactWriteItems", table=ledger, drop="before"),
    ]


def _packed_and_not_mailed(stack: DrillStack) -> Observation:
    """Check that packing continues without the provider, and that no mail says that an unpaid order is on its way."""
    snapshot = stack.snapshot()  # reads the mails before the orders
    unpaid = {
        order["orderId"]
        for order in snapshot.orders
        if order["status"] == "PREPARED" and order["payment"]["state"] == "authorised"
    }
    released = {shipment["orderId"] for shipment in snapshot.shipments if shipment["state"] == "released"}
    mailed = {mail.about for mail in snapshot.mails if mail.subject == ON_ITS_WAY}
    return Observation(
        f"{len(unpaid)} orders packed and not paid",
        (
            *(() if unpaid else (Violation(Harm.WRONG, "no order was packed while no payment could be captured"),)),
            *(Violation(Harm.WRONG, f"{one} was released before its payment") for one in sorted(unpaid & released)),
            *(Violation(Harm.WRONG, f"{one} was mailed before its payment") for one in sorted(unpaid & mailed)),
        ),
    )


@contextmanager
def _poison(stack: DrillStack) -> Iterator[list[Planned]]:
    """Send 100 poison messages among 1,000 duplicates of earlier events to analytics."""
    placed = [order for order in stack.deployment.scan("OrdersTable") if "placedAt" in order]
    good = [_event(order, DetailType.ORDER_PLACED) for order in itertools.islice(itertools.cycle(placed), 1_000)]
    unknown = json.dumps(json.loads(good[0]) | {"detail-type": "order_eaten"})
    bad = ["no event", "{}", unknown, _event(placed[0], DetailType.SHIPMENT_PREPARED)] * 25
    bodies = random.sample(good + bad, len(good + bad))
    queue = stack.deployment.queue_url("analytics")
    for start in range(0, len(bodies), 10):
        batch = bodies[start : start + 10]
        stack.deployment.sqs.send_message_batch(
            QueueUrl=queue, Entries=[{"Id": str(n), "MessageBody": body} for n, body in enumerate(batch)]
        )
    yield []


def _event(order: Mapping[str, Any], detail_type: DetailType) -> str:
    entry = EVENTS[detail_type].entry(
        OrderData(order_id=order["orderId"], user_id=order["userId"]),
        aggregate_id=order["orderId"],
        sequence=1,
        at=now_ms(),
        correlation_id=order["correlationId"],
    )
    return json.dumps({"source": entry.source, "detail-type": entry.detail_type, "detail": json.loads(entry.detail)})


@contextmanager
def _kills(stack: DrillStack) -> Iterator[list[Planned]]:
    """Kill the calling process in one of a hundred calls."""
    before = len(stack.proxy.killed)
    one_in_hundred = Rule(share=0.005, drop="before", kill=True), Rule(share=0.005, drop="after", kill=True)
    with stack.proxy.faults.in_force(*one_in_hundred) as planned:
        yield planned
    stack.interrupted_mails += len(stack.proxy.killed) - before


@contextmanager
def _restart(stack: DrillStack) -> Iterator[list[Planned]]:
    """Stop the stack with all work in flight, and start it again."""
    with stack.proxy.faults.in_force(Rule(drop="before")) as planned:
        time.sleep(1)  # by now the stack has stored everything that it has answered
        stack.stop()
        yield planned
    stack.start()
    stack.interrupted_mails += WORKERS


DRILLS = {
    "mail": Drill("The mail service rejects every mail", 45, _rules(_no_mail)),
    "analytics": Drill("Each write of analytics takes 3 s, longer than its timeout", 30, _rules(_slow_analytics)),
    "bus": Drill("The event bus accepts no event: half of the calls fail, the others time out", 30, _rules(_no_bus)),
    "payments": Drill("The payment provider does not answer, before or after its work", 30, _rules(_silent_provider)),
    "capture": Drill(
        "The payment provider authorizes, but captures and voids nothing",
        40,
        _rules(_no_capture),
        watch=_packed_and_not_mailed,
    ),
    "poison": Drill(
        "Analytics receives 100 poison messages among 1,000 duplicates",
        20,
        _poison,
        permanent=("not an event", "shipment_prepared is not counted"),
    ),
    "kills": Drill("Functions are killed in the middle of a call", 40, _kills),
    "restart": Drill("The whole stack is stopped and started again", 10, _restart),
}
