"""Outage drills: one thing after the other breaks on the local stack while customers go on ordering.

What breaks, breaks at the network, in the fault proxy. Afterwards it is healed, its dead letters are redriven, and
everything is counted: nothing may be lost, and nothing doubled.
"""

import contextlib
import itertools
import json
import random
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dev.demo import orders as demo
from dev.demo.orders import Outcome
from dev.drills import invariants as audit
from dev.drills.invariants import Violation
from dev.drills.report import LATE_AFTER, Latency, Report
from dev.drills.shoppers import Purchase, shop
from dev.faults.proxy import FaultProxy, routes, running_proxy
from dev.faults.rules import Planned, Rule
from dev.local.stack import LocalStack, running
from handoff.clock import now_ms
from ops import catalog
from ops.dlq import scan as dead_letters
from ops.shop_client import Account, ShopClient, sign_up
from ops.stack import observe
from ops.stack.deployment import CONSUMERS, Deployment
from shop import events
from shop.events import DetailType

Progress = Callable[[str], None]

CUSTOMERS = 3
CALM = 10.0  # seconds before and after an outage
COMES_BACK_AFTER = 10  # seconds after which a message is tried again in a drill
_RECOVERS_WITHIN = 300.0  # seconds
_SAYS_EVERY = 15.0  # seconds
_PRODUCTS = ("COFFEE-ETH-250", "COFFEE-COL-1000", "TEA-ASSAM-100", "FILTER-02-100", "MUG-BLUE", "MUG-SAND")
_ADDRESS = {"name": "A Customer", "street": "Long Road 1", "city": "Uppsala", "postalCode": "753 31", "country": "SE"}
_WORKERS = 2  # of each consumer; fewer, SQS does not know


@dataclass
class Stage:
    """A local stack behind a fault proxy, its customers, and what is to be remembered of it."""

    port: int
    proxy: FaultProxy
    state: Path
    deployment: Deployment = field(init=False)
    accounts: list[Account] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    known: Counter[Violation] = field(default_factory=Counter)
    interrupted_mails: int = 0  # at most so many were on their way when their process died
    _earlier_mails: list[dict[str, Any]] = field(default_factory=list)
    _running: ExitStack = field(default_factory=ExitStack)

    def start(self) -> LocalStack:
        """Start the stack, with the state that it had when it was stopped."""
        return self._running.enter_context(running(self.port, variables=routes(self.proxy.url), state=self.state))

    def stop(self) -> None:
        """Stop the stack; its state is kept, but for the mails, which only we remember."""
        if self.accounts:
            self._earlier_mails += self._mails()
        self._running.close()

    def deploy(self, progress: Progress) -> None:
        """Build and deploy to a fresh stack, and let customers in."""
        stack = self.start()
        progress("sam build")
        stack.build()
        progress("sam deploy")
        self.deployment = Deployment(stack.deploy(), stack.session(), stack.endpoint)
        products = catalog.read(demo.EVENTS / "catalog.json")
        catalog.load(self.deployment.dynamodb, self.deployment.resource("ProductsTable"), products)
        for n in range(CUSTOMERS):
            email = f"customer-{n}@example.com"
            account = sign_up(self.deployment, email)
            with self.client(account) as client:
                client.introduce({"name": f"Customer {n}", "email": email})
            self.accounts.append(account)

    def hurry(self) -> None:
        """Have failed messages come back in seconds, instead of minutes and hours.

        A consumer asks SQS for longer pauses from try to try; here it gets the answer that it has them.
        """
        for name in CONSUMERS:
            self.deployment.sqs.set_queue_attributes(
                QueueUrl=self.deployment.queue_url(name), Attributes={"VisibilityTimeout": str(COMES_BACK_AFTER)}
            )
        self.proxy.faults.add(Rule(call="sqs.ChangeMessageVisibility", answer={}))

    def keep_small(self) -> None:
        """Have each consumer run in few processes, so that they leave the functions that answer some of two cores."""
        client = self.deployment.session.client("lambda", endpoint_url=self.deployment.endpoint)
        for name in CONSUMERS:
            function = self.deployment.resource(f"{name.capitalize()}Function")
            for source in client.list_event_source_mappings(FunctionName=function)["EventSourceMappings"]:
                client.update_event_source_mapping(UUID=source["UUID"], ScalingConfig={"MaximumConcurrency": _WORKERS})

    def client(self, account: Account) -> AbstractContextManager[ShopClient]:
        """A connection of a customer's own."""
        return contextlib.closing(ShopClient(self.deployment.api_url, account.token))

    def look(self) -> Outcome:
        """What there is to see now, with the mails from before the stack was restarted."""
        outcome = demo.look(self.deployment)
        return replace(outcome, mails=self._earlier_mails + outcome.mails)

    def _mails(self) -> list[dict[str, Any]]:
        return observe.mails(f"http://127.0.0.1:{self.port}")


