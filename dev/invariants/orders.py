"""Invariants of orders: kept answers, sound histories, published events, stock and shipments."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from dev.invariants.snapshot import Item, Snapshot, Violation, lost, wrong
from handoff import ids
from handoff.events import MAX_DETAIL_BYTES
from handoff.unfinished import INDEX_KEYS
from shop.stock import is_shard, item_sku, product_of
from shop.transitions import PERSONAL_DATA_ERASED

# States in which an order keeps its stock.
_LIVE = {"PENDING", "PLACED", "PREPARED"}
_STEPS = {("PENDING", "PLACED"), ("PENDING", "REJECTED"), ("PLACED", "PREPARED"), ("PLACED", "CANCELLED")}
_PAYMENT_STEPS = {
    *(("none", state) for state in ("action_required", "authorised", "captured", "voided", "failed")),
    *(("action_required", state) for state in ("authorised", "captured", "voided", "failed")),
    *(("authorised", state) for state in ("captured", "voided", "failed")),
    *(("failed", state) for state in ("captured", "voided")),  # by the void after a failed action
    ("captured", "captured"),  # captured by the merchant before packing, or released after a dispute
}
_REFUND_STEPS = {
    *(("due", state) for state in ("pending", "refunded", "failed")),
    *(("pending", state) for state in ("refunded", "failed")),
    ("refunded", "failed"),  # a bank can return a refund later
}
_HOLD_BACK = {"open", "lost"}  # states of a dispute
_FIRST_REFUND_STEPS = {True: {"pending", "refunded", "failed"}, False: {"due"}}  # by whether it was made elsewhere
# Fields of a step that keeps the status.
_OTHER_CHANGES = {"payment", "refund", "returns", "dispute"}
# The event about a step that changes the status, or else the refund.
_STATUS_EVENTS = {"PLACED": "order_placed", "CANCELLED": "order_cancelled", "PREPARED": "shipment_prepared"}
_REFUND_EVENTS = {"due": "refund_requested", "refunded": "order_refunded"}
_OTHER_SOURCES = {"handoff.customers", "handoff.payments"}  # of events that are not about a step of an order
_ANSWERED = ("lines", "total", "shippingAddress")


def answers_are_kept(snapshot: Snapshot, answered: Iterable[Item]) -> list[Violation]:
    """P1: an order answered with 201 exists, was placed, and has the content of the answer."""
    placed = {order["orderId"]: order for order in snapshot.orders if "placedAt" in order}
    violations = []
    for answer in answered:
        order = placed.get(answer["orderId"])
        if order is None:
            violations.append(lost(f"{answer['orderId']} was answered with 201 and does not exist"))
        elif any(order[name] != answer[name] for name in _kept_of(order) if name in answer):
            violations.append(wrong(f"{answer['orderId']} differs from its answer"))
    return violations


def _kept_of(order: Item) -> tuple[str, ...]:
    """Return the members of an answer that an order keeps: without the address, once its personal data is erased."""
    return tuple(name for name in _ANSWERED if not (name == "shippingAddress" and "erasedAt" in order))


def nothing_is_unfinished(snapshot: Snapshot) -> list[Violation]:
    """P1 and P4: all events are published; all reservations, payments and refunds are completed."""
    pending = [order["orderId"] for order in snapshot.orders if order["status"] == "PENDING"]
    customers = [customer["userId"] for customer in snapshot.customers if customer.get("outbox")]
    open_refunds = [
        order["orderId"]
        for order in snapshot.orders
        if any(_is_open(refund) for refund in order.get("refunds", {}).values())
    ]
    return [
        *(lost(f"{order_id} is PENDING") for order_id in pending),
        *(lost(f"{order['orderId']} has events to publish") for order in snapshot.orders if order.get("outbox")),
        *(lost(f"{user_id} has events to publish") for user_id in customers),
        *(lost(f"{order['orderId']} has a payment due") for order in snapshot.orders if "paymentDue" in order),
        *(lost(f"{order_id} has an open refund") for order_id in open_refunds),
    ]


def _is_open(refund: Item) -> bool:
    """Return whether the shop still has to ask for a refund. The provider's event ends one that a merchant has made."""
    return refund["state"] in {"due", "pending"} and not refund.get("elsewhere")


def index_is_empty(snapshot: Snapshot) -> list[Violation]:
    """P4: nothing is left in the index of unfinished work. A deployed stack may need another sweep for this."""
    left = [item for item in (*snapshot.orders, *snapshot.customers) if item.keys() & set(INDEX_KEYS)]
    return [wrong(f"{item.get('orderId') or item['userId']} is still in the index") for item in left]


def placed_orders_are_processed(snapshot: Snapshot) -> list[Violation]:
    """P1: no order is left in the state in which the consumers get it."""
    return [lost(f"{order['orderId']} is PLACED") for order in snapshot.orders if order["status"] == "PLACED"]


