"""Parsing and validating requests. Invalid input: tests/integration/test_bad_input.py."""

import json

import pytest

import order_requests
import problems
from dev.simulated.api import event
from dev.simulated.world import MUG, TEE, body

CLAIMS = {"sub": "ada"}


def post(document=None, *, raw=None, key="key-1", claims=CLAIMS, **headers):
    """A request to place an order."""
    text = json.dumps(document) if raw is None else raw
    headers = {"Content-Type": "application/json", "Idempotency-Key": key, **headers}
    return event("POST", "/orders", text, headers, claims)


def get(query=""):
    """A request to list orders."""
    return event("GET", f"/orders{query}", None, {}, CLAIMS)


def put(**profile):
    """A request to change a profile."""
    return event("PUT", "/me", json.dumps({"name": "Ada"} | profile), {"Content-Type": "application/json"}, CLAIMS)


def fields(refused):
    return [error["field"] for error in refused.value.document["errors"]]


def test_an_order_request_has_all_fields_of_the_body():
    placement = order_requests.placement(post(body((MUG, 2), (TEE, 1), expectedTotal=4500)))

    assert placement.user_id == "ada"
    assert placement.idempotency_key == "key-1"
    assert placement.quantities == {MUG: 2, TEE: 1}
    assert placement.shipping_address.postal_code == "W1"
    assert placement.payment_token == "tok_approve"
    assert placement.expected_total == 4500


def test_lines_of_the_same_product_are_merged():
    assert order_requests.placement(post(body((MUG, 2), (TEE, 1), (MUG, 3)))).quantities == {MUG: 5, TEE: 1}


def test_spaces_around_an_address_are_stripped():
    sent = body()
    sent["shippingAddress"] = sent["shippingAddress"] | {"name": "  Ada  "}

    assert order_requests.placement(post(sent)).shipping_address.name == "Ada"


def test_a_whole_number_may_be_written_as_a_decimal():
    raw = json.dumps(body((MUG, 2), expectedTotal=2500)).replace(": 2}", ": 2.0}").replace(": 2500", ": 2.5e3")

    assert order_requests.placement(post(raw=raw)).quantities == {MUG: 2}
    assert (
        order_requests.placement(post(raw=raw)).request_hash
        == order_requests.placement(post(body((MUG, 2), expectedTotal=2500))).request_hash
    )


def test_the_request_hash_does_not_depend_on_formatting():
    spaced = json.dumps(dict(reversed(body().items())), indent=2)

    assert (
        order_requests.placement(post(body())).request_hash == order_requests.placement(post(raw=spaced)).request_hash
    )


@pytest.mark.parametrize("other", [body((MUG, 2)), body((TEE, 1)), body(token="tok_other"), body(expectedTotal=1)])
def test_a_different_order_has_a_different_hash(other):
    assert order_requests.placement(post(other)).request_hash != order_requests.placement(post(body())).request_hash


def test_a_base64_body_is_decoded():
    sent = post(body(), **{"Content-Type": "application/json"})
    encoded = event("POST", "/orders", json.dumps(body()), {"Content-Type": "application/octet-stream"}, CLAIMS)
    assert encoded["isBase64Encoded"]

    sent |= {"body": encoded["body"], "isBase64Encoded": True}
    assert order_requests.placement(sent).quantities == {MUG: 1}


def test_invalid_base64_is_rejected():
    with pytest.raises(problems.Problem) as refused:
        order_requests.placement(post(raw="###") | {"isBase64Encoded": True})
    assert fields(refused) == ["body"]


