"""POST /orders/{orderId}/return: outcomes, bad input and permissions."""

import json

import pytest

from dev.simulated import wire
from dev.simulated.world import MUG, TEE
from handoff.clock import from_iso, to_iso
from tests.support import invariants

DAY = 86_400  # seconds
ANY = "ord_" + "a" * 26
DAYS = 14  # the parameter ReturnDays


def request(world, order_id):
    return world.order(order_id).get("returnRequest")


# --- outcomes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", [None, "{}", '{"lines": null, "reason": null}'])
def test_a_return_without_lines_is_of_all_units(world, api, shipped, document):
    answer = api.call("POST", f"/orders/{shipped}/return", document)

    assert answer.status == 200
    assert answer.json["returnRequest"] == {
        "requestedAt": to_iso(world.clock.ms),
        "lines": [{"sku": MUG, "quantity": 3}, {"sku": TEE, "quantity": 1}],
    }
    assert answer.json["history"][-1]["returns"] is True
    assert world.event_types()[-1] == "return_requested"


def test_a_return_of_some_units_has_the_customers_reason(api, shipped):
    answer = api.return_order(shipped, lines=[{"sku": MUG, "quantity": 1}], reason=" too small ")

    assert answer.status == 200
    shown = api.get(f"/orders/{shipped}").json["returnRequest"]
    assert shown == answer.json["returnRequest"]
    assert (shown["lines"], shown["reason"]) == ([{"sku": MUG, "quantity": 1}], "too small")


def test_a_return_moves_neither_money_nor_stock(world, api, shipped):
    api.return_order(shipped)
    world.settle_down(2)

    assert world.order(shipped).get("refunds", {}) == {}
    assert (world.available(MUG), world.available(TEE)) == (7, 9)
    invariants.check(world, {MUG: 10, TEE: 10})


def test_refunded_units_are_not_returned(world, api, shipped):
    world.program("refunds:write").refund(shipped, lines=[{"sku": MUG, "quantity": 2}])

    answer = api.return_order(shipped)

    assert answer.json["returnRequest"]["lines"] == [{"sku": MUG, "quantity": 1}, {"sku": TEE, "quantity": 1}]


def until_the_end(world, order_id):
    """Return the seconds until the order can no longer be returned, and that time."""
    end = from_iso(world.order(order_id)["releasedAt"]) + DAYS * DAY * 1000
    return (end - world.clock.ms) / 1000, to_iso(end)


def test_a_return_is_possible_until_the_last_moment(world, api, shipped):
    left, _ = until_the_end(world, shipped)
    world.clock.forward(left)

    assert api.return_order(shipped).status == 200


# --- what is not possible ---------------------------------------------------------------------------------------------


def test_a_return_too_late_says_until_when_it_was_possible(world, api, shipped):
    left, until = until_the_end(world, shipped)
    world.clock.forward(left + 0.001)

    answer = api.return_order(shipped)

    assert (answer.status, answer.problem, answer.json["until"]) == (409, "return-too-late", until)
    assert until in answer.json["detail"]
    assert request(world, shipped) is None


def test_a_second_return_says_when_the_first_was_recorded(world, api, shipped):
    first = api.return_order(shipped, lines=[{"sku": MUG, "quantity": 1}])
    world.clock.forward(60)

    second = api.return_order(shipped)

    at = first.json["returnRequest"]["requestedAt"]
    assert (second.status, second.problem, second.json["requestedAt"]) == (409, "already-returned", at)
    assert at in second.json["detail"]
    assert world.event_types().count("return_requested") == 1


@pytest.mark.parametrize("fault", [wire.lose_response, wire.lose_request])
def test_a_lost_answer_of_the_database_records_one_return(world, api, shipped, fault):
    world.wire.on("dynamodb.UpdateItem", fault, where=world.touching("OrdersTable"))

    assert api.return_order(shipped).status == 200
    assert api.return_order(shipped).problem == "already-returned"


def test_an_unpublished_return_is_published_by_the_sweeper(world, api, shipped):
    world.wire.on("eventbridge.PutEvents", wire.lose_request)

    assert api.return_order(shipped).status == 200
    world.settle_down(2)

    assert world.event_types().count("return_requested") == 1


def test_an_order_that_is_placed_is_to_be_cancelled_instead(world, api, order_id):
    answer = api.return_order(order_id)

    assert (answer.status, answer.problem) == (409, "not-released")
    assert "It can be cancelled: POST /orders/{orderId}/cancel." in answer.json["detail"]
    assert request(world, order_id) is None


def test_an_order_that_is_packed_can_be_returned_once_it_is_shipped(world, api, order_id):
    world.program("shipments:write").pack(order_id)

    answer = api.return_order(order_id)

    assert (answer.status, answer.problem) == (409, "not-released")
    assert "It can be returned once it is shipped." in answer.json["detail"]


def test_a_cancelled_order_cannot_be_returned(api, order_id):
    api.cancel(order_id)

    assert api.return_order(order_id).problem == "not-released"


@pytest.mark.parametrize(
    ("lines", "left"),
    [([(MUG, 4)], [(MUG, 3)]), ([("POSTER-03", 1)], [("POSTER-03", 0)]), ([(TEE, 1), (MUG, 4)], [(MUG, 3)])],
)
def test_units_that_the_order_does_not_have_cannot_be_returned(world, api, shipped, lines, left):
    answer = api.return_order(shipped, lines=[{"sku": sku, "quantity": quantity} for sku, quantity in lines])

    assert (answer.status, answer.problem) == (409, "too-many-units")
    assert answer.json["units"] == [{"sku": sku, "left": quantity} for sku, quantity in left]
    assert request(world, shipped) is None


def test_a_refunded_order_has_nothing_to_return(world, api, shipped):
    world.program("refunds:write").refund(shipped)

    assert api.return_order(shipped).problem == "too-many-units"


# --- bad input and permissions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        ([], ["body"]),
        ({"lines": []}, ["lines"]),
        ({"lines": [{"sku": MUG, "quantity": 0}]}, ["lines.0.quantity"]),
        ({"lines": [{"sku": MUG, "quantity": 999}, {"sku": MUG, "quantity": 1}]}, ["lines.1.quantity"]),
        ({"reason": ""}, ["reason"]),
        ({"reason": "x" * 201}, ["reason"]),
        ({"reason": "two\nlines"}, ["reason"]),
        ({"amount": 1}, ["amount"]),
    ],
)
def test_every_invalid_field_is_named(world, api, document, fields):
    with world.wire.watched() as calls:
        answer = api.call("POST", f"/orders/{ANY}/return", json.dumps(document))

    assert (answer.status, answer.problem, answer.fields) == (400, "invalid-request", fields)
    assert calls == []


def test_a_body_of_another_type_is_415(api):
    answer = api.call("POST", f"/orders/{ANY}/return", "lines=1", **{"Content-Type": "text/plain"})

    assert (answer.status, answer.problem) == (415, "not-json")


def test_the_order_of_another_user_cannot_be_returned(world, shipped):
    for api in (world.api("bob"), world.program("orders:write", "refunds:write")):
        answer = api.return_order(shipped)
        assert (answer.status, answer.problem) == (404, "no-such-order")
    assert request(world, shipped) is None
