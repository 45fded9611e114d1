"""GET /shipments and POST /shipments/{orderId}/packed, for the programs of a warehouse."""

import base64
import json

import pytest

from dev.simulated import wire
from dev.simulated.world import ADDRESS, MUG, TEE, body, deployed
from handoff.clock import Deadline, to_iso
from shop.model import Order
from shop.shipment_store import ShipmentStore
from tests.support import invariants

WINDOW = 600  # seconds


@pytest.fixture(scope="module")
def stack():
    """A shop with a cancel window."""
    with deployed({"PackAfter": str(WINDOW)}) as stack:
        yield stack


def wait_to_be_packed(world, order_id):
    """Let the cancel window pass, and store the shipment as it is stored where a warehouse packs by hand."""
    world.clock.forward(WINDOW)
    store = ShipmentStore(
        world.client("dynamodb"), orders=world.table("OrdersTable"), shipments=world.table("ShipmentsTable")
    )
    store.open(Order.model_validate(world.order(order_id)), world.clock.ms, Deadline(10))


@pytest.fixture
def warehouse(world):
    """The API with the token of the warehouse's program."""
    return world.program("shipments:write")


@pytest.fixture
def open_id(world, order_id):
    """An order whose cancel window is over, and which waits to be packed."""
    wait_to_be_packed(world, order_id)
    return order_id


@pytest.fixture
def five(world, api):
    """Five orders that wait to be packed, oldest first."""
    placed = []
    for n in range(5):
        placed.append(api.place(body(), key=f"key-{n}").json["orderId"])
        wait_to_be_packed(world, placed[-1])
    return placed


# --- listing ----------------------------------------------------------------------------------------------------------


def test_an_open_shipment_shows_what_to_pack(world, warehouse, order_id):
    assert warehouse.shipments().json == {"shipments": []}

    wait_to_be_packed(world, order_id)

    (shipment,) = warehouse.shipments().json["shipments"]
    assert shipment == {
        "orderId": order_id,
        "openSince": to_iso(world.clock.ms),
        "lines": [{"sku": MUG, "name": "Mug-01", "quantity": 1}],
        "shippingAddress": ADDRESS,
    }


def test_an_open_shipment_shows_the_optional_fields_of_the_address(world, warehouse, api):
    address = ADDRESS | {"company": "Analytical Engines", "street2": "Floor 3", "phone": "+44 20 7946 0958"}
    wait_to_be_packed(world, api.place(body(shippingAddress=address), key="company").json["orderId"])

    (shipment,) = warehouse.shipments().json["shipments"]
    assert shipment["shippingAddress"] == address


def test_a_shipment_with_a_hold_that_expires_shows_when_half_its_life_is_over(world, warehouse, order_id):
    placed = world.order(order_id)
    expires_at = world.clock.ms + 7 * 86_400_000
    world.change("OrdersTable", {"orderId": order_id}, payment=placed["payment"] | {"expiresAt": expires_at})
    half = to_iso(world.clock.ms + 7 * 43_200_000)

    wait_to_be_packed(world, order_id)

    assert [shipment["packBy"] for shipment in warehouse.shipments().json["shipments"]] == [half]


def test_a_shipment_shows_neither_prices_nor_the_customer(warehouse, open_id):
    text = json.dumps(warehouse.shipments().json)

    assert not [name for name in ("unitPrice", "total", "userId", "payment", "openKey") if name in text]


def test_shipments_are_listed_in_pages_oldest_first(warehouse, five):
    seen, query = [], {"limit": 2}
    while query:
        page = warehouse.shipments(**query).json
        assert len(page["shipments"]) <= 2
        seen += [shipment["orderId"] for shipment in page["shipments"]]
        query = {"limit": 2, "cursor": page["next"]} if "next" in page else None

    assert seen == five


def test_packed_and_cancelled_orders_are_not_listed(world, api, warehouse, five):
    warehouse.pack(five[0])
    api.cancel(five[1])

    assert [shipment["orderId"] for shipment in warehouse.shipments().json["shipments"]] == five[2:]


def test_open_is_the_state_that_is_listed_by_default(warehouse, open_id):
    assert warehouse.get("/shipments").json == warehouse.shipments().json


def _cursor(**position):
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"state": "packed"}, ["state"]),
        ({"state": ""}, ["state"]),
        ({"limit": "0"}, ["limit"]),
        ({"limit": "51", "state": "x"}, ["limit", "state"]),
        ({"cursor": "x"}, ["cursor"]),
        ({"cursor": _cursor(orderId="a", placedAt="b")}, ["cursor"]),
        ({"cursor": _cursor(orderId="a", openSince="")}, ["cursor"]),
        ({"cursor": _cursor(orderId="a", openSince="b", openKey="open")}, ["cursor"]),
        ({"status": "open"}, ["status"]),
    ],
)
def test_an_invalid_query_is_400(world, warehouse, query, fields):
    with world.wire.watched() as calls:
        answer = warehouse.shipments(**query)

    assert (answer.status, answer.problem, answer.fields) == (400, "invalid-request", fields)
    assert calls == []