@contextmanager
def staged(port: int, progress: Progress) -> Iterator[Stage]:
    """A stage for drills, for as long as the context lasts."""
    with (
        tempfile.TemporaryDirectory(prefix="handoff-drill-") as state,
        running_proxy(f"http://127.0.0.1:{port}") as proxy,
    ):
        stage = Stage(port, proxy, Path(state))
        try:
            stage.deploy(progress)
            stage.hurry()
            stage.keep_small()
            progress("warming up")
            with shopping(stage):
                time.sleep(CALM)
            recover(stage, (), progress)
            yield stage
        finally:
            stage.stop()


Fault = Callable[[Stage], AbstractContextManager[list[Planned]]]


@dataclass(frozen=True)
class Drill:
    """Something that breaks, for how many seconds, and which dead letters are beyond help afterwards."""

    what: str
    seconds: float
    fault: Fault
    hopeless: tuple[str, ...] = ()


def rules(make: Callable[[Deployment], Sequence[Rule]]) -> Fault:
    """A fault of the network: these rules, given a deployment."""
    return lambda stage: stage.proxy.faults.in_force(*make(stage.deployment))


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


@contextmanager
def _poison(stage: Stage) -> Iterator[list[Planned]]:
    """100 poisoned messages among 1,000 good ones: events of earlier orders, delivered once more."""
    placed = [order for order in stage.deployment.scan("OrdersTable") if "placedAt" in order]
    good = [_event(order, DetailType.ORDER_PLACED) for order in itertools.islice(itertools.cycle(placed), 1_000)]
    unknown = json.dumps(json.loads(good[0]) | {"detail-type": "order_eaten"})
    bad = ["no event", "{}", unknown, _event(placed[0], DetailType.SHIPMENT_PREPARED)] * 25
    bodies = random.sample(good + bad, len(good + bad))
    queue = stage.deployment.queue_url("analytics")
    for start in range(0, len(bodies), 10):
        batch = bodies[start : start + 10]
        stage.deployment.sqs.send_message_batch(
            QueueUrl=queue, Entries=[{"Id": str(n), "MessageBody": body} for n, body in enumerate(batch)]
        )
    yield []


def _event(order: Mapping[str, Any], detail_type: DetailType) -> str:
    entry = events.outbox_entry(
        detail_type,
        order_id=order["orderId"],
        user_id=order["userId"],
        sequence=1,
        at=now_ms(),
        correlation_id=order["correlationId"],
    )
    return json.dumps({"source": entry.source, "detail-type": entry.detail_type, "detail": json.loads(entry.detail)})


@contextmanager
def _kills(stage: Stage) -> Iterator[list[Planned]]:
    """One call in a hundred is the last one of its process."""
    before = len(stage.proxy.killed)
    one_in_hundred = Rule(share=0.005, drop="before", kill=True), Rule(share=0.005, drop="after", kill=True)
    with stage.proxy.faults.in_force(*one_in_hundred) as planned:
        yield planned
    stage.interrupted_mails += len(stage.proxy.killed) - before


@contextmanager
def _restart(stage: Stage) -> Iterator[list[Planned]]:
    """The stack is stopped, with all that is under way in it, and started again."""
    with stage.proxy.faults.in_force(Rule(drop="before")) as planned:
        time.sleep(1)  # what the stack has answered, it has also stored
        stage.stop()
        yield planned
    stage.start()
    stage.interrupted_mails += _WORKERS


DRILLS = {
    "mail": Drill("The mail service refuses every mail", 45, rules(_no_mail)),
    "analytics": Drill("Each write of analytics takes 3 s, longer than it waits", 30, rules(_slow_analytics)),
    "bus": Drill("The bus takes no event: it refuses, or is silent", 30, rules(_no_bus)),
    "payments": Drill("The payment provider gives no answer, done or not", 30, rules(_silent_provider)),
    "poison": Drill(
        "Analytics gets 100 poisoned messages among 1,000 good ones",
        20,
        _poison,
        hopeless=("not an event", "shipment_prepared is nothing to count"),
    ),
    "kills": Drill("Functions are killed in the middle of a call", 40, _kills),
    "restart": Drill("The whole stack is stopped and started again", 10, _restart),
}


@dataclass(frozen=True)
class Outage:
    """What customers bought, which faults struck, and from when to when, by `time.monotonic`."""

    purchases: list[Purchase]
    planned: list[Planned]
    began: float
    healed: float

    @property
    def during(self) -> list[float]:
        """How long the orders took that were begun while it lasted, in seconds."""
        return [bought.seconds for bought in self.purchases if self.began <= bought.started < self.healed]

    @property
    def outside(self) -> list[float]:
        """How long the others took, in seconds."""
        return [bought.seconds for bought in self.purchases if not self.began <= bought.started < self.healed]


