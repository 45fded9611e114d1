"""The switch of the first-workflow example, thrown under load while processes are killed.

At each value of the switch customers keep ordering, and a function's process is killed with SIGKILL in the middle of a
call. Afterwards, every order must have one mail and the two sides must not differ. A second mail is allowed only for a
process that died after the mail was accepted and before that was recorded.
"""

import itertools
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dev.faults.proxy import FaultProxy, routes
from dev.faults.rules import Rule
from dev.first_workflow.deployed import FirstWorkflow, Json, NotAsExpected, Placed, mailed
from dev.local.consumers import lambda_client, paused, set_batch_size
from ops.compare import Comparison
from ops.polling import until
from ops.stack.deployment import Deployment

if TYPE_CHECKING:
    from mypy_boto3_lambda.client import LambdaClient

VALUES = (0, 10, 50, 100, 0)
_TIMEOUT = 10  # seconds: a mail whose process died is sent again after the function's timeout
_VISIBILITY = 12  # seconds until a message returns whose consumer died; in AWS it is 6 function timeouts
_STRUCK_WITHIN = 120.0  # seconds
_CUSTOMERS = 3


@dataclass(frozen=True)
class Kill:
    """A process killed before or after a call is done; ``doubles`` if its mail may be sent twice then."""

    call: str
    drop: str
    doubles: bool = False
    table: str | None = None  # logical id

    def rule(self, workflow: FirstWorkflow) -> Rule:
        """Return the rule of the fault proxy."""
        table = workflow.deployment.resource(self.table) if self.table else None
        return Rule.model_validate({"call": self.call, "drop": self.drop, "table": table, "kill": True, "times": 1})


# In each round another one for each value of the switch. Both sides make all of these calls.
KILLS = (
    Kill("sesv2.SendEmail", "before"),
    Kill("sesv2.SendEmail", "after", doubles=True),
    Kill("dynamodb.UpdateItem", "before", doubles=True, table="ShadowTable"),
    Kill("dynamodb.UpdateItem", "after", doubles=True, table="ShadowTable"),
    Kill("eventbridge.PutEvents", "before"),
    Kill("eventbridge.PutEvents", "after"),
)


@dataclass(frozen=True)
class Report:
    """All orders, the mails of each, the killed processes, and the comparison of both sides."""

    orders: list[Json]
    mails: Counter[str]
    kills: list[Kill]
    comparison: Comparison

    @property
    def problems(self) -> list[str]:
        """Orders without a mail, second mails that no killed process explains, differences, sides without orders."""
        lost = [order["orderId"] for order in self.orders if not self.mails[order["orderId"]]]
        extra = self.mails.total() + len(lost) - len(self.orders)
        allowed = sum(kill.doubles for kill in self.kills)
        differences = self.comparison.differences
        # A mail that was recorded before its process died is recorded again with the second one.
        doubled = [one for one in differences if one.kind == "doubled" and self.mails[one.subject] > 1]
        unseen = {"request", "event"} - {order.get("mailBy") for order in self.orders}
        return [
            *(f"{order_id} has no mail" for order_id in lost),
            *(f"no order was to be mailed by the {side}" for side in sorted(unseen)),
            *([f"{extra} mails too many, {allowed} allowed"] if extra > allowed else []),
            *(f"{one.subject} {one.kind}: {one.what}" for one in differences if one not in doubled),
        ]

    def lines(self) -> list[str]:
        """Return the report for people."""
        by_event = sum(order.get("mailBy") == "event" for order in self.orders)
        return [
            f"{len(self.orders)} orders, {by_event} mailed by the consumer. {len(self.kills)} processes killed.",
            mailed(self.orders, self.mails),
            *self.comparison.lines(),
            *self.problems,
        ]