def test_the_cursor_of_orders_is_not_one_of_shipments(api, warehouse, five):
    of_orders = api.get("/orders?limit=1").json["next"]
    of_shipments = warehouse.shipments(limit=1).json["next"]

    assert warehouse.shipments(cursor=of_orders).fields == ["cursor"]
    assert api.get(f"/orders?cursor={of_shipments}").fields == ["cursor"]


# --- packing ----------------------------------------------------------------------------------------------------------


def test_a_packed_order_is_paid_and_released(world, api, warehouse, open_id):
    answer = warehouse.pack(open_id)

    assert (answer.status, answer.json) == (200, {"orderId": open_id, "packedAt": to_iso(world.clock.ms)})
    world.queues.until_quiet("SettlementFunction")
    shown = api.get(f"/orders/{open_id}").json
    assert (shown["status"], shown["payment"]) == ("PREPARED", "captured")
    assert shown["releasedAt"] == shown["history"][-1]["at"]
    world.settle_down(2)
    invariants.check(world, {MUG: 10})


def test_packing_is_idempotent(world, warehouse, open_id):
    first = warehouse.pack(open_id)
    world.clock.forward(60)
    world.queues.until_quiet()

    again = warehouse.pack(open_id)

    assert (again.status, again.json) == (200, first.json)
    assert world.event_types().count("shipment_prepared") == 1


@pytest.mark.parametrize("fault", [wire.lose_response, wire.lose_request])
def test_a_lost_answer_of_the_database_packs_once(world, warehouse, open_id, fault):
    world.wire.on("dynamodb.TransactWriteItems", fault)

    first, again = warehouse.pack(open_id), warehouse.pack(open_id)

    assert (first.status, again.status, again.json) == (200, 200, first.json)
    assert world.event_types().count("shipment_prepared") == 1


def test_packing_inside_the_cancel_window_says_when_it_is_over(world, api, warehouse, order_id):
    world.clock.forward(WINDOW - 90.5)

    answer = warehouse.pack(order_id)

    assert (answer.status, answer.problem, answer.json["orderId"]) == (409, "cancel-window-open", order_id)
    assert (answer.headers["retry-after"], "in 91 s" in answer.json["detail"]) == ("91", True)
    assert api.cancel(order_id).json["status"] == "CANCELLED"


def test_packing_is_possible_after_the_time_in_retry_after(world, warehouse, order_id):
    world.clock.forward(int(warehouse.pack(order_id).headers["retry-after"]))

    assert warehouse.pack(order_id).status == 200


def test_a_cancelled_order_is_not_packed(world, api, warehouse, open_id):
    api.cancel(open_id)

    answer = warehouse.pack(open_id)

    assert (answer.status, answer.problem, answer.json["orderId"]) == (409, "not-packable", open_id)
    assert answer.json["detail"] == "The order is CANCELLED. Only a PLACED order can be packed."
    assert world.items("ShipmentsTable") == []


@pytest.mark.parametrize(("token", "status"), [("tok_decline", "REJECTED"), ("tok_timeout", "PENDING")])
def test_an_order_that_was_not_placed_is_not_packed(world, api, warehouse, token, status):
    placed = api.place(body(token=token), key="not-placed")
    order_id = placed.json["orderId"]

    answer = warehouse.pack(order_id)

    assert (answer.status, answer.problem) == (409, "not-packable")
    assert status in answer.json["detail"]


def test_a_packed_order_is_to_be_returned_or_refunded_instead_of_cancelled(world, api, warehouse, open_id):
    warehouse.pack(open_id)

    for caller, reason in ((api, None), (world.program("orders:write"), "fraud")):
        answer = caller.cancel(open_id, reason)
        assert (answer.status, answer.problem) == (409, "not-cancellable")
        assert "POST /orders/{orderId}/return" in answer.json["detail"]
        assert "POST /orders/{orderId}/refunds" in answer.json["detail"]


def test_a_missing_order_is_404(warehouse):
    for order_id in ("ord_" + "a" * 26, "x"):
        answer = warehouse.pack(order_id)
        assert (answer.status, answer.problem) == (404, "no-such-order")


def test_a_token_without_the_scope_sees_and_packs_nothing(world, api, open_id):
    for caller in (api, world.program("orders:write", "refunds:write"), world.program("shipments:read")):
        for answer in (caller.shipments(), caller.pack(open_id)):
            assert (answer.status, answer.problem) == (403, "forbidden")
            assert answer.json["detail"] == "Requires a token with scope shipments:write."
    assert world.order(open_id)["status"] == "PLACED"


def test_the_stock_equation_holds_for_packed_and_cancelled_orders(world, api, warehouse, five):
    world.stock(TEE)
    warehouse.pack(five[0])
    api.cancel(five[1])
    world.settle_down(2)

    invariants.check(world, {MUG: 10, TEE: 10})