def queues_are_empty(snapshot: Snapshot) -> list[Violation]:
    """P1 and P8: no message waits, and there are no dead letters."""
    return [
        *(lost(f"{name}: {count} messages still waiting") for name, count in snapshot.waiting.items() if count),
        *(lost(f"{name}: {count} dead letters") for name, count in snapshot.dead_letters.items() if count),
    ]


def histories_are_sound(snapshot: Snapshot) -> list[Violation]:
    """P7: each order took only allowed steps, under consecutive sequence numbers, each once."""
    return [wrong(f"{order['orderId']} has an impossible history") for order in snapshot.orders if not _is_sound(order)]


def _is_sound(order: Item) -> bool:
    history = order["history"]
    moves = {(before["status"], entry["status"]) for before, entry in pairwise(history)}
    idle = [
        entry
        for before, entry in pairwise(history)
        if before["status"] == entry["status"] and not (entry.keys() & _OTHER_CHANGES or _erases(order, entry))
    ]
    payments = ["none", *(entry["payment"] for entry in history if "payment" in entry)]
    return (
        [entry["sequence"] for entry in history] == list(range(len(history)))
        and len({entry["transitionId"] for entry in history}) == len(history)
        and {move for move in moves if move[0] != move[1]} <= _STEPS
        and not idle
        and set(pairwise(payments)) <= _PAYMENT_STEPS
        and payments[-1] == order["payment"]["state"]
        and _refunds_are_sound(order)
        and sum("returns" in entry for entry in history) == ("returnRequest" in order)
        and (history[-1]["status"], history[-1]["sequence"]) == (order["status"], order["sequence"])
    )


def _erases(order: Item, entry: Item) -> bool:
    """Return whether a step erased the order's personal data."""
    return bool(entry.get("reason") == PERSONAL_DATA_ERASED and entry["at"] == order.get("erasedAt"))


def _refunds_are_sound(order: Item) -> bool:
    """Return whether each refund went from its first state to its present one, in allowed steps."""
    refunds = order.get("refunds", {})
    steps: dict[str, list[Item]] = {refund_id: [] for refund_id in refunds}
    for entry in order["history"]:
        if "refund" in entry:
            steps.setdefault(entry["refundId"], []).append(entry)
    if steps.keys() != refunds.keys():
        return False
    for refund_id, entries in steps.items():
        states, refund = [entry["refund"] for entry in entries], refunds[refund_id]
        ended = [entry["sequence"] for entry in entries if entry["refund"] in {"refunded", "failed"}]
        if not (
            states[0] in _FIRST_REFUND_STEPS[refund.get("elsewhere", False)]
            and set(pairwise(states)) <= _REFUND_STEPS
            and states[-1] == refund["state"]
            and ended[-1:] == [refund["sequence"] for _ in ended[-1:]]
        ):
            return False
    return True


def every_event_is_published(snapshot: Snapshot) -> list[Violation]:
    """P1 and P10: each step that has an event is published, at least once, no other one is, and no event is large."""
    wanted = {event for order in snapshot.orders for event in _events_of(order)}
    published = {
        (event["Detail"]["metadata"]["eventId"], event["DetailType"])
        for event in snapshot.events
        if event["Source"] not in _OTHER_SOURCES
    }
    large = [event for event in snapshot.events if len(json.dumps(event["Detail"])) > MAX_DETAIL_BYTES]
    return [
        *(lost(f"{kind} {event_id} is not published") for event_id, kind in wanted - published),
        *(wrong(f"{kind} {event_id} is published and did not happen") for event_id, kind in published - wanted),
        *(wrong(f"{event['Detail']['metadata']['eventId']} is over {MAX_DETAIL_BYTES} bytes") for event in large),
    ]


def _events_of(order: Item) -> Iterator[tuple[str, str]]:
    for before, entry in pairwise(order["history"]):
        kind = _event_of(before, entry)
        if kind:
            yield ids.event_id(order["orderId"], entry["sequence"]), kind


def _event_of(before: Item, entry: Item) -> str | None:
    if entry["status"] != before["status"]:
        return _STATUS_EVENTS.get(entry["status"])
    if "refund" in entry:
        return _REFUND_EVENTS.get(entry["refund"])
    if "returns" in entry:
        return "return_requested"
    if "dispute" in entry:
        return "payment_disputed"
    return "shipment_released" if releases(entry) else None


def releases(entry: Item) -> bool:
    """Return whether a step that keeps the status is the capture that releases the shipment.

    A capture in part, which only a merchant can do at the provider, has a reason and releases nothing.
    """
    return (entry["status"], entry.get("payment"), entry.get("reason")) == ("PREPARED", "captured", None)


