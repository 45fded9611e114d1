"""POST /orders/{orderId}/cancel by a program: outcomes, bad input and permissions."""

import json

import pytest

from dev.simulated.api import Api
from dev.simulated.world import MUG, body
from tests.support import invariants

ANY = "ord_" + "a" * 26


@pytest.fixture
def shop(world):
    """The API with the token of the shop's program."""
    return world.program("orders:write")


def test_a_program_cancels_any_order_with_a_reason(world, api, shop, order_id):
    answer = shop.cancel(order_id, "  The mug is damaged.  ")

    assert (answer.status, answer.json["status"]) == (200, "CANCELLED")
    assert answer.json["cancellation"] == {"by": "shop", "reason": "The mug is damaged."}
    assert api.get(f"/orders/{order_id}").json["cancellation"] == answer.json["cancellation"]
    world.settle_down(2)
    assert world.ledger() == {order_id: "void"}
    invariants.check(world, {MUG: 10})


def test_a_customers_cancellation_has_no_reason(api, order_id):
    assert api.cancel(order_id).json["cancellation"] == {"by": "customer"}


@pytest.mark.parametrize("raw", ["{", '{"reason": 1, "more": 2}', json.dumps({"reason": "mine"})])
def test_the_body_of_a_customer_is_ignored(world, api, order_id, raw):
    # Earlier releases read no body, and clients may send one.
    answer = api.call("POST", f"/orders/{order_id}/cancel", raw, **{"Content-Type": "text/plain"})

    assert (answer.status, answer.json["cancellation"]) == (200, {"by": "customer"})


def test_a_repeat_keeps_the_first_reason(world, shop, order_id):
    first = shop.cancel(order_id, "one")

    again = shop.cancel(order_id, "two")

    assert (again.status, again.json) == (200, first.json)
    assert world.event_types().count("order_cancelled") == 1


def test_a_program_cancels_an_abandoned_order(world, api, shop):
    order_id = api.place(body(token="tok_timeout")).json["orderId"]
    world.clock.forward(1)

    answer = shop.cancel(order_id, "The customer called.")

    assert (answer.status, answer.json["status"]) == (200, "REJECTED")
    assert answer.json["cancellation"]["reason"] == "The customer called."


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        (None, ["reason"]),
        ({}, ["reason"]),
        ({"reason": ""}, ["reason"]),
        ({"reason": " "}, ["reason"]),
        ({"reason": None}, ["reason"]),
        ({"reason": "x" * 201}, ["reason"]),
        ({"reason": "two\nlines"}, ["reason"]),
        ({"reason": "x", "refund": True}, ["refund"]),
        ([], ["body"]),
    ],
)
def test_a_program_must_send_a_valid_reason(world, shop, document, fields):
    with world.wire.watched() as calls:
        raw = None if document is None else json.dumps(document)
        answer = shop.call("POST", f"/orders/{ANY}/cancel", raw)

    assert (answer.status, answer.problem, answer.fields) == (400, "invalid-request", fields)
    assert calls == []


def test_a_missing_order_is_404(shop):
    for order_id in (ANY, "x"):
        assert shop.cancel(order_id, "x").problem == "no-such-order"


def test_a_program_without_the_scope_cancels_nothing(world, order_id):
    answer = world.program("refunds:write", "shipments:write").cancel(order_id, "x")

    assert (answer.status, answer.problem) == (403, "forbidden")
    assert answer.json["detail"] == "Requires a token with scope orders:write."
    assert 'scope="orders:write"' in answer.headers["www-authenticate"]
    assert world.order(order_id)["status"] == "PLACED"


def test_a_program_cancels_its_own_orders_without_the_scope(world):
    program = world.program("refunds:write")
    world.customer("program")
    order_id = program.place(body()).json["orderId"]

    assert program.cancel(order_id).json["status"] == "CANCELLED"


@pytest.mark.parametrize("client", [{}, {"client_id": "app"}, {"client_id": ""}])
def test_another_customer_cannot_tell_whether_the_order_exists(world, order_id, client):
    answers = [Api(world.functions, {"sub": "bob", **client}).cancel(found) for found in (order_id, ANY)]

    assert [answer.problem for answer in answers] == ["no-such-order", "no-such-order"]
    assert answers[0].json == answers[1].json
