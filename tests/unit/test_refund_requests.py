"""Parsing requests of programs: refunds, cancellations and shipments. Invalid input: the integration tests."""

import json

import pytest

import callers
import order_requests
import parameters
import problems
import refund_requests
import shipment_requests
from dev.simulated.api import event
from dev.simulated.world import MUG, TEE

ORDER = "ord_" + "a" * 26
LINES = [{"sku": MUG, "quantity": 2}, {"sku": TEE, "quantity": 1}]


def sent(document, key="key-1", **claims):
    """A request to refund an order."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    return event("POST", f"/orders/{ORDER}/refunds", json.dumps(document), headers, {"sub": "shop", **claims})


def refund(**document):
    return refund_requests.refund(sent({"reason": "damaged", **document}), ORDER)


def test_a_refund_has_all_fields_of_the_body():
    parsed = refund(lines=LINES, restock=True)

    assert (parsed.order_id, parsed.idempotency_key) == (ORDER, "key-1")
    assert (parsed.quantities, parsed.amount) == ({MUG: 2, TEE: 1}, None)
    assert (parsed.reason, parsed.restock) == ("damaged", True)
    assert refund(amount=5).amount == 5


def test_the_id_of_a_refund_depends_on_its_order_and_key_only():
    assert refund(amount=1).refund_id == refund(amount=2).refund_id
    other_key = refund_requests.refund(sent({"reason": "damaged"}, key="key-2"), ORDER)
    other_order = refund_requests.refund(sent({"reason": "damaged"}), "ord_" + "b" * 26)
    assert len({refund().refund_id, other_key.refund_id, other_order.refund_id}) == 3


@pytest.mark.parametrize("body", [None, ""])
def test_a_missing_body_is_an_empty_one_where_it_may_be_missing(body):
    request = sent({}) | {"body": body}

    assert order_requests.return_request(request) == ({}, None)
    with pytest.raises(problems.Problem) as refused:
        order_requests.cancel_reason(request)
    assert [error["field"] for error in refused.value.document["errors"]] == ["reason"]


def test_a_page_has_20_shipments_by_default():
    request = event("GET", "/shipments", None, {}, {"sub": "warehouse"})

    assert shipment_requests.page(request) == parameters.Page(20, None)


@pytest.mark.parametrize(
    ("claims", "has_it"),
    [
        ({}, False),
        ({"scope": ""}, False),
        ({"scope": "orders:write"}, True),
        ({"scope": "handoff/orders:write"}, True),
        ({"scope": "openid handoff/orders:write email"}, True),
        ({"scp": "[orders:write email]"}, True),
        ({"scp": "[a, orders:write]"}, True),
        ({"scope": "orders:writes"}, False),
        ({"scope": "orders:writ"}, False),
        ({"scope": "other/orders:write"}, False),
        ({"scope": "handoff/handoff/orders:write"}, False),
        ({"custom:scope": "orders:write"}, False),
        ({"cognito:groups": "[orders:write]"}, False),
    ],
)
def test_a_scope_is_one_whole_word_of_the_tokens_scopes(claims, has_it):
    assert callers.has_scope(sent({}, **claims), "orders:write") is has_it


@pytest.mark.parametrize(
    ("claims", "is_program"),
    [
        ({"sub": "shop", "client_id": "shop"}, True),
        ({"sub": "ada", "client_id": "shop"}, False),
        ({"sub": "ada"}, False),
        ({"sub": "", "client_id": ""}, False),
    ],
)
def test_a_program_is_the_subject_of_its_own_token(claims, is_program):
    assert callers.is_program(sent({}, **claims)) is is_program
