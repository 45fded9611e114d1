"""Sample orders over HTTP, and checks of their effects behind the queues."""

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
_TIMEOUT = 90.0  # seconds
_CANCEL_TRIES = 10

Progress = Callable[[str], None]


class DemoError(Exception):
    """The sample orders can't be placed. The message says why."""


@dataclass(frozen=True)
class SentRequest:
    """One request, its answer, and the status that it should have."""

    label: str
    answer: Answer
    expected: int


@dataclass
class PlacedOrders:
    """All requests, and the ids of the orders that were kept or cancelled."""

    requests: list[SentRequest] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Snapshot:
    """The content of the stack's tables and queues. Times in milliseconds, amounts in minor units."""

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
    """Load the catalog and sign the customers up; return the first one's account."""
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


def place_samples(client: ShopClient, progress: Progress) -> PlacedOrders:
    """Place the orders of events/requests: a good one twice, a declined one, one out of stock, one to be cancelled."""
    placed = PlacedOrders()

    def send(label: str, expected: int, request: Callable[[], Answer]) -> Answer:
        progress(label)
        answer = request()
        placed.requests.append(SentRequest(label, answer, expected))
        return answer

    good, key = _sample("good"), str(uuid.uuid4())
    first = send("a good order", 201, lambda: client.place(good, key))
    placed.kept += [first.body["orderId"]] if first.status == 201 else []
    send("the same again, same key", 201, lambda: client.place(good, key))
    send("a declined payment", 402, lambda: client.place(_sample("declined"), str(uuid.uuid4())))
    send("out of stock", 409, lambda: client.place(_sample("out_of_stock"), str(uuid.uuid4())))
    for _ in range(_CANCEL_TRIES):
        created = send("another order ...", 201, lambda: client.place(_sample("cancelled"), str(uuid.uuid4())))
        if created.status != 201:
            break
        order_id = created.body["orderId"]
        cancelled = client.cancel(order_id)
        if cancelled.status == 200:
            placed.cancelled.append(order_id)
            placed.requests.append(SentRequest("... cancelled", cancelled, 200))
            break
        # Fulfillment was faster: the refusal is correct, and the order is kept.
        placed.kept.append(order_id)
        placed.requests.append(SentRequest("... too late to cancel", cancelled, 409))
    return placed


def wait_until_quiet(deployment: Deployment, progress: Progress) -> None:
    """Wait until two checks in a row find no work left, or until a timeout."""
    quiet = 0
    deadline = time.monotonic() + _TIMEOUT
    while quiet < 2 and time.monotonic() < deadline:
        waiting = observe.waiting(deployment)
        open_orders = observe.unfinished(deployment.scan("OrdersTable"))
        progress(", ".join(f"{name} {count}" for name, count in waiting.items()) + f"; unfinished {open_orders}")
        quiet = 0 if any(waiting.values()) or open_orders else quiet + 1
        time.sleep(0.4)


