"""Sample orders over HTTP, and checks of their effects behind the queues."""

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dev import invariants
from dev.invariants import Snapshot, order_in
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
    mails = observe.mails(deployment.endpoint) if deployment.endpoint else []
    return Snapshot.read(
        deployment.scan,
        mails=[mail_summary(mail) for mail in mails],
        lags=observe.lags(deployment),
        waiting=observe.waiting(deployment),
        dead_letters=observe.dead_letters(deployment),
    )


def initial_stock() -> dict[str, int]:
    """Return the stock of each product in the sample catalog."""
    return {entry.sku: entry.available for entry in catalog.read(EVENTS / "catalog.json")}


def find_problems(placed: PlacedOrders, snapshot: Snapshot) -> list[str]:
    """Return a line for each wrong answer or effect."""
    violations = [*invariants.check(snapshot, initial_stock()), *invariants.queues_are_empty(snapshot)]
    return [
        *_answer_problems(placed),
        *_status_problems(placed, snapshot),
        *(violation.what for violation in violations),
        *(f"{name}: no lag was reported" for name in CONSUMERS if not snapshot.lags[name]),
    ]


def effect_problems(placed: PlacedOrders, snapshot: Snapshot) -> list[str]:
    """Return the problems with status, shipments, payments and mails of the placed orders."""
    violations = [violation.what for violation in invariants.check(snapshot, initial_stock())]
    order_ids = [*placed.kept, *placed.cancelled]
    return [
        *_status_problems(placed, snapshot),
        *(what for what in violations if any(order_id in what for order_id in order_ids)),
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


def _status_problems(placed: PlacedOrders, snapshot: Snapshot) -> list[str]:
    status = {order["orderId"]: order["status"] for order in snapshot.orders}
    expected = dict.fromkeys(placed.kept, "PREPARED") | dict.fromkeys(placed.cancelled, "CANCELLED")
    return [
        f"{order_id} is {status.get(order_id)}, not {wanted}"
        for order_id, wanted in expected.items()
        if status.get(order_id) != wanted
    ]


def mail_summary(mail: Mapping[str, Any]) -> tuple[str, str]:
    """Return a mail's subject, and the id of the order in it or ""."""
    return str(mail.get("Subject", "")), order_in(str(mail))


def _sample(name: str) -> dict[str, Any]:
    sample: dict[str, Any] = json.loads((EVENTS / f"requests/{name}.json").read_text())
    return sample
