"""POST /orders/{orderId}/refunds: outcomes, bad input and permissions."""

import json

import pytest

from dev.simulated import wire
from dev.simulated.api import Api
from dev.simulated.world import MUG, TEE, body
from tests.support import invariants

LINES = [{"sku": MUG, "quantity": 1}]
ANY = "ord_" + "a" * 26


@pytest.fixture
def shop(world):
    """The API with the token of the shop's program."""
    return world.program("refunds:write")


def refunds(world, order_id):
    return world.order(order_id).get("refunds", {})


# --- outcomes ---------------------------------------------------------------------------------------------------------


def test_a_refund_of_units_is_recorded_at_their_prices(world, shop, shipped):
    lines = [{"sku": MUG, "quantity": 1}, {"sku": TEE, "quantity": 1}, {"sku": MUG, "quantity": 1}]

    answer = shop.refund(shipped, lines=lines, reason="  damaged  ", restock=True)

    assert answer.status == 201
    assert answer.json == {
        "refundId": answer.json["refundId"],
        "orderId": shipped,
        "amount": 4500,
        "currency": "EUR",
        "lines": [{"sku": MUG, "quantity": 2}, {"sku": TEE, "quantity": 1}],
        "reason": "damaged",
        "restock": True,
        "state": "due",
        "requestedAt": answer.json["requestedAt"],
    }
    assert refunds(world, shipped).keys() == {answer.json["refundId"]}
    assert world.event_types()[-1] == "refund_requested"


def test_a_refund_of_an_amount_has_no_units(shop, shipped):
    answer = shop.refund(shipped, amount=499)

    assert (answer.status, answer.json["amount"], answer.json["lines"]) == (201, 499, [])


def test_a_refund_without_lines_and_amount_is_of_all_that_is_left(shop, shipped):
    shop.refund(shipped, lines=LINES, key="one")

    answer = shop.refund(shipped, key="rest")

    assert (answer.status, answer.json["amount"]) == (201, 4500)
    assert answer.json["lines"] == [{"sku": MUG, "quantity": 2}, {"sku": TEE, "quantity": 1}]


def test_the_order_shows_its_refunds(world, api, shop, shipped):
    refund = shop.refund(shipped, lines=LINES, restock=True)
    before = api.get(f"/orders/{shipped}").json
    world.settle_down(2)
    after = api.get(f"/orders/{shipped}").json

    shown = {name: value for name, value in refund.json.items() if name not in {"orderId", "currency"}}
    assert (before["refunds"], before["refunded"]) == ([shown], 0)
    (done,) = after["refunds"]
    assert (done["state"], done["completedAt"], after["refunded"]) == ("refunded", after["history"][-1]["at"], 1250)
    assert [(step["refundId"], step["refund"]) for step in after["history"] if "refund" in step] == [
        (refund.json["refundId"], "due"),
        (refund.json["refundId"], "refunded"),
    ]
    invariants.check(world, {MUG: 10, TEE: 10})


def test_a_failed_refund_shows_the_providers_reason(world, api, shop):
    order_id = api.place(body(token="tok_refund_fails")).json["orderId"]
    world.queues.until_quiet()

    shop.refund(order_id)
    world.settle_down(2)

    shown = api.get(f"/orders/{order_id}").json
    assert (shown["refunds"][0]["state"], shown["refunded"]) == ("failed", 0)
    assert shown["history"][-1]["reason"]


def test_no_order_shows_internal_fields_of_a_refund(world, api, shop, shipped):
    shop.refund(shipped)
    world.settle_down(2)

    text = json.dumps(api.get(f"/orders/{shipped}").json)
    assert not [name for name in ("requestHash", "fingerprint", "reference", 'sequence": null') if name in text]


# --- retries ----------------------------------------------------------------------------------------------------------


def test_a_repeat_gets_the_original_response(world, shop, shipped):
    first = shop.refund(shipped, lines=LINES)
    world.settle_down(2)
    assert refunds(world, shipped)[first.json["refundId"]]["state"] == "refunded"

    again = shop.refund(shipped, lines=LINES)

    assert (again.status, again.json) == (201, first.json)
    assert len(refunds(world, shipped)) == 1


def test_a_refund_of_an_earlier_release_is_known_by_its_hash(world, shop, shipped):
    first = shop.refund(shipped, lines=LINES)
    stored = world.order(shipped)
    (refund,) = stored["refunds"].values()
    assert refund.pop("fingerprint").startswith("3:")
    world.put("OrdersTable", stored)

    assert (shop.refund(shipped, lines=LINES).json, refund["requestHash"][:2]) == (first.json, "1:")
    assert shop.refund(shipped, amount=1).status == 422


@pytest.mark.parametrize("fault", [wire.lose_response, wire.lose_request])
def test_a_lost_answer_of_the_database_records_one_refund(world, shop, shipped, fault):
    world.wire.on("dynamodb.UpdateItem", fault, where=world.touching("OrdersTable"))

    first = shop.refund(shipped, lines=LINES)
    again = shop.refund(shipped, lines=LINES)

    assert (first.status, again.status) == (201, 201)
    assert refunds(world, shipped).keys() == {again.json["refundId"]}


