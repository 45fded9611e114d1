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
from dev.invariants import Mail, Snapshot, order_in
from dev.local.consumers import packed_after
from ops import catalog, tokens
from ops.polling import until
from ops.shop_client import Account, Answer, ShopClient, sign_up
from ops.stack import observe
from ops.stack.deployment import Deployment, event_types
from shop.events import DetailType

EVENTS = Path(__file__).resolve().parents[2] / "events"
_TIMEOUT = 90.0  # seconds
_RELEASED_WITHIN = 180.0  # seconds, on a busy machine
_HANDLED_AT_ONCE = ("emails", "analytics")  # consumers that do not wait for the window or for another consumer
# The events that the sample orders cause.
_CAUSED = set(DetailType) - {DetailType.PAYMENT_DISPUTED, DetailType.PAYMENT_EVENT, DetailType.USER_ERASED}

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
    """All requests, and the ids of the orders that were kept, cancelled, or refunded with their goods returned."""

    requests: list[SentRequest] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[str]:
        """The ids of all orders."""
        return [*self.kept, *self.cancelled, *self.returned]


def program(deployment: Deployment, access: tokens.Access) -> ShopClient:
    """Return a connection for a program with one scope."""
    return ShopClient(deployment.api_url, tokens.token_for(deployment, access))


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


def place_samples(deployment: Deployment, client: ShopClient, progress: Progress) -> PlacedOrders:
    """Place the orders of events/requests, and lead them to their ends.

    A good one twice, a declined one, one whose payment its customer has to confirm, one out of stock, one that is
    cancelled in its window on a warm stack, and one that is packed at once, released, returned and refunded.
    """
    samples = _Samples(client, progress)
    samples.place()
    samples.confirm()
    # The first requests and events start the functions. From here on the stack is warm, as in production.
    until(lambda: _queued(deployment, *_HANDLED_AT_ONCE), lambda count: not count, _TIMEOUT, every=0.3)
    samples.cancel()
    samples.return_and_refund(deployment)
    return samples.placed


class _Samples:
    """The sample orders of one customer, step by step. A step that needs an order that was not placed does nothing."""

    def __init__(self, client: ShopClient, progress: Progress) -> None:
        self._client = client
        self._progress = progress
        self.placed = PlacedOrders()

    def place(self) -> None:
        """Place the orders that are not cancelled."""
        good, key = _sample("good"), str(uuid.uuid4())
        self._place("a good order", self.placed.kept, good, key)
        self._send("the same again, same key", 201, lambda: self._client.place(good, key))
        self._send("a declined payment", 402, lambda: self._client.place(_sample("declined"), str(uuid.uuid4())))
        self._send("out of stock", 409, lambda: self._client.place(_sample("out_of_stock"), str(uuid.uuid4())))

    def confirm(self) -> None:
        """Place an order whose payment needs confirmation, and confirm it as the customer and the page do.

        The customer confirms at the bank, for which the sandbox stands in; then the shop's page finishes the order.
        """
        wanted, key = _sample("action_required"), str(uuid.uuid4())
        waiting = self._send("a payment to confirm ...", 202, lambda: self._client.place(wanted, key))
        if waiting.status != 202:
            return
        order_id, secret = waiting.body["orderId"], waiting.body["clientSecret"]
        self._send("... confirmed at the bank", 200, lambda: self._client.act(secret))
        self._send("... places the order", 200, lambda: self._client.confirm(order_id))
        self.placed.kept.append(order_id)

    def cancel(self) -> None:
        """Place an order, and cancel it in its window."""
        self._place("another order ...", self.placed.cancelled, _sample("cancelled"))
        if self.placed.cancelled:
            order_id = self.placed.cancelled[0]
            self._send("... cancelled in its window", 200, lambda: self._client.cancel(order_id))

    def return_and_refund(self, deployment: Deployment) -> None:
        """Place an order that is released at once: too late to cancel. Its customer returns it, the shop refunds it."""
        with packed_after(deployment, 0):  # instead of the end of its window
            self._place("an order that is packed at once", self.placed.returned, _sample("good"))
            if not self.placed.returned:
                return
            order_id = self.placed.returned[0]
            self._progress("waiting until it is packed and released")
            read = self._client.order
            until(lambda: read(order_id).body, lambda order: "releasedAt" in order, _RELEASED_WITHIN, every=0.3)
        self._send("too late to cancel: it is packed", 409, lambda: self._client.cancel(order_id))
        self._send("a request to return it", 200, lambda: self._client.request_return(order_id, {}))
        wanted = {"reason": "The goods are back", "restock": True}
        with contextlib.closing(program(deployment, tokens.REFUNDS)) as shop:
            self._send("its refund by the shop", 201, lambda: shop.refund(order_id, wanted, str(uuid.uuid4())))

    def _place(self, label: str, ids: list[str], order: Mapping[str, Any], key: str = "") -> None:
        answer = self._send(label, 201, lambda: self._client.place(order, key or str(uuid.uuid4())))
        if answer.status == 201:
            ids.append(answer.body["orderId"])

    def _send(self, label: str, expected: int, request: Callable[[], Answer]) -> Answer:
        self._progress(label)
        answer = request()
        self.placed.requests.append(SentRequest(label, answer, expected))
        return answer


