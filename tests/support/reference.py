"""A small model of the shop: its possible answers, and the invariants of every moment.

It has no retries, outboxes or crashes: only requests, answers and stored data.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from dev.simulated.api import Answer
from dev.simulated.world import ADDRESS, World, body
from shop import ids
from shop.customers import MAX_PENDING_NOTICES
from tests.support import invariants

PRICES = {"MUG-01": 1250, "TEE-02": 2000}
USERS = ("ada", "bob")
PLACED, DECLINED, EXPIRED = "placed", "payment-declined", "order-expired"
OUTAGE = {"try-later", "unavailable"}  # possible answers during an outage
_FINAL = {PLACED, DECLINED, EXPIRED}  # outcomes that a key keeps
_KEY_STAYS_FREE = {"out-of-stock", "total-changed", "invalid-request"}
_FIRST_ANSWER = {"tok_decline": DECLINED, "tok_approve": PLACED}  # of the provider; other tokens fail first
_STANDING = {"PLACED", "PREPARED", "CANCELLED"}
_OUTCOMES = {PLACED: _STANDING, DECLINED: {"REJECTED"}, EXPIRED: {"REJECTED"}}
_HOLDS = {
    "held": {"PENDING", *_STANDING, "REJECTED"},
    "capture": {"PREPARED"},
    "void": {"CANCELLED", "REJECTED"},
    "declined": {"PENDING", "REJECTED"},
}
_PAYMENTS = {"none": 0, "authorised": 1, "captured": 2, "voided": 2, "failed": 2}
_PAUSES = 10_000  # ms: the longest duration of one request's tries
_FIXED = ("userId", "lines", "total", "currency", "shippingAddress", "requestHash")


@dataclass(frozen=True, slots=True)
class Wish:
    """A request to place an order. ``expecting``: only at the initial prices."""

    lines: tuple[tuple[str, int], ...]
    token: str = "tok_approve"
    expecting: bool = False

    @property
    def name(self) -> str:
        """The name of the wish. It is part of the address, so that an order shows its wish."""
        goods = " and ".join(f"{quantity} {sku}" for sku, quantity in self.lines)
        return f"{goods} by {self.token}" + (f" for {self.expected_total}" if self.expecting else "")

    @property
    def expected_total(self) -> int:
        """The total at the initial prices."""
        return sum(PRICES[sku] * quantity for sku, quantity in self.lines)

    def body(self) -> dict[str, Any]:
        """Return the body of its ``POST /orders``."""
        total = {"expectedTotal": self.expected_total} if self.expecting else {}
        return body(*self.lines, token=self.token, shippingAddress=ADDRESS | {"street": self.name}, **total)


class Reference:
    """The requests and answers in one world so far, and the possible next answers."""

    def __init__(self, world: World, available: int) -> None:
        self._world = world
        self._loaded = dict.fromkeys(PRICES, available)
        self._prices = {sku: {price} for sku, price in PRICES.items()}  # since the last check
        self._repriced: set[str] = set()
        self._delisted: set[str] = set()
        self._answers: dict[str, tuple[str, str]] = {}
        self._cancelled: set[str] = set()
        self._seen: dict[str, dict[str, Any]] = {}
        self.events_seen = 0
        self._profiles = {user: [{"name": user.title(), "email": f"{user}@example.com"}] for user in USERS}
        self.new_addresses: set[str] = set()
        self.orders: list[dict[str, Any]] = []
        self.placed: dict[str, dict[str, Any]] = {}
        for sku, price in PRICES.items():
            world.stock(sku, available, price)
        for user in USERS:
            world.customer(user)

    @property
    def loaded(self) -> dict[str, int]:
        """The initial stock of each product plus the deliveries."""
        return dict(self._loaded)

    def product_changed(self, sku: str, price: int, units: int, listed: bool) -> None:
        """Record a product's new price, listing and delivered units."""
        self._loaded[sku] += units
        self._prices[sku].add(price)
        if price != PRICES[sku]:
            self._repriced.add(sku)
        if not listed:
            self._delisted.add(sku)

    # --- possible answers ---------------------------------------------------------------------------------------------

    def outcomes(self, user: str, key: str, wish: Wish) -> set[str]:
        """Return the possible outcomes of a request to place an order, without faults."""
        stored = self._world.order(ids.order_id(user, key))
        if not stored:
            return self._outcomes_of_new(wish)
        if stored["shippingAddress"]["street"] != wish.name:
            return {"key-reused"}
        if stored["status"] == "REJECTED":
            rejected = next(entry for entry in stored["history"] if entry["status"] == "REJECTED")
            return {EXPIRED if rejected["reason"] == "expired" else DECLINED}
        if stored["status"] != "PENDING":
            return {PLACED}
        asked = stored["orderId"] in self._world.ledger()
        resumed = {_FIRST_ANSWER.get(wish.token, PLACED if asked else "try-later")}
        lease = stored["leaseUntil"] - self._world.clock.ms
        return resumed if lease <= 0 else {"in-progress"} | (resumed if lease < _PAUSES else set())

    def _outcomes_of_new(self, wish: Wish) -> set[str]:
        products = {sku: self._world.item("ProductsTable", sku=sku) for sku, _ in wish.lines}
        possible = set()
        if wish.expecting and products.keys() & self._repriced:
            possible.add("total-changed")
        if products.keys() & self._delisted:  # the copy may be a minute old
            possible.add("invalid-request")
        if any(products[sku]["available"] < quantity for sku, quantity in wish.lines):
            possible.add("out-of-stock")
        elif all(product["listed"] for product in products.values()):
            possible.add(_FIRST_ANSWER.get(wish.token, "try-later"))
        return possible

    def answered(self, user: str, key: str, wish: Wish, answer: Answer, possible: set[str] | None) -> str:
        """Check an answer and return its outcome; ``possible`` is None if other actions ran meanwhile."""
        order_id = ids.order_id(user, key)
        outcome = PLACED if answer.status == 201 else answer.problem
        assert possible is None or outcome in possible, (outcome, possible, answer)
        if outcome in _FINAL:
            self._check_repeat(order_id, wish, outcome, answer)
        elif outcome == "key-reused":
            assert self._world.order(order_id)["shippingAddress"]["street"] != wish.name, answer
        elif outcome in _KEY_STAYS_FREE | {"in-progress"}:
            assert order_id not in self._answers, (answer, self._answers[order_id])
        else:
            assert outcome in OUTAGE, answer
        if outcome == "out-of-stock":
            wanted = dict(wish.lines)
            assert all(product["available"] < wanted[product["sku"]] for product in answer.json["products"]), answer
        return outcome

    def _check_repeat(self, order_id: str, wish: Wish, outcome: str, answer: Answer) -> None:
        assert answer.json["orderId"] == order_id
        assert self._answers.setdefault(order_id, (outcome, wish.name)) == (outcome, wish.name), answer
        if outcome == PLACED:
            assert self.placed.setdefault(order_id, answer.json) == answer.json
            assert {line["sku"]: line["quantity"] for line in answer.json["lines"]} == dict(wish.lines)
            assert answer.json["shippingAddress"] == wish.body()["shippingAddress"]
            assert answer.json["total"] == sum(line["quantity"] * line["unitPrice"] for line in answer.json["lines"])
            assert not wish.expecting or answer.json["total"] == wish.expected_total

    def cancellation_outcomes(self, user: str, order_id: str) -> set[str]:
        """Return the possible outcomes of a cancellation, without faults."""
        order = self._world.order(order_id)
        if order["userId"] != user:
            return {"no-such-order"}
        if order["status"] == "PENDING":
            return {"in-progress"}
        return {"cancelled" if order["status"] in {"PLACED", "CANCELLED"} else "not-cancellable"}

    def cancellation_answered(self, order_id: str, answer: Answer, possible: set[str] | None) -> str:
        """Check the answer to a cancellation; return its outcome."""
        outcome = "cancelled" if answer.status == 200 else answer.problem
        assert possible is None or outcome in possible, (outcome, possible, answer)
        if outcome == "cancelled":
            assert answer.json["status"] == "CANCELLED"
            self._cancelled.add(order_id)
        return outcome

    def profile_outcomes(self, user: str) -> set[str]:
        """Return the possible outcomes of a profile change, without faults."""
        customer = self._world.item("CustomersTable", userId=user)
        pending = max(len(customer.get(waiting, ())) for waiting in ("outbox", "addressChanges"))
        return {"profile", "profile-busy"} if pending >= MAX_PENDING_NOTICES else {"profile"}

    def profile_answered(
        self, user: str, profile: dict[str, Any], answer: Answer | None, possible: set[str] | None
    ) -> str:
        """Check the answer to a profile change, None after a crash; return its outcome."""
        outcome = "crashed" if answer is None else "profile" if answer.status == 200 else answer.problem
        assert possible is None or outcome in possible, (outcome, possible, answer)
        if outcome == "profile":
            self.new_addresses.add(profile["email"])
        alone = outcome == "profile" and possible is not None
        self._profiles[user] = [profile] if alone else [*self._profiles[user], profile]
        return outcome

    # --- invariants of every moment -----------------------------------------------------------------------------------

    def check(self) -> None:
        """Check the invariants that hold even while work is pending."""
        invariants.stock_adds_up(self._world, self._loaded)
        self.orders = sorted(self._world.items("OrdersTable"), key=lambda order: order["orderId"])
        orders = {order["orderId"]: order for order in self.orders}
        assert self._seen.keys() <= orders.keys()
        for order_id, order in orders.items():
            self._check_progress(self._seen.get(order_id), order)
        for order_id, (outcome, wish) in self._answers.items():
            assert orders[order_id]["status"] in _OUTCOMES[outcome], orders[order_id]
            assert orders[order_id]["shippingAddress"]["street"] == wish
        for order_id in self._cancelled:
            assert orders[order_id]["status"] == "CANCELLED", orders[order_id]
        for customer in self._world.items("CustomersTable"):
            profile = {"name": customer["name"], "email": customer["email"]}
            assert profile in self._profiles[customer["userId"]], customer
        self._check_money(orders)
        self._check_events(orders)
        self._seen = orders
        for product in self._world.items("ProductsTable"):
            self._prices[product["sku"]] = {product["unitPrice"]}

    def _check_progress(self, before: dict[str, Any] | None, order: dict[str, Any]) -> None:
        """Check that an order only moves forward, and that pending work is in the index."""
        if before is None:
            assert all(line["unitPrice"] in self._prices[line["sku"]] for line in order["lines"]), order
        else:
            assert order["history"][: len(before["history"])] == before["history"], (before, order)
            assert {name: order[name] for name in _FIXED} == {name: before[name] for name in _FIXED}
            was, now = before["payment"]["state"], order["payment"]["state"]
            assert was == now or _PAYMENTS[was] < _PAYMENTS[now], (before, order)
        assert order["sequence"] == len(order["history"]) - 1, order
        if order["status"] == "PENDING" or order["outbox"] or "paymentDue" in order:
            assert {"unfinished", "dueAt", "unfinishedSince"} <= order.keys(), order

    def _check_money(self, orders: dict[str, dict[str, Any]]) -> None:
        """Check that every hold has an order and ends at most once, and that only paid shipments are released."""
        ledger = self._world.items("SandboxTable")
        states = {entry["orderId"]: entry.get("state") for entry in ledger if entry["kind"] == "authorise"}
        for entry in ledger:
            order = orders[entry["orderId"]]
            if entry["kind"] == "authorise":
                assert entry["amount"] == order["total"], (entry, order)
                assert order["status"] in _HOLDS.get(entry["state"], {"PENDING", "REJECTED"}), (entry, order)
                over = entry["state"] == "held" and order["status"] not in {"PENDING", "PLACED"}
                assert not over or "paymentDue" in order, (entry, order)
        moved = Counter(entry["orderId"] for entry in ledger if entry["kind"] != "authorise")
        assert all(count == 1 for count in moved.values()), ledger
        shipments = {shipment["orderId"]: shipment["state"] for shipment in self._world.items("ShipmentsTable")}
        assert shipments.keys() == {order_id for order_id, order in orders.items() if order["status"] == "PREPARED"}
        for order_id, state in shipments.items():
            assert (state == "released") == (orders[order_id]["payment"]["state"] == "captured"), orders[order_id]
            assert state != "released" or states[order_id] == "capture", orders[order_id]

    def _check_events(self, orders: dict[str, dict[str, Any]]) -> None:
        """Check that every published event has happened."""
        events = self._world.events()
        for event in events[self.events_seen :]:
            if event["Source"] != "handoff.customers":
                metadata, data = event["Detail"]["metadata"], event["Detail"]["data"]
                order = orders[data["orderId"]]
                assert metadata["sequence"] <= order["sequence"], (event, order)
                assert metadata["timestamp"] == order["history"][metadata["sequence"]]["at"], (event, order)
        self.events_seen = len(events)