def throw(workflow: FirstWorkflow, proxy: FaultProxy, *, rounds: int, orders: int) -> Report:
    """Throw the switch through all values, ``rounds`` times; at each value, kill a process and place ``orders``.

    Raises
    ------
    NotAsExpected
        If a process was not killed within two minutes, an order is not answered, or too few mails were compared.
    """
    killed_before = len(proxy.killed)
    kills = list(itertools.islice(itertools.cycle(KILLS), rounds * len(VALUES)))
    with _recovering_in_seconds(workflow, proxy), _ordering(workflow) as placed:
        for per_cent, kill in zip(VALUES * rounds, kills, strict=True):
            workflow.turn(per_cent)
            before = len(placed)
            planned = proxy.faults.add(kill.rule(workflow))
            wanted = before + orders
            until(lambda: planned.used_up and len(placed) >= wanted, bool, _STRUCK_WITHIN, every=0.1)  # noqa: B023
            if not planned.used_up:
                raise NotAsExpected(f"No process made the call {kill.call} within {_STRUCK_WITHIN:.0f} s.")
    report = Report(workflow.orders(), workflow.mails(), kills, workflow.compare())
    if len(proxy.killed) - killed_before < len(kills):
        raise NotAsExpected(f"Only {len(proxy.killed) - killed_before} of {len(kills)} processes were killed.")
    if report.comparison.compared < len(kills) * orders:
        raise NotAsExpected(f"Only {report.comparison.compared} mails were compared.")
    return report


def plant_difference(workflow: FirstWorkflow) -> tuple[str, Comparison]:
    """Change an order between its two sides; return its id, and the comparison, which has to find it."""
    with paused(workflow.deployment, "mails"):
        order_id = workflow.place(str(uuid.uuid4())).order_id
        workflow.change(order_id, email="grace.hopper@example.com")
    workflow.wait_until_quiet()
    return order_id, workflow.compare()


@contextmanager
def _ordering(workflow: FirstWorkflow) -> Iterator[Sequence[Placed]]:
    """Let customers order while the context lasts; wait for the answers of all."""
    closed, placed = threading.Event(), list[Placed]()

    def customer() -> None:
        while not closed.is_set():
            placed.append(workflow.place(str(uuid.uuid4())))

    with ThreadPoolExecutor(_CUSTOMERS) as threads:
        customers = [threads.submit(customer) for _ in range(_CUSTOMERS)]
        try:
            yield placed
        finally:
            closed.set()
    for each in customers:
        each.result()


@contextmanager
def _recovering_in_seconds(workflow: FirstWorkflow, proxy: FaultProxy) -> Iterator[None]:
    """Send the functions' calls through the proxy, and let what a killed process has begun be repeated in seconds.

    The consumer gets single messages: with so short a timeout, it would hand the rest of each batch back.
    """
    deployment, client = workflow.deployment, lambda_client(workflow.deployment)
    names = [deployment.resource(f"{name}Function") for name in ("Place", "Mails")]
    original = {name: client.get_function_configuration(FunctionName=name) for name in names}
    proxy.faults.add(Rule(call="sqs.ChangeMessageVisibility", answer={}))  # no longer pauses between two receives
    set_batch_size(deployment, "mails", 1)
    _set_visibility(deployment, _VISIBILITY)
    try:
        for name, found in original.items():
            _configure(client, name, _TIMEOUT, found["Environment"]["Variables"] | routes(proxy.url))
        yield
        workflow.wait_until_quiet()
    finally:
        proxy.faults.heal()
        for name, found in original.items():
            _configure(client, name, found["Timeout"], found["Environment"]["Variables"])
        _set_visibility(deployment, 6 * original[names[1]]["Timeout"])  # as in the template
        set_batch_size(deployment, "mails", 10)


def _configure(client: "LambdaClient", function: str, timeout: int, variables: Mapping[str, str]) -> None:
    client.update_function_configuration(
        FunctionName=function, Timeout=timeout, Environment={"Variables": dict(variables)}
    )


def _set_visibility(deployment: Deployment, seconds: int) -> None:
    queue = deployment.queue_url("mails")
    deployment.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": str(seconds)})
