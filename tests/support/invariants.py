"""What must hold once everything is quiet, whatever has happened before (the promises P1 to P4)."""

from collections import Counter

from handoff import ids
from handoff.sales_generations import FIRST, POINTER
from support.world import World

_LIVE = {"PENDING", "PLACED", "PREPARED"}
_SETTLED = {"PLACED": "held", "PREPARED": "capture", "CANCELLED": "void", "REJECTED": "void"}


def check(world: World, loaded: dict[str, int]) -> None:
    """All of them; ``loaded`` is the stock that each product started with."""
    stock_adds_up(world, loaded)
    money_has_owners(world)
    nothing_is_unfinished(world)
    every_event_is_out(world)
    sales_are_exact(world)
    shipments_are_paid(world)


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
    holds = [entry for entry in world.items("SandboxTable") if entry["kind"] == "authorise"]
    assert len({hold["orderId"] for hold in holds}) == len(holds)
    for hold in holds:
        order = orders[hold["orderId"]]
        assert hold["amount"] == order["total"]
        if hold["state"] != "declined":
            assert hold["state"] == _SETTLED[order["status"]], (hold, order)
    authorised = {hold["orderId"] for hold in holds}
    assert {order_id for order_id, order in orders.items() if "placedAt" in order} <= authorised


def nothing_is_unfinished(world: World) -> None:
    """P4: no order waits for anything."""
    for order in world.items("OrdersTable"):
        assert order["status"] != "PENDING", order
        assert not order["outbox"], order
        assert not {"paymentDue", "unfinished", "dueAt", "unfinishedSince"} & order.keys(), order


def every_event_is_out(world: World) -> None:
    """P1: each step that has an event is announced, at least once."""
    types = {"PLACED": "order_placed", "CANCELLED": "order_cancelled", "PREPARED": "shipment_prepared"}
    wanted = {
        (ids.event_id(order["orderId"], entry["sequence"]), types[entry["status"]])
        for order in world.items("OrdersTable")
        for entry in order["history"]
        if entry["status"] in types
    }
    assert {(event["Detail"]["metadata"]["eventId"], event["DetailType"]) for event in world.events()} == wanted


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