def stock_adds_up(snapshot: Snapshot, loaded: Mapping[str, int]) -> list[Violation]:
    """P3: all loaded stock is available, or in a live order without the units that came back with its refunds."""
    taken: Counter[str] = Counter()
    for order in snapshot.orders:
        if order["status"] in _LIVE:
            taken.update(units(order["lines"]))
            taken.subtract(returned_units(order))
    available: Counter[str] = Counter()
    for item in snapshot.products:
        available[product_of(item["sku"])] += item["available"]
    return [
        *(
            wrong(f"{item['sku']}: {item['available']} are available")
            for item in snapshot.products
            if item["available"] < 0
        ),
        *(wrong(f"{sku} was not loaded") for sku in available.keys() - loaded.keys()),
        *(
            wrong(f"{sku}: {available.get(sku)} available of {count}, with {taken[sku]} in orders")
            for sku, count in loaded.items()
            if available.get(sku) != count - taken[sku]
        ),
        *_shard_violations(snapshot),
    ]


def _shard_violations(snapshot: Snapshot) -> list[Violation]:
    """P3: a product has the stock shards that it names and no others, on sale as itself with its name and price."""
    items = {item["sku"]: item for item in snapshot.products}
    products = {key: item for key, item in items.items() if not is_shard(key)}
    named = {item_sku(sku, n): sku for sku, item in products.items() for n in range(1, item.get("shards", 0) + 1)}
    found = {key for key in items if is_shard(key)}
    return [
        *(lost(f"there is no shard {key}") for key in named.keys() - found),
        *(wrong(f"{key} belongs to no product") for key in found - named.keys()),
        *(
            wrong(f"{key} is not like its product")
            for key in found & named.keys()
            if (items[key]["name"], items[key]["unitPrice"], items[key].get("onSale"))
            != tuple(products[named[key]][name] for name in ("name", "unitPrice", "listed"))
        ),
    ]


def shipments_are_paid(snapshot: Snapshot) -> list[Violation]:
    """P2: only prepared orders have a packed shipment, and it is released if and only if the order is paid in full.

    An open or lost dispute holds it back. Only placed orders have an open one.
    """
    states = {shipment["orderId"]: shipment["state"] for shipment in snapshot.shipments}
    packed = {order_id for order_id, state in states.items() if state != "open"}
    released = {order_id for order_id, state in states.items() if state == "released"}
    statuses = {order["orderId"]: order["status"] for order in snapshot.orders}
    prepared = {order_id for order_id, status in statuses.items() if status == "PREPARED"}
    paid = {order["orderId"] for order in snapshot.orders if captured_amount(order) == order["total"]}
    disputed = {order["orderId"] for order in snapshot.orders if order.get("dispute", {}).get("state") in _HOLD_BACK}
    careless = [order["orderId"] for order in snapshot.orders if _was_released_in_dispute(order)]
    misplaced = [order_id for order_id in states.keys() - packed if statuses.get(order_id) != "PLACED"]
    return [
        *(lost(f"{order_id} is prepared and has no shipment") for order_id in prepared - packed),
        *(wrong(f"{order_id} has a shipment and is not prepared") for order_id in packed - prepared),
        *(wrong(f"{order_id} has an open shipment and is not placed") for order_id in misplaced),
        *(lost(f"{order_id} is paid and not released") for order_id in packed & paid - released - disputed),
        *(wrong(f"{order_id} is released and not paid") for order_id in released - paid),
        *(wrong(f"{order_id} was released while its payment was disputed") for order_id in careless),
    ]


def _was_released_in_dispute(order: Item) -> bool:
    """Return whether the shipment was released after a dispute that was open or lost then."""
    dispute = None
    for entry in order["history"]:
        dispute = entry.get("dispute", dispute)
        if releases(entry) and dispute in _HOLD_BACK:
            return True
    return False


def settled_orders_keep_no_token(snapshot: Snapshot) -> list[Violation]:
    """P9: an order whose payment is completed keeps no payment token."""
    ended = [order for order in snapshot.orders if order["status"] not in {"PENDING", "PLACED"}]
    return [
        wrong(f"{order['orderId']} still has its payment token")
        for order in ended
        if "paymentDue" not in order and "paymentToken" in order
    ]


def captured_amount(order: Item) -> int:
    """Return the captured amount. Earlier releases stored no amount: they captured the total."""
    payment = order["payment"]
    return int(payment.get("captured", order["total"])) if payment["state"] == "captured" else 0


def units(lines: Iterable[Item]) -> Counter[str]:
    """Return the quantity of each product."""
    return Counter({line["sku"]: line["quantity"] for line in lines})


def returned_units(order: Item) -> Counter[str]:
    """Return the units of an order that came back with its refunds."""
    returned: Counter[str] = Counter()
    for refund in order.get("refunds", {}).values():
        if refund["state"] == "refunded" and refund["restock"]:
            returned.update(units(refund["lines"]))
    return returned
