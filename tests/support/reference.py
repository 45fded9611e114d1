"""A small model of the shop: its possible answers, and the invariants of every moment.

It has no retries, outboxes or crashes: only requests, answers and stored data.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from dev.invariants import ON_ITS_WAY, order_in
from dev.simulated.api import Answer
from dev.simulated.world import ADDRESS, World, body
from shop import ids
from shop.customers import MAX_PENDING_NOTICES
from tests.support import invariants, reference_refunds
from tests.support.reference_refunds import RefundWish, units_left

PRICES = {"MUG-01": 1250, "TEE-02": 2000}
# Cleo and Dora have no profile at the beginning. Dora's tokens have an address that the issuer has verified.
USERS = ("ada", "bob", "cleo", "dora")
_IN_TOKEN = {"dora": "dora@token.example"}
ACTION = "action-required"
PLACED, DECLINED, EXPIRED, ABANDONED = "placed", "payment-declined", "order-expired", "order-abandoned"
OUTAGE = {"try-later", "unavailable"}  # possible answers during an outage
_FINAL = {PLACED, DECLINED, EXPIRED, ABANDONED}  # outcomes that a key keeps
_REJECTIONS = {"declined": DECLINED, "expired": EXPIRED, "abandoned": ABANDONED}  # by the reason of the order
_KEY_STAYS_FREE = {"out-of-stock", "total-changed", "invalid-request", "no-address"}
# The provider's first answer; other tokens fail first.
_FIRST_ANSWER = {
    "tok_decline": DECLINED,
    **dict.fromkeys(("tok_approve", "tok_refund_pending", "tok_refund_fails"), PLACED),
    **dict.fromkeys(("tok_action", "tok_action_fail", "tok_action_abandon"), ACTION),
}
_NOT_HELD = {"action": ACTION, "action_failed": DECLINED, "declined": DECLINED}  # outcomes, by the provider's state
_STANDING = {"PLACED", "PREPARED", "CANCELLED"}
_OUTCOMES = {PLACED: _STANDING, **{outcome: {"REJECTED"} for outcome in _REJECTIONS.values()}}
_HOLDS = {
    "held": {"PENDING", *_STANDING, "REJECTED"},
    "capture": {"PREPARED"},
    "disputed": {"PREPARED"},
    "void": {"CANCELLED", "REJECTED"},
    "declined": {"PENDING", "REJECTED"},
    "action": {"PENDING", "REJECTED"},
    "action_failed": {"PENDING", "REJECTED"},
}
_COULD_BE_HELD = {"held", "action", "action_failed"}
_CHARGED = {"capture", "disputed"}
_REFUND_ORDER = {"due": 0, "pending": 1, "refunded": 2, "failed": 2}
_PAYMENTS = {"none": 0, "action_required": 1, "authorised": 2, "failed": 3, "voided": 4, "captured": 5}
_OUTCOMES_BY_STATUS = {201: PLACED, 200: PLACED, 202: ACTION}
_PAUSES = 10_000  # ms: the longest duration of one request's tries
_FIXED = ("userId", "lines", "total", "currency", "shippingAddress", "requestHash", "fingerprint")


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
        address = ADDRESS | {"street": self.name}
        return body(*self.lines, token=self.token, shippingAddress=address, customerAction=True, **total)


def claims(user: str) -> dict[str, str]:
    """Return the claims of a user's tokens about the address."""
    return {"email": _IN_TOKEN[user], "email_verified": "true"} if user in _IN_TOKEN else {}