@pytest.mark.parametrize(
    "same",
    [
        {"lines": [{"sku": TEE, "quantity": 1}, {"sku": MUG, "quantity": 2}]},
        {"lines": [{"sku": MUG, "quantity": 1}, {"sku": TEE, "quantity": 1.0}, {"sku": MUG, "quantity": 1}]},
        {"restock": False},
        {"amount": None},
        {"reason": " damaged "},
    ],
)
def test_a_body_that_means_the_same_gets_the_same_response(shop, shipped, same):
    wanted = {"lines": [{"sku": MUG, "quantity": 2}, {"sku": TEE, "quantity": 1}], "reason": "damaged"}
    first = shop.refund(shipped, **wanted)

    again = shop.refund(shipped, **wanted | same)

    assert (again.status, again.json) == (201, first.json)


@pytest.mark.parametrize(
    "other",
    [
        {"lines": [{"sku": MUG, "quantity": 2}]},
        {"lines": None},
        {"lines": None, "amount": 1250},
        {"reason": "late"},
        {"restock": True},
    ],
)
def test_another_body_under_the_same_key_is_422(world, shop, shipped, other):
    shop.refund(shipped, lines=LINES)

    answer = shop.refund(shipped, **{"lines": LINES} | other)

    assert (answer.status, answer.problem) == (422, "key-reused")
    assert len(refunds(world, shipped)) == 1


def test_the_same_key_for_another_order_is_another_refund(world, api, shop, shipped):
    other = api.place(body(), key="other").json["orderId"]
    world.queues.until_quiet()

    one, two = shop.refund(shipped, amount=1), shop.refund(other, amount=1)

    assert (one.status, two.status) == (201, 201)
    assert one.json["refundId"] != two.json["refundId"]


# --- what is not possible ---------------------------------------------------------------------------------------------


def refused(world, order_id, answer, problem):
    """Check that the request was refused with a 409 and recorded nothing; return the document."""
    assert (answer.status, answer.problem, answer.json["orderId"]) == (409, problem, order_id)
    assert refunds(world, order_id) == {}
    return answer.json


def test_a_refund_above_what_is_left_says_what_is_left(world, shop, shipped):
    document = refused(world, shipped, shop.refund(shipped, amount=5751), "refund-too-large")

    assert document["refundable"] == 5750
    assert document["detail"] == "At most 5750 (EUR, minor units) can be refunded."


def test_refunds_add_up_to_what_was_captured(shop, shipped):
    assert shop.refund(shipped, key="one", amount=5000).status == 201

    too_much, rest, nothing = (
        shop.refund(shipped, key=key, amount=amount) for key, amount in [("two", 751), ("three", 750), ("four", 1)]
    )

    assert (too_much.problem, too_much.json["refundable"]) == ("refund-too-large", 750)
    assert rest.status == 201
    assert (nothing.problem, nothing.json["refundable"]) == ("refund-too-large", 0)
    assert nothing.json["detail"] == "Nothing is left to refund: refunds of the whole captured amount are recorded."


def test_units_cost_more_than_what_an_amount_has_left(shop, shipped):
    shop.refund(shipped, key="one", amount=5000)

    answer = shop.refund(shipped, key="two", lines=LINES)

    assert (answer.problem, answer.json["refundable"]) == ("refund-too-large", 750)


def test_a_refund_of_a_product_that_was_not_ordered_says_so(world, shop, shipped):
    answer = shop.refund(shipped, lines=[{"sku": "POSTER-03", "quantity": 1}])

    document = refused(world, shipped, answer, "too-many-units")
    assert document["units"] == [{"sku": "POSTER-03", "left": 0}]
    assert "POSTER-03 (0 left)" in document["detail"]


def test_a_refund_of_more_units_than_are_left_says_how_many_are(shop, shipped):
    assert shop.refund(shipped, key="one", lines=[{"sku": MUG, "quantity": 2}]).status == 201

    answer = shop.refund(shipped, key="two", lines=[{"sku": MUG, "quantity": 2}, {"sku": TEE, "quantity": 1}])

    assert (answer.problem, answer.json["units"]) == ("too-many-units", [{"sku": MUG, "left": 1}])


def test_a_failed_refund_leaves_its_amount_and_units(world, api, shop):
    order_id = api.place(body((MUG, 2), token="tok_refund_fails")).json["orderId"]
    world.queues.until_quiet()
    shop.refund(order_id, key="one")
    world.settle_down(2)

    assert shop.refund(order_id, key="two", lines=[{"sku": MUG, "quantity": 2}]).status == 201


def test_an_order_takes_a_limited_number_of_refunds(world, shop, shipped):
    for n in range(50):
        assert shop.refund(shipped, key=f"key-{n}", amount=1).status == 201

    answer = shop.refund(shipped, key="another", amount=1)

    assert (answer.status, answer.problem) == (409, "too-many-refunds")
    assert "50 refunds" in answer.json["detail"]
    assert shop.refund(shipped, key="key-7", amount=1).status == 201


