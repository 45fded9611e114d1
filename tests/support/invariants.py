"""What must hold once everything is quiet, whatever has happened before (the promises P1 to P4, P7, P9 and P10)."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from dev.simulated.world import World
from handoff import ids
from shop.sales_generations import FIRST, POINTER

_LIVE = {"PENDING", "PLACED", "PREPARED"}
_STEPS = {("PENDING", "PLACED"), ("PENDING", "REJECTED"), ("PLACED", "PREPARED"), ("PLACED", "CANCELLED")}
_EVENTS = {"PLACED": "order_placed", "CANCELLED": "order_cancelled", "PREPARED": "shipment_prepared"}
_SUBJECTS = {
    "PLACED": "Your order is confirmed",
    "CANCELLED": "Your order is cancelled",
    "PREPARED": "Your order is on its way",
}
_LARGEST_EVENT = 1024  # bytes (P10)
_SETTLED = {"PLACED": "held", "PREPARED": "captured", "CANCELLED": "voided", "REJECTED": "voided"}


def check(world: World, loaded: dict[str, int]) -> None:
    """All of them; ``loaded`` is the stock that each product started with."""
    stock_adds_up(world, loaded)
    money_has_owners(world)
    nothing_is_unfinished(world)
    histories_are_sound(world)
    every_event_is_out(world)
    sales_are_exact(world)
    shipments_are_paid(world)
    settled_orders_keep_no_token(world)


def check_all(
    world: World, loaded: dict[str, int], placed: Iterable[Mapping[str, Any]] = (), mail_repeats: int = 0
) -> None:
    """These, and what holds once every consumer has had its say.

    ``placed`` are the bodies of all answers 201, ``mail_repeats`` is how many mails may have gone out once more: as
    many as there were faults that struck the e-mail function.
    """
    check(world, loaded)
    answers_are_kept(world, placed)
    everybody_has_heard(world)
    repeated = repeated_mails(world)
    assert repeated.total() <= mail_repeats, repeated


def stock_adds_up(world: World, loaded: dict[str, int]) -> None:
    """P3: what was loaded is either available or in a live order."""
    taken: Counter[str] = Counter()
    for order in world.items("OrdersTable"):
        if order["status"] in _LIVE:
            taken.update({line["sku"]: line["quantity"] for line in order["lines"]})
    available = {product["sku"]: product["available"] for product in world.items("ProductsTable")}
    assert all(count >= 0 for count in available.values()), available
    assert available == {sku: count - taken[sku] for sku, count in loaded.items()}


def money_has_owners(world: World) -> None:
    """P2 and P4: at most one hold an order, each in the state that its order asks for."""
    orders = {order["orderId"]: order for order in world.items("OrdersTable")}
    holds = world.holds()
    assert len({hold.order_id for hold in holds}) == len(holds)
    for hold in holds:
        order = orders[hold.order_id]
        assert hold.amount == order["total"]
        if hold.state != "declined":
            assert hold.state == _SETTLED[order["status"]], (hold, order)
    authorised = {hold.order_id for hold in holds}
    assert {order_id for order_id, order in orders.items() if "placedAt" in order} <= authorised
    captures = Counter(entry["hold"] for entry in world.items("SandboxTable") if entry["kind"] == "capture")
    assert set(captures.values()) <= {1}, captures


def nothing_is_unfinished(world: World) -> None:
    """P4: no order waits for anything."""
    for order in world.items("OrdersTable"):
        assert order["status"] != "PENDING", order
        assert not order["outbox"], order
        assert not {"paymentDue", "unfinished", "dueAt", "unfinishedSince"} & order.keys(), order
    for customer in world.items("CustomersTable"):
        assert not customer.get("outbox"), customer
        assert not {"unfinished", "dueAt", "unfinishedSince"} & customer.keys(), customer


def histories_are_sound(world: World) -> None:
    """P7: each order took only steps that exist, one number after the other, each once."""
    for order in world.items("OrdersTable"):
        history = order["history"]
        assert [entry["sequence"] for entry in history] == list(range(len(history))), order
        moves = [(one["status"], next_one["status"]) for one, next_one in pairwise(history)]
        settling = [one == next_one and "payment" in history[n] for n, (one, next_one) in enumerate(moves, start=1)]
        assert {move for move, settles in zip(moves, settling, strict=True) if not settles} <= _STEPS, order
        payments = [entry["payment"] for entry in history if "payment" in entry]
        assert ["none", *payments][-1] == order["payment"]["state"], order
        assert (history[-1]["status"], history[-1]["sequence"]) == (order["status"], order["sequence"])
        assert len({entry["transitionId"] for entry in history}) == len(history), order


def answers_are_kept(world: World, placed: Iterable[Mapping[str, Any]]) -> None:
    """P1: what was answered with 201 is there, with the content that was answered."""
    orders = {order["orderId"]: order for order in world.items("OrdersTable")}
    for answer in placed:
        order = orders[answer["orderId"]]
        assert order["status"] not in {"PENDING", "REJECTED"}, order
        assert {name: order[name] for name in ("lines", "total", "shippingAddress")} == {
            name: answer[name] for name in ("lines", "total", "shippingAddress")
        }


def everybody_has_heard(world: World) -> None:
    """P1 and P8: nothing waits, nothing is a dead letter, every order is shipped or at its end, and mailed about."""
    assert not world.queues.busy()
    assert {name: letters for name in world.queues.names if (letters := world.queues.dead_letters(name))} == {}
    mailed = _mailed(world)
    reachable = {
        customer["userId"]
        for customer in world.items("CustomersTable")
        if customer.get("email") and not customer.get("emailProblem")
    }
    for order in world.items("OrdersTable"):
        assert order["status"] != "PLACED", order
        if order["userId"] in reachable:
            overtaken = {"PLACED"} if order["status"] == "CANCELLED" else set()
            told = {entry["status"] for entry in order["history"]} & _EVENTS.keys() - overtaken
            missing = [_SUBJECTS[status] for status in told if not mailed[order["orderId"], _SUBJECTS[status]]]
            assert not missing, (order, missing)


def repeated_mails(world: World) -> Counter[tuple[str, str]]:
    """The mails that went out more than once, and how often too many, by order and subject."""
    return Counter({which: count - 1 for which, count in _mailed(world).items() if count > 1})


def _mailed(world: World) -> Counter[tuple[str, str]]:
    about = ((re.search(r"ord_[a-z2-7]{26}", mail["text"]), mail["subject"]) for mail in world.mails())
    return Counter((found[0], subject) for found, subject in about if found)


def every_event_is_out(world: World) -> None:
    """P1 and P10: each step that has an event is announced, at least once, and small."""
    wanted = {
        (ids.event_id(order["orderId"], entry["sequence"]), _EVENTS[entry["status"]])
        for order in world.items("OrdersTable")
        for before, entry in pairwise(order["history"])
        if entry["status"] in _EVENTS and entry["status"] != before["status"]
    }
    events = [event for event in world.events() if event["Source"] != "handoff.customers"]
    assert {(event["Detail"]["metadata"]["eventId"], event["DetailType"]) for event in events} == wanted
    assert all(len(json.dumps(event["Detail"])) <= _LARGEST_EVENT for event in world.events())


def sales_are_exact(world: World) -> None:
    """P2: the counters are what a fold over the orders gives."""
    expected: Counter[tuple[str, str, str]] = Counter()
    for order in world.items("OrdersTable"):
        if "placedAt" not in order or order["status"] == "CANCELLED":
            continue
        day = order["placedAt"][:10]
        units = {line["sku"]: line["quantity"] for line in order["lines"]}
        expected.update({(day, "all", "orders"): 1, (day, "all", "units"): sum(units.values())})
        expected.update({(day, f"sku#{sku}", "units"): count for sku, count in units.items()})
        expected.update({(day, "all", "revenue"): order["total"]})
    counted: Counter[tuple[str, str, str]] = Counter()
    for day, entry, name, number in sales(world):
        if entry == "all" or name == "units":
            counted[day, entry, name] += number
    assert +counted == expected


def shipments_are_paid(world: World) -> None:
    """P2: shipped at most once, and only once paid."""
    shipped = {shipment["orderId"]: shipment["state"] for shipment in world.items("ShipmentsTable")}
    prepared = {order["orderId"] for order in world.items("OrdersTable") if order["status"] == "PREPARED"}
    paid = {order["orderId"] for order in world.items("OrdersTable") if order["payment"]["state"] == "captured"}
    assert shipped.keys() == prepared
    assert {order_id for order_id, state in shipped.items() if state == "released"} == paid


def settled_orders_keep_no_token(world: World) -> None:
    """P9: the payment token has left every order whose payment has come to its end."""
    for order in world.items("OrdersTable"):
        if order["status"] not in {"PENDING", "PLACED"} and "paymentDue" not in order:
            assert "paymentToken" not in order, order


def sales(world: World, generation: int | None = None) -> list[tuple[str, str, str, int]]:
    """All counters of a generation, the one that counts if none is given: day, what is counted, and what of it."""
    rows = world.items("SalesTable")
    pointer = next((row for row in rows if row["bucketId"] == POINTER), {})
    wanted = str(generation or pointer.get("currentGeneration", FIRST))
    return [
        (row["bucketId"].split("#")[1], row["entry"], name, row[name])
        for row in rows
        if "orders" in row and row["bucketId"].partition("#")[0] == wanted
        for name in ("orders", "units", "revenue")
    ]
