"""The main job: sample orders over HTTP, and what becomes of them behind the queues."""

import contextlib
import json
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops import catalog
from ops.shop_client import Account, Answer, ShopClient, sign_up
from ops.stack import observe
from ops.stack.deployment import CONSUMERS, Deployment

EVENTS = Path(__file__).resolve().parents[2] / "events"
_QUIET_WITHIN = 90.0  # seconds
_CANCEL_TRIES = 10

Progress = Callable[[str], None]


class DemoError(Exception):
    """The demonstration can't go on."""


@dataclass(frozen=True)
class Step:
    """One request of the demonstration: what it was for, its answer, and the status that it should have had."""

    what: str
    answer: Answer
    expected: int


@dataclass
class Story:
    """Everything that happened."""

    steps: list[Step] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """What the stack shows once it is quiet. Times in milliseconds, amounts in minor units."""

    orders: list[dict[str, Any]]
    products: list[dict[str, Any]]
    shipments: list[dict[str, Any]]
    ledger: list[dict[str, Any]]
    sales: dict[str, Counter[str]]
    mails: list[dict[str, Any]]
    lags: dict[str, list[int]]
    waiting: dict[str, int]
    dead_letters: dict[str, int]


def prepare(deployment: Deployment) -> Account:
    """Load the catalog and the customers; returns the first customer, signed in."""
    products = catalog.read(EVENTS / "catalog.json")
    catalog.load(deployment.dynamodb, deployment.resource("ProductsTable"), products)
    accounts = []
    for customer in json.loads((EVENTS / "customers.json").read_text()):
        account = sign_up(deployment, customer["email"])
        with contextlib.closing(ShopClient(deployment.api_url, account.token)) as client:
            answer = client.introduce(customer)
        if answer.status != 200:
            raise DemoError(f"PUT /me answered {answer.status}: {answer.body}")
        accounts.append(account)
    return accounts[0]


def place_samples(client: ShopClient, progress: Progress) -> Story:
    """Place the orders of events/requests: a good one, it again, a declined one, one out of stock, one cancelled."""
    story = Story()

    def send(what: str, expected: int, request: Callable[[], Answer]) -> Answer:
        progress(what)
        answer = request()
        story.steps.append(Step(what, answer, expected))
        return answer

    good, key = _sample("good"), str(uuid.uuid4())
    first = send("a good order", 201, lambda: client.place(good, key))
    story.kept += [first.body["orderId"]] if first.status == 201 else []
    send("the same again, same key", 201, lambda: client.place(good, key))
    send("a declined payment", 402, lambda: client.place(_sample("declined"), str(uuid.uuid4())))
    send("out of stock", 409, lambda: client.place(_sample("out_of_stock"), str(uuid.uuid4())))
    for _ in range(_CANCEL_TRIES):
        placed = send("another order ...", 201, lambda: client.place(_sample("cancelled"), str(uuid.uuid4())))
        if placed.status != 201:
            break
        order_id = placed.body["orderId"]
        cancelled = client.cancel(order_id)
        if cancelled.status == 200:
            story.cancelled.append(order_id)
            story.steps.append(Step("... cancelled", cancelled, 200))
            break
        # Fulfillment was faster: the refusal is right, and the order is one to keep.
        story.kept.append(order_id)
        story.steps.append(Step("... too late to cancel", cancelled, 409))
    return story


def wait_until_quiet(deployment: Deployment, progress: Progress) -> None:
    """Wait until the consumers have nothing left to do, twice in a row, or for a minute and a half."""
    quiet = 0
    deadline = time.monotonic() + _QUIET_WITHIN
    while quiet < 2 and time.monotonic() < deadline:
        waiting = observe.waiting(deployment)
        open_orders = observe.unfinished(deployment.scan("OrdersTable"))
        progress(", ".join(f"{name} {count}" for name, count in waiting.items()) + f"; unfinished {open_orders}")
        quiet = 0 if any(waiting.values()) or open_orders else quiet + 1
        time.sleep(0.4)


def look(deployment: Deployment) -> Outcome:
    """What there is to see now."""
    return Outcome(
        orders=deployment.scan("OrdersTable"),
        products=deployment.scan("ProductsTable"),
        shipments=deployment.scan("ShipmentsTable"),
        ledger=deployment.scan("SandboxTable"),
        sales=observe.sales(deployment.scan("SalesTable")),
        mails=observe.mails(deployment.endpoint) if deployment.endpoint else [],
        lags=observe.lags(deployment),
        waiting=observe.waiting(deployment),
        dead_letters=observe.dead_letters(deployment),
    )