@pytest.mark.parametrize("media_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_the_content_type_may_have_any_case_and_a_charset(media_type):
    assert order_requests.placement(post(body(), **{"Content-Type": media_type})).quantities == {MUG: 1}


@pytest.mark.parametrize("key", ["k", "x" * 128, "0b9b4c1e-8f6e-4b62-9d1f", "!~"])
def test_a_key_has_1_to_128_visible_characters(key):
    assert order_requests.placement(post(body(), key=key)).idempotency_key == key


def test_the_largest_order_is_accepted():
    lines = [(f"SKU-{n}", 999) for n in range(50)]

    assert len(order_requests.placement(post(body(*lines))).quantities) == 50


def test_the_maximum_body_size_is_64_kb():
    raw = json.dumps(body())
    assert order_requests.placement(post(raw=raw + " " * (64 * 1024 - len(raw)))).quantities == {MUG: 1}

    with pytest.raises(problems.Problem) as refused:
        order_requests.placement(post(raw=raw + " " * (64 * 1024 - len(raw) + 1)))
    assert refused.value.status == 413


@pytest.mark.parametrize("lone", ["\ud800", '"\ud800"'])
def test_text_that_is_not_utf8_is_rejected(lone):
    with pytest.raises(problems.Problem) as refused:
        order_requests.placement(post(body()) | {"body": lone})
    assert fields(refused) == ["body"]


def test_the_fields_of_unknown_products_are_found():
    sent = post(body((MUG, 1), ("NO-1", 1), (TEE, 1), ("NO-2", 1), ("NO-1", 1)))

    assert list(order_requests.fields_of(sent, ["NO-1", "NO-2"])) == ["lines.1.sku", "lines.3.sku", "lines.4.sku"]


@pytest.mark.parametrize(
    "email",
    [
        "a@b.c",
        "a.b.c@example.com",
        "ada+shop@mail.example.co.uk",
        "!#$%&'*+/=?^_`{|}~-@example.com",
        "-a-@3-m.example",
        "a@xn--bcher-kva.example",
        "x" * 64 + "@" + "x" * 63 + ".example",
    ],
)
def test_a_deliverable_email_address_is_accepted(email):
    assert order_requests.profile(put(email=email)).email == email


@pytest.mark.parametrize(
    ("email", "wrong"),
    [
        (".a@example.com", "each dot"),
        ("a.@example.com", "each dot"),
        ("a..b@example.com", "each dot"),
        (".@example.com", "each dot"),
        ("a@-b.com", "a hyphen"),
        ("a@b-.com", "a hyphen"),
        ("a@b.-com", "a hyphen"),
        ("a@b.com-", "a hyphen"),
        ("a@-.com", "a hyphen"),
        ("a@b..com", "such as ada@mail.example"),
        ("a@.com", "such as ada@mail.example"),
        ("a@b@example.com", "such as ada@mail.example"),
        ("a@example.com.", "such as ada@mail.example"),
        ("a@example.com\n", "such as ada@mail.example"),
    ],
)
def test_an_undeliverable_email_address_is_rejected_with_a_reason(email, wrong):
    with pytest.raises(problems.Problem) as refused:
        order_requests.profile(put(email=email))
    (error,) = refused.value.document["errors"]
    assert error["field"] == "email"
    assert wrong in error["message"]
    assert email not in error["message"]


def test_a_page_has_20_orders_by_default():
    assert order_requests.page(get()) == order_requests.Page(20, None)
    assert order_requests.page(get("?limit=50")).limit == 50


@pytest.mark.parametrize("usable", ["trace-me", "1-5759e988:bd862e3f=", "x" * 64])
def test_a_valid_correlation_id_is_used(usable):
    assert order_requests.correlation_id(post(body(), **{"X-Correlation-Id": usable})) == usable


@pytest.mark.parametrize("unusable", ["", "x" * 65, "a b", "ü", "a\n"])
def test_an_invalid_correlation_id_is_replaced_by_the_request_id(unusable):
    sent = post(body(), **{"X-Correlation-Id": unusable})

    assert order_requests.correlation_id(sent) == sent["requestContext"]["requestId"]


def test_without_a_valid_id_a_new_correlation_id_is_made():
    sent = get()
    sent["requestContext"]["requestId"] = "not usable"

    assert order_requests.correlation_id(sent) != order_requests.correlation_id(sent)