def test_a_placed_order_is_to_be_cancelled_instead(world, shop, order_id):
    document = refused(world, order_id, shop.refund(order_id), "not-captured")

    assert "It can be cancelled: POST /orders/{orderId}/cancel." in document["detail"]


def test_a_packed_order_is_refunded_once_it_is_captured(world, shop, order_id):
    world.program("shipments:write").pack(order_id)

    document = refused(world, order_id, shop.refund(order_id), "not-captured")

    assert "It can be refunded once the payment is captured." in document["detail"]


def test_a_cancelled_order_has_nothing_to_refund(world, api, shop, order_id):
    api.cancel(order_id)
    world.settle_down(2)

    document = refused(world, order_id, shop.refund(order_id), "not-captured")

    assert "There is nothing to refund." in document["detail"]


def test_a_missing_order_is_404(shop):
    for order_id in (ANY, "x"):
        answer = shop.refund(order_id)
        assert (answer.status, answer.problem) == (404, "no-such-order")


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        ({}, ["reason"]),
        ([], ["body"]),
        ({"reason": ""}, ["reason"]),
        ({"reason": "  "}, ["reason"]),
        ({"reason": "x" * 201}, ["reason"]),
        ({"reason": "two\nlines"}, ["reason"]),
        ({"reason": 1}, ["reason"]),
        ({"reason": "x", "amount": 0}, ["amount"]),
        ({"reason": "x", "amount": -1}, ["amount"]),
        ({"reason": "x", "amount": 1.5}, ["amount"]),
        ({"reason": "x", "amount": "1"}, ["amount"]),
        ({"reason": "x", "amount": 10**13}, ["amount"]),
        ({"reason": "x", "lines": []}, ["lines"]),
        ({"reason": "x", "lines": [{"sku": MUG}]}, ["lines.0.quantity"]),
        ({"reason": "x", "lines": [{"sku": MUG, "quantity": 0}]}, ["lines.0.quantity"]),
        ({"reason": "x", "lines": [{"sku": MUG, "quantity": 999}, {"sku": MUG, "quantity": 1}]}, ["lines.1.quantity"]),
        ({"reason": "x", "lines": [{"sku": MUG, "quantity": 1, "amount": 1}]}, ["lines.0.amount"]),
        ({"reason": "x", "lines": LINES, "amount": 1}, ["lines", "amount"]),
        ({"reason": "x", "amount": 1, "restock": True}, ["restock"]),
        ({"reason": "x", "restock": "yes"}, ["restock"]),
        ({"reason": "x", "currency": "EUR"}, ["currency"]),
    ],
)
def test_every_invalid_field_is_named(world, shop, document, fields):
    with world.wire.watched() as calls:
        answer = shop.call("POST", f"/orders/{ANY}/refunds", json.dumps(document), **{"Idempotency-Key": "refund-1"})

    assert (answer.status, answer.problem, answer.fields) == (400, "invalid-request", fields)
    assert calls == []


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": ""}, {"Idempotency-Key": "two words"}])
def test_a_refund_needs_an_idempotency_key(shop, headers):
    answer = shop.call("POST", f"/orders/{ANY}/refunds", json.dumps({"reason": "x"}), **headers)

    assert (answer.status, answer.fields) == (400, ["Idempotency-Key"])
    assert "Use a new key for each new refund." in answer.json["detail"]


@pytest.mark.parametrize(("raw", "media_type", "status"), [(None, "", 415), ("{", "application/json", 400)])
def test_a_refund_needs_a_body(shop, raw, media_type, status):
    headers = {"Idempotency-Key": "k", **({"Content-Type": media_type} if media_type else {})}

    assert shop.call("POST", f"/orders/{ANY}/refunds", raw, **headers).status == status


# --- permissions ------------------------------------------------------------------------------------------------------


def test_a_customer_cannot_refund(world, api, shipped):
    answer = api.refund(shipped)

    assert (answer.status, answer.problem) == (403, "forbidden")
    assert answer.json["detail"] == "Requires a token with scope refunds:write."
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="refunds:write"'
    assert refunds(world, shipped) == {}


@pytest.mark.parametrize("scope", ["orders:write", "shipments:write", "reports:read", "refunds:read"])
def test_a_program_without_the_scope_cannot_refund(world, scope):
    with world.wire.watched() as calls:
        answer = world.program(scope).refund(ANY)

    assert (answer.status, answer.problem) == (403, "forbidden")
    assert "refunds:write" in answer.json["detail"]
    assert calls == []


@pytest.mark.parametrize("claims", [{"scope": "refunds:write"}, {"scp": "[email refunds:write]"}])
def test_the_scope_may_have_any_notation(world, claims):
    assert Api(world.functions, {"sub": "shop", **claims}).refund(ANY).problem == "no-such-order"