def take_snapshot(deployment: Deployment) -> Snapshot:
    """Read all tables, mails, lags and queue depths."""
    return Snapshot(
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


def find_problems(placed: PlacedOrders, snapshot: Snapshot) -> list[str]:
    """Return a line for each wrong answer or effect."""
    return [
        *_answer_problems(placed),
        *effect_problems(placed, snapshot),
        *_sales_problems(placed, snapshot),
        *stock_problems(snapshot),
        *(f"{name}: {count} dead letters" for name, count in snapshot.dead_letters.items() if count),
        *(f"{name}: {count} messages still waiting" for name, count in snapshot.waiting.items() if count),
        *(f"{name}: no lag was reported" for name in CONSUMERS if not snapshot.lags[name]),
    ]


def _answer_problems(placed: PlacedOrders) -> list[str]:
    wrong = [
        f"{sent.label}: answered {sent.answer.status}, not {sent.expected}: {sent.answer.body}"
        for sent in placed.requests
        if sent.answer.status != sent.expected
    ]
    first, again = placed.requests[0].answer, placed.requests[1].answer
    if first.body != again.body:
        wrong.append("the repeated request got a different answer")
    if not placed.cancelled:
        wrong.append("no order could be cancelled in time")
    return wrong


def effect_problems(placed: PlacedOrders, snapshot: Snapshot) -> list[str]:
    """Return the problems with shipments, payments and mails of the placed orders."""
    orders = {order["orderId"]: order for order in snapshot.orders}
    shipments = {shipment["orderId"]: shipment["state"] for shipment in snapshot.shipments}
    captured = Counter(entry["orderId"] for entry in snapshot.ledger if entry["kind"] == "capture")
    voided = Counter(entry["orderId"] for entry in snapshot.ledger if entry["kind"] == "void")
    wrong = []
    for order_id in placed.kept:
        is_right = orders[order_id]["status"] == "PREPARED" and shipments.get(order_id) == "released"
        if not is_right or captured[order_id] != 1 or voided[order_id]:
            wrong.append(f"{order_id} should be prepared, paid once and released")
        wrong += _mail_problems(snapshot, order_id, {"confirmed": (1, 1), "on its way": (1, 1), "cancelled": (0, 0)})
    for order_id in placed.cancelled:
        if orders[order_id]["status"] != "CANCELLED" or voided[order_id] != 1 or captured[order_id]:
            wrong.append(f"{order_id} should be cancelled and its payment voided once")
        if order_id in shipments:
            wrong.append(f"{order_id} is cancelled but has a shipment")
        # The confirmation is left out if the cancellation came first.
        wrong += _mail_problems(snapshot, order_id, {"confirmed": (0, 1), "on its way": (0, 0), "cancelled": (1, 1)})
    return wrong


def _mail_problems(snapshot: Snapshot, order_id: str, expected: Mapping[str, tuple[int, int]]) -> list[str]:
    subjects = [subject for subject, about in map(mail_summary, snapshot.mails) if about == order_id]
    counts = {kind: sum(kind in subject for subject in subjects) for kind in expected}
    return [
        f"{order_id} got {counts[kind]} mails saying {kind!r}"
        for kind, (least, most) in expected.items()
        if not least <= counts[kind] <= most
    ]


def _sales_problems(placed: PlacedOrders, snapshot: Snapshot) -> list[str]:
    kept = [order for order in snapshot.orders if order["orderId"] in placed.kept]
    fold = Counter(
        orders=len(kept),
        units=sum(line["quantity"] for order in kept for line in order["lines"]),
        revenue=sum(order["total"] for order in kept),
    )
    counted = snapshot.sales.get("all", Counter())
    return [] if counted == fold else [f"sales count {dict(counted)}, the orders add up to {dict(fold)}"]


def stock_problems(snapshot: Snapshot) -> list[str]:
    """Return the products whose stock differs from the catalog minus the orders."""
    taken: Counter[str] = Counter()
    for order in snapshot.orders:
        if order["status"] in {"PENDING", "PLACED", "PREPARED"}:
            taken.update({line["sku"]: line["quantity"] for line in order["lines"]})
    loaded = {entry.sku: entry.available for entry in catalog.read(EVENTS / "catalog.json")}
    return [
        f"{product['sku']}: {product['available']} left of {loaded[product['sku']]}, {taken[product['sku']]} sold"
        for product in snapshot.products
        if product["available"] != loaded[product["sku"]] - taken[product["sku"]]
    ]


def mail_summary(mail: Mapping[str, Any]) -> tuple[str, str]:
    """Return a mail's subject, and the id of the order in it, if any."""
    about = re.search(r"ord_[a-z2-7]{26}", str(mail))
    return str(mail.get("Subject", "")), about[0] if about else ""


def _sample(name: str) -> dict[str, Any]:
    sample: dict[str, Any] = json.loads((EVENTS / f"requests/{name}.json").read_text())
    return sample