def _queued(deployment: Deployment, *consumers: str) -> int:
    waiting = observe.waiting(deployment)
    return sum(waiting[name] for name in consumers)


def wait_until_quiet(deployment: Deployment, progress: Progress, within: float = _TIMEOUT) -> bool:
    """Wait until two checks in a row find no work left; return whether they did within these seconds."""
    quiet = 0
    deadline = time.monotonic() + within
    while quiet < 2 and time.monotonic() < deadline:
        waiting = observe.waiting(deployment)
        open_orders = observe.unfinished(deployment.scan("OrdersTable"))
        progress(", ".join(f"{name} {count}" for name, count in waiting.items()) + f"; unfinished {open_orders}")
        quiet = 0 if any(waiting.values()) or open_orders else quiet + 1
        time.sleep(0.4)
    return quiet == 2


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


def find_problems(deployment: Deployment, placed: PlacedOrders, snapshot: Snapshot) -> list[str]:
    """Return a line for each wrong answer or effect."""
    violations = [*invariants.check(snapshot, initial_stock()), *invariants.queues_are_empty(snapshot)]
    return [
        *_answer_problems(placed),
        *_status_problems(placed, snapshot),
        *(violation.what for violation in violations),
        *(
            f"{name}: no lag was reported"
            for name, types in event_types(deployment).items()
            if types & _CAUSED and not snapshot.lags[name]
        ),
    ]


def effect_problems(placed: PlacedOrders, snapshot: Snapshot) -> list[str]:
    """Return the problems with status, shipments, payments and mails of the placed orders."""
    violations = [violation.what for violation in invariants.check(snapshot, initial_stock())]
    return [
        *_status_problems(placed, snapshot),
        *(what for what in violations if any(order_id in what for order_id in placed.all)),
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
    return wrong


def _status_problems(placed: PlacedOrders, snapshot: Snapshot) -> list[str]:
    status = {order["orderId"]: _outcome(order) for order in snapshot.orders}
    expected = (
        dict.fromkeys(placed.kept, "PREPARED")
        | dict.fromkeys(placed.cancelled, "CANCELLED")
        | dict.fromkeys(placed.returned, "PREPARED, refunded")
    )
    return [
        f"{order_id} is {status.get(order_id)}, not {wanted}"
        for order_id, wanted in expected.items()
        if status.get(order_id) != wanted
    ]


def _outcome(order: Mapping[str, Any]) -> str:
    """Return an order's status, and whether all of its total is refunded."""
    refunds = order.get("refunds", {}).values()
    refunded = sum(refund["amount"] for refund in refunds if refund["state"] == "refunded")
    return f"{order['status']}{', refunded' if refunded == order['total'] else ''}"


def mail_summary(mail: Mapping[str, Any]) -> Mail:
    """Return a mail as the invariants read it."""
    return Mail(str(mail.get("Subject", "")), order_in(str(mail)), str(mail))


def _sample(name: str) -> dict[str, Any]:
    sample: dict[str, Any] = json.loads((EVENTS / f"requests/{name}.json").read_text())
    return sample