class Reference:
    """The requests and answers in one world so far, and the possible next answers."""

    def __init__(self, world: World, available: int) -> None:
        self._world = world
        self._loaded = dict.fromkeys(PRICES, available)
        self._prices = {sku: {price} for sku, price in PRICES.items()}  # since the last check
        self._repriced: set[str] = set()
        self._delisted: set[str] = set()
        self._answers: dict[str, tuple[str, str]] = {}
        self._cancelled: dict[str, str] = {}
        self._refunds: dict[str, dict[str, Any]] = {}
        self._merchants: set[str] = set()
        self._mails_seen = 0
        self._seen: dict[str, dict[str, Any]] = {}
        self.events_seen = 0
        self._profiles = {user: [{"name": user.title(), "email": f"{user}@example.com"}] for user in ("ada", "bob")}
        self._profiles["cleo"] = []
        self._profiles["dora"] = [{"name": ADDRESS["name"], "email": _IN_TOKEN["dora"]}]
        self.new_addresses: set[str] = set()
        self.orders: list[dict[str, Any]] = []
        self.placed: dict[str, dict[str, Any]] = {}
        for sku, price in PRICES.items():
            world.stock(sku, available, price)
        for user in ("ada", "bob"):
            world.customer(user)

    @property
    def loaded(self) -> dict[str, int]:
        """The initial stock of each product plus the deliveries."""
        return dict(self._loaded)

    @property
    def waiting(self) -> list[str]:
        """The orders on whose payments the customer can act, also those that do not have them yet."""
        return sorted(order_id for order_id, state in self._world.ledger().items() if state == "action")

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
            return self._outcomes_of_new(user, wish)
        if stored["shippingAddress"]["street"] != wish.name:
            return {"key-reused"}
        if stored["status"] != "PENDING" or _waits(stored):
            return {self._outcome_of(stored)}
        state = self._world.ledger().get(stored["orderId"])
        resumed = {_NOT_HELD.get(state, PLACED) if state else _FIRST_ANSWER.get(wish.token, "try-later")}
        lease = stored["leaseUntil"] - self._world.clock.ms
        return resumed if lease <= 0 else {"in-progress"} | (resumed if lease < _PAUSES else set())

    def _outcome_of(self, stored: dict[str, Any]) -> str:
        """Return the outcome that an order has, or gets by its payment if it waits for its customer."""
        if stored["status"] == "REJECTED":
            return _REJECTIONS[_rejection(stored)]
        if stored["status"] != "PENDING":
            return PLACED
        hold = self._world.item("SandboxTable", key=ids.payment_key(stored["orderId"], "authorise"))
        if hold["state"] == "void" or hold.get("captured", hold["amount"]) != stored["total"]:
            return DECLINED
        return _NOT_HELD.get(hold["state"], PLACED)

    def _outcomes_of_new(self, user: str, wish: Wish) -> set[str]:
        products = {sku: self._world.item("ProductsTable", sku=sku) for sku, _ in wish.lines}
        possible = set()
        if wish.expecting and products.keys() & self._repriced:
            possible.add("total-changed")
        if products.keys() & self._delisted:  # it may be known from before
            possible.add("invalid-request")
        customer = self._world.item("CustomersTable", userId=user)
        if "emailProblem" in customer or not (customer.get("email") or user in _IN_TOKEN):
            possible.add("no-address")
        elif any(products[sku]["available"] < quantity for sku, quantity in wish.lines):
            possible.add("out-of-stock")
        elif all(product["listed"] for product in products.values()):
            possible.add(_FIRST_ANSWER.get(wish.token, "try-later"))
        return possible

    def answered(self, user: str, key: str, wish: Wish, answer: Answer, possible: set[str] | None) -> str:
        """Check an answer and return its outcome; ``possible`` is None if other actions ran meanwhile."""
        order_id = ids.order_id(user, key)
        outcome = _OUTCOMES_BY_STATUS.get(answer.status) or answer.problem
        assert possible is None or outcome in possible, (outcome, possible, answer)
        if outcome in _FINAL:
            self._check_repeat(order_id, wish, outcome, answer)
        elif outcome == "key-reused":
            assert self._world.order(order_id)["shippingAddress"]["street"] != wish.name, answer
        elif outcome in _KEY_STAYS_FREE | {"in-progress", ACTION}:
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

    def confirmation_outcomes(self, user: str, order_id: str) -> set[str]:
        """Return the possible outcomes of confirming an order, without faults."""
        order = self._world.order(order_id)
        if order["userId"] != user:
            return {"no-such-order"}
        if order["status"] == "PENDING" and not _waits(order):
            return {"in-progress"}
        return {self._outcome_of(order)}

    def confirmation_answered(self, order_id: str, answer: Answer, possible: set[str] | None) -> str:
        """Check the answer to confirming an order; return its outcome."""
        outcome = _OUTCOMES_BY_STATUS.get(answer.status) or answer.problem
        assert possible is None or outcome in possible, (outcome, possible, answer)
        if outcome in _FINAL:
            wish = self._world.order(order_id)["shippingAddress"]["street"]
            assert self._answers.setdefault(order_id, (outcome, wish)) == (outcome, wish), answer
        return outcome

    def cancellation_outcomes(self, user: str | None, order_id: str) -> set[str]:
        """Return the possible outcomes of a cancellation, without faults; by the shop without a ``user``."""
        order = self._world.order(order_id)
        if user and order["userId"] != user:
            return {"no-such-order"}
        if order["status"] == "PENDING" and order["leaseUntil"] > self._world.clock.ms:
            return {"in-progress"}
        if order["status"] == "REJECTED":
            return {"cancelled" if _rejection(order) == "abandoned" else "not-cancellable"}
        return {"not-cancellable" if order["status"] == "PREPARED" else "cancelled"}

    def cancellation_answered(self, order_id: str, answer: Answer, possible: set[str] | None) -> str:
        """Check the answer to a cancellation; return its outcome."""
        outcome = "cancelled" if answer.status == 200 else answer.problem
        assert possible is None or outcome in possible, (outcome, possible, answer)
        if outcome == "cancelled":
            assert answer.json["status"] in {"CANCELLED", "REJECTED"}
            self._cancelled[order_id] = answer.json["status"]
        return outcome

    def packing_outcomes(self, order_id: str) -> set[str]:
        """Return the possible outcomes of packing an order by hand, without faults."""
        return {"packed" if self._world.order(order_id)["status"] in {"PLACED", "PREPARED"} else "not-packable"}

    def packing_answered(self, order_id: str, answer: Answer, possible: set[str] | None) -> str:
        """Check the answer to packing; return its outcome."""
        outcome = "packed" if answer.status == 200 else answer.problem
        assert possible is None or outcome in possible, (outcome, possible, answer)
        assert outcome != "packed" or self._world.order(order_id)["status"] == "PREPARED", answer
        return outcome

    def return_outcomes(self, user: str, order_id: str) -> set[str]:
        """Return the possible outcomes of a customer's request to return an order, without faults."""
        order = self._world.order(order_id)
        if order["userId"] != user:
            return {"no-such-order"}
        if "returnRequest" in order:
            return {"already-returned"}
        if "releasedAt" not in order:
            return {"not-released"}
        return {"return" if any(units_left(order).values()) else "too-many-units"}

    def return_answered(self, order_id: str, answer: Answer, possible: set[str] | None) -> str:
        """Check the answer to a request to return an order; return its outcome."""
        outcome = "return" if answer.status == 200 else answer.problem
        assert possible is None or outcome in possible, (outcome, possible, answer)
        assert outcome != "return" or "returnRequest" in self._world.order(order_id), answer
        return outcome

    def refund_outcomes(self, order_id: str, key: str, wish: RefundWish) -> set[str]:
        """Return the possible outcomes of a request for a refund, without faults."""
        return {reference_refunds.outcome(self._world.order(order_id), ids.refund_id(order_id, key), wish)}

    def refund_answered(
        self, order_id: str, key: str, wish: RefundWish, answer: Answer, possible: set[str] | None
    ) -> str:
        """Check the answer to a request for a refund; return its outcome."""
        outcome = "refund" if answer.status == 201 else answer.problem
        assert possible is None or outcome in possible, (outcome, possible, answer)
        if outcome == "refund":
            refund_id = ids.refund_id(order_id, key)
            assert (answer.json["refundId"], answer.json["reason"]) == (refund_id, wish.name), answer
            assert self._refunds.setdefault(refund_id, answer.json) == answer.json
        return outcome

    def merchant_acted(self, order_id: str) -> None:
        """Record that a merchant or a bank has acted on an order's payment at the provider."""
        self._merchants.add(order_id)

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
        for order_id, status in self._cancelled.items():
            assert orders[order_id]["status"] == status, orders[order_id]
        for refund_id, answer in self._refunds.items():
            refund = orders[answer["orderId"]]["refunds"][refund_id]
            assert refund["amount"] == answer["amount"], (refund, answer)
        customers = {customer["userId"]: customer for customer in self._world.items("CustomersTable")}
        for user, customer in customers.items():
            profile = {"name": customer["name"], "email": customer["email"]}
            assert profile in self._profiles[user], customer
        assert {order["userId"] for order in self.orders} <= customers.keys()
        self._check_money(orders)
        reference_refunds.check(self._world.items("SandboxTable"), orders, self._merchants)
        self._check_mails(orders)
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
            for refund_id, earlier in before.get("refunds", {}).items():
                was, now = earlier["state"], order["refunds"][refund_id]["state"]
                assert was == now or _REFUND_ORDER[was] < _REFUND_ORDER[now], (before, order)
        assert order["sequence"] == len(order["history"]) - 1, order
        if order["status"] == "PENDING" or order["outbox"] or "paymentDue" in order:
            assert {"unfinished", "dueAt", "unfinishedSince"} <= order.keys(), order

    def _check_money(self, orders: dict[str, dict[str, Any]]) -> None:
        """Check that every hold has an order and ends at most once, and that only paid shipments are released."""
        ledger = [entry for entry in self._world.items("SandboxTable") if "orderId" in entry]
        states = {entry["orderId"]: entry.get("state") for entry in ledger if entry["kind"] == "authorise"}
        for entry in ledger:
            order = orders[entry["orderId"]]
            if entry["kind"] == "authorise":
                assert entry["amount"] == order["total"], (entry, order)
                expected = _HOLDS.get(entry["state"], {"PENDING", "REJECTED"})
                assert order["status"] in expected or entry["orderId"] in self._merchants, (entry, order)
                over = entry["state"] in _COULD_BE_HELD and order["status"] not in {"PENDING", "PLACED"}
                assert not over or "paymentDue" in order, (entry, order)
        moved = Counter(entry["orderId"] for entry in ledger if entry["kind"] in {"capture", "void"})
        assert all(count == 1 for count in moved.values()), ledger
        shipments = {shipment["orderId"]: shipment["state"] for shipment in self._world.items("ShipmentsTable")}
        packed = {order_id: state for order_id, state in shipments.items() if state != "open"}
        assert packed.keys() == {order_id for order_id, order in orders.items() if order["status"] == "PREPARED"}
        assert all(orders[order_id]["status"] == "PLACED" for order_id in shipments.keys() - packed.keys())
        for order_id, state in packed.items():
            order, payment = orders[order_id], orders[order_id]["payment"]
            assert (state == "released") == ("releasedAt" in order), order
            assert state != "released" or payment.get("captured") == order["total"], order
            assert state != "released" or states[order_id] in _CHARGED, order
            due = "paymentDue" in order or payment["state"] != "captured"
            assert state == "released" or due or payment["reason"], order

    def _check_mails(self, orders: dict[str, dict[str, Any]]) -> None:
        """Check that a mail about money says what the ledger says."""
        mails = self._world.mails()
        ledger = self._world.ledger()
        for mail in mails[self._mails_seen :]:
            order_id = order_in(mail["text"])
            if mail["subject"] == ON_ITS_WAY:
                assert ledger[order_id] in _CHARGED, mail
            if "not charged" in mail["text"]:
                assert ledger[order_id] not in _CHARGED, mail
            if mail["subject"] == "Your refund":
                assert any(refund["state"] == "refunded" for refund in orders[order_id]["refunds"].values()), mail
        self._mails_seen = len(mails)

    def _check_events(self, orders: dict[str, dict[str, Any]]) -> None:
        """Check that every published event has happened."""
        events = self._world.events()
        for event in events[self.events_seen :]:
            if event["Source"] not in {"handoff.customers", "handoff.payments"}:
                metadata, data = event["Detail"]["metadata"], event["Detail"]["data"]
                order = orders[data["orderId"]]
                assert metadata["sequence"] <= order["sequence"], (event, order)
                assert metadata["timestamp"] == order["history"][metadata["sequence"]]["at"], (event, order)
        self.events_seen = len(events)


def _waits(order: dict[str, Any]) -> bool:
    """Return whether an order waits for its customer."""
    return bool(order["status"] == "PENDING" and order["payment"]["state"] == "action_required")


def _rejection(order: dict[str, Any]) -> str:
    """Return why an order was rejected."""
    return str(next(entry["reason"] for entry in order["history"] if entry["status"] == "REJECTED"))