def run(stage: Stage, name: str, progress: Progress) -> Report:
    """Run one drill, wait until the stack has recovered from it, and count."""
    drill = DRILLS[name]
    killed, mails, late = len(stage.proxy.killed), stage.interrupted_mails, _late(observe.lags(stage.deployment))
    outage = _go_through(stage, name, drill, progress)
    letters = recover(stage, drill.hopeless, progress)
    recovered = time.monotonic()
    outcome = stage.look()
    return Report(
        name=name,
        what=drill.what,
        seconds=round(outage.healed - outage.began, 1),
        recovered_after=round(recovered - outage.healed, 1),
        struck=sum(each.struck for each in outage.planned),
        killed=len(stage.proxy.killed) - killed,
        answers=Counter(str(bought.status or "gave up") for bought in outage.purchases),
        failures=Counter(failure for bought in outage.purchases for failure in bought.failures),
        during=Latency.of(outage.during),
        outside=Latency.of(outage.outside),
        late=_late(outcome.lags) - late,
        dead_letters=letters.reasons,
        redriven=letters.redriven,
        violations=_new_violations(stage, outcome),
        mails_allowed=stage.interrupted_mails - mails,
    )


def _go_through(stage: Stage, name: str, drill: Drill, progress: Progress) -> Outage:
    """Calm, the outage, and calm again, while customers go on ordering."""
    with shopping(stage) as purchases:
        progress(f"{name}: all is well")
        time.sleep(CALM)
        progress(f"{name}: {drill.what}")
        began = time.monotonic()
        with drill.fault(stage) as planned:
            time.sleep(drill.seconds)
        healed = time.monotonic()
        progress(f"{name}: healed")
        time.sleep(CALM)
    return Outage(purchases, planned, began, healed)


def _new_violations(stage: Stage, outcome: Outcome) -> list[Violation]:
    """What is wrong now, and was not after the drills before."""
    found = audit.check(outcome, _loaded(), stage.answered)
    fresh = list((Counter(found) - stage.known).elements())
    stage.known |= Counter(found)
    return fresh


@contextmanager
def shopping(stage: Stage) -> Iterator[list[Purchase]]:
    """Customers at work for as long as the context lasts; what they bought is there afterwards."""
    closed = threading.Event()
    purchases: list[Purchase] = []
    with ExitStack() as stack, ThreadPoolExecutor(len(stage.accounts)) as threads:
        clients = [stack.enter_context(stage.client(account)) for account in stage.accounts]
        started = [threads.submit(shop, client, _PRODUCTS, _ADDRESS, closed) for client in clients]
        try:
            yield purchases
        finally:
            closed.set()
        purchases += [bought for done in started for bought in done.result()]
    stage.answered |= {bought.order_id for bought in purchases if bought.status == 201 and bought.order_id}


@dataclass
class Letters:
    """Dead letters by consumer and reason, and how many of them got another go."""

    reasons: Counter[str] = field(default_factory=Counter)
    redriven: int = 0


def recover(stage: Stage, hopeless: tuple[str, ...], progress: Progress) -> Letters:
    """Wait until there is nothing left to do, giving dead letters another go; those beyond help are thrown away.

    After five minutes it is given up: what is not done by then, is lost.
    """
    letters = Letters()
    quiet, said = 0, 0.0
    deadline = time.monotonic() + _RECOVERS_WITHIN
    while quiet < 2 and time.monotonic() < deadline:
        waiting = observe.waiting(stage.deployment)
        orders = stage.deployment.scan("OrdersTable")
        left = sum(order["status"] in {"PENDING", "PLACED"} or "unfinished" in order for order in orders)
        if time.monotonic() - said > _SAYS_EVERY:
            progress(", ".join(f"{name} {count}" for name, count in waiting.items()) + f"; unfinished {left}")
            said = time.monotonic()
        dead = sum(_redrive(stage.deployment, name, hopeless, letters) for name in CONSUMERS)
        quiet = 0 if any(waiting.values()) or left or dead else quiet + 1
        time.sleep(1)
    return letters


def _redrive(deployment: Deployment, consumer: str, hopeless: tuple[str, ...], letters: Letters) -> int:
    """What an operator does with a consumer's dead letters once the cause is gone; returns how many there were."""
    if not observe.depth(deployment, deployment.queue_url(consumer, dead_letters=True)).waiting:
        return 0
    dead, queue = deployment.queue_url(consumer, dead_letters=True), deployment.queue_url(consumer)
    found = list(dead_letters.letters(deployment.sqs, dead, wait=0))
    for letter in found:
        letters.reasons[f"{consumer}: {re.sub(r'ord_[a-z2-7]{26}', '...', letter.reason)}"] += 1
        if letter.reason.startswith(hopeless or ("\0",)):
            deployment.sqs.delete_message(QueueUrl=dead, ReceiptHandle=letter.message["ReceiptHandle"])
        else:
            dead_letters.redrive(deployment.sqs, letter, dead_letters_url=dead, queue_url=queue)
            letters.redriven += 1
    return len(found)


def _late(lags: Mapping[str, Sequence[int]]) -> Counter[str]:
    return Counter({name: sum(lag > LATE_AFTER * 1000 for lag in values) for name, values in lags.items()})


def _loaded() -> dict[str, int]:
    return {entry.sku: entry.available for entry in catalog.read(demo.EVENTS / "catalog.json")}