def complaints(story: Story, outcome: Outcome) -> list[str]:
    """Everything that is not as it should be; empty if all is well."""
    return [
        *_wrong_answers(story),
        *wrong_effects(story, outcome),
        *_wrong_sales(story, outcome),
        *wrong_stock(outcome),
        *(f"{name}: {count} dead letters" for name, count in outcome.dead_letters.items() if count),
        *(f"{name}: {count} messages still waiting" for name, count in outcome.waiting.items() if count),
        *(f"{name}: no lag was reported" for name in CONSUMERS if not outcome.lags[name]),
    ]


def _wrong_answers(story: Story) -> list[str]:
    wrong = [
        f"{step.what}: answered {step.answer.status}, not {step.expected}: {step.answer.body}"
        for step in story.steps
        if step.answer.status != step.expected
    ]
    first, again = story.steps[0].answer, story.steps[1].answer
    if first.body != again.body:
        wrong.append("the repeated request got another answer than the first")
    if not story.cancelled:
        wrong.append("no order could be cancelled in time")
    return wrong


def wrong_effects(story: Story, outcome: Outcome) -> list[str]:
    """What is wrong with the shipments, payments and mails of a story's orders."""
    orders = {order["orderId"]: order for order in outcome.orders}
    shipments = {shipment["orderId"]: shipment["state"] for shipment in outcome.shipments}
    captured = Counter(entry["orderId"] for entry in outcome.ledger if entry["kind"] == "capture")
    voided = Counter(entry["orderId"] for entry in outcome.ledger if entry["kind"] == "void")
    wrong = []
    for order_id in story.kept:
        is_right = orders[order_id]["status"] == "PREPARED" and shipments.get(order_id) == "released"
        if not is_right or captured[order_id] != 1 or voided[order_id]:
            wrong.append(f"{order_id} should be prepared, paid once and released")
        wrong += _wrong_mails(outcome, order_id, {"confirmed": (1, 1), "on its way": (1, 1), "cancelled": (0, 0)})
    for order_id in story.cancelled:
        if orders[order_id]["status"] != "CANCELLED" or voided[order_id] != 1 or captured[order_id]:
            wrong.append(f"{order_id} should be cancelled and its payment voided once")
        if order_id in shipments:
            wrong.append(f"{order_id} is cancelled but has a shipment")
        # The confirmation is left out if the cancellation came first.
        wrong += _wrong_mails(outcome, order_id, {"confirmed": (0, 1), "on its way": (0, 0), "cancelled": (1, 1)})
    return wrong


def _wrong_mails(outcome: Outcome, order_id: str, expected: Mapping[str, tuple[int, int]]) -> list[str]:
    subjects = [subject for subject, about in map(mail_summary, outcome.mails) if about == order_id]
    counts = {kind: sum(kind in subject for subject in subjects) for kind in expected}
    return [
        f"{order_id} got {counts[kind]} mails that it is {kind}"
        for kind, (least, most) in expected.items()
        if not least <= counts[kind] <= most
    ]


def _wrong_sales(story: Story, outcome: Outcome) -> list[str]:
    kept = [order for order in outcome.orders if order["orderId"] in story.kept]
    fold = Counter(
        orders=len(kept),
        units=sum(line["quantity"] for order in kept for line in order["lines"]),
        revenue=sum(order["total"] for order in kept),
    )
    counted = outcome.sales.get("all", Counter())
    return [] if counted == fold else [f"sales count {dict(counted)}, the orders add up to {dict(fold)}"]


def wrong_stock(outcome: Outcome) -> list[str]:
    """Products of which more or less is left than the catalog and the orders say."""
    taken: Counter[str] = Counter()
    for order in outcome.orders:
        if order["status"] in {"PENDING", "PLACED", "PREPARED"}:
            taken.update({line["sku"]: line["quantity"] for line in order["lines"]})
    loaded = {entry.sku: entry.available for entry in catalog.read(EVENTS / "catalog.json")}
    return [
        f"{product['sku']}: {product['available']} left of {loaded[product['sku']]}, {taken[product['sku']]} sold"
        for product in outcome.products
        if product["available"] != loaded[product["sku"]] - taken[product["sku"]]
    ]


def mail_summary(mail: Mapping[str, Any]) -> tuple[str, str]:
    """A mail's subject, and the id of the order that it is about, empty if none."""
    about = re.search(r"ord_[a-z2-7]{26}", str(mail))
    return str(mail.get("Subject", "")), about[0] if about else ""


def _sample(name: str) -> dict[str, Any]:
    sample: dict[str, Any] = json.loads((EVENTS / f"requests/{name}.json").read_text())
    return sample
