"""Parsing and validating requests. Invalid input: tests/integration/test_bad_input.py."""

import json

import pytest

import order_requests
import parameters
import problems
import profile_requests
from dev.simulated.api import event
from dev.simulated.world import MUG, TEE, body
from shop.model import Status

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
    assert placement.shipping_address.postal_code == "E1 7AA"
    assert placement.payment_token == "tok_approve"
    assert placement.expected_total == 4500


def test_lines_of_the_same_product_are_merged():
    assert order_requests.placement(post(body((MUG, 2), (TEE, 1), (MUG, 3)))).quantities == {MUG: 5, TEE: 1}


def test_texts_of_an_address_are_stored_in_one_form():
    sent = body()
    sent["shippingAddress"] = sent["shippingAddress"] | {"name": "  Ame\u0301lie  "}

    assert order_requests.placement(post(sent)).shipping_address.name == "Am\u00e9lie"


def test_texts_of_all_requests_are_stored_in_one_form():
    headers = {"Content-Type": "application/json"}
    sent = event("POST", "/orders/ord_/return", json.dumps({"reason": " Cafe\u0301 "}), headers, CLAIMS)

    assert profile_requests.profile(put(name=" Ame\u0301lie ", email="a@b.c")).name == "Am\u00e9lie"
    assert order_requests.cancel_reason(sent) == order_requests.return_request(sent)[1] == "Caf\u00e9"


def test_a_whole_number_may_be_written_as_a_decimal():
    raw = json.dumps(body((MUG, 2), expectedTotal=2500)).replace(": 2}", ": 2.0}").replace(": 2500", ": 2.5e3")

    assert order_requests.placement(post(raw=raw)).quantities == {MUG: 2}
    assert (
        order_requests.placement(post(raw=raw)).fingerprint
        == order_requests.placement(post(body((MUG, 2), expectedTotal=2500))).fingerprint
    )


def test_the_fingerprint_does_not_depend_on_formatting():
    spaced = json.dumps(dict(reversed(body().items())), indent=2)

    assert order_requests.placement(post(body())).fingerprint == order_requests.placement(post(raw=spaced)).fingerprint


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


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        'Application/JSON;CHARSET="UTF-8"',
        "application/json; charset=us-ascii",
        "application/json; profile=x",
        "application/json,application/json",
        "application/json; charset=utf-8, application/json; charset=utf-8",
    ],
)
def test_the_content_type_may_have_any_case_and_a_charset(media_type):
    assert order_requests.placement(post(body(), **{"Content-Type": media_type})).quantities == {MUG: 1}


@pytest.mark.parametrize("encoding", ["", "identity", "Identity,Identity"])
def test_a_body_may_say_that_it_is_not_encoded(encoding):
    assert order_requests.placement(post(body(), **{"Content-Encoding": encoding})).quantities == {MUG: 1}


@pytest.mark.parametrize(
    ("joined", "key"),
    [
        ("k,k", "k"),
        ("k, k", "k"),
        ("k,k,k", "k"),
        ("a,b,a,b", "a,b"),
        ("x" * 128 + "," + "x" * 128, "x" * 128),
        ("a,b", "a,b"),
        ("kk", "kk"),
        ("k,", "k,"),
        (",", ","),
    ],
)
def test_a_key_that_is_sent_twice_is_the_same_key(joined, key):
    assert order_requests.placement(post(body(), key=joined)).idempotency_key == key


def test_a_correlation_id_that_is_sent_twice_is_used():
    assert parameters.correlation_id(post(body(), **{"X-Correlation-Id": "trace-me,trace-me"})) == "trace-me"


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
    assert (refused.value.status, fields(refused)) == (415, ["body"])


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
    assert profile_requests.profile(put(email=email)).email == email


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
        profile_requests.profile(put(email=email))
    (error,) = refused.value.document["errors"]
    assert error["field"] == "email"
    assert wrong in error["message"]
    assert email not in error["message"]


@pytest.mark.parametrize(
    ("claims", "email"),
    [
        ({"email": "ada@example.com", "email_verified": "true"}, "ada@example.com"),
        ({"email": "ada@example.com", "email_verified": True}, "ada@example.com"),
        ({"email": "ada@example.com", "email_verified": "false"}, None),
        ({"email": "ada@example.com"}, None),
        ({"email_verified": "true"}, None),
        ({"email": "", "email_verified": "true"}, None),
        ({"email": "ada@localhost", "email_verified": "true"}, None),
        ({"email": "a..b@example.com", "email_verified": "true"}, None),
        ({"email": f"ada@{'x' * 63}.{'x' * 63}.{'x' * 63}.{'x' * 63}", "email_verified": "true"}, None),
        ({"email": ["ada@example.com"], "email_verified": "true"}, None),
    ],
)
def test_only_a_verified_address_that_mail_can_reach_is_taken_from_a_token(claims, email):
    assert order_requests.placement(post(body(), claims=CLAIMS | claims)).verified_email == email


def test_a_page_has_20_orders_by_default():
    assert order_requests.orders_query(get()) == order_requests.OrdersQuery(None, parameters.Page(20, None))
    assert order_requests.orders_query(get("?limit=50")).page.limit == 50
    assert order_requests.orders_query(get("?status=PLACED")).status is Status.PLACED


@pytest.mark.parametrize("usable", ["trace-me", "1-5759e988:bd862e3f=", "x" * 64])
def test_a_valid_correlation_id_is_used(usable):
    assert parameters.correlation_id(post(body(), **{"X-Correlation-Id": usable})) == usable


@pytest.mark.parametrize("unusable", ["", "x" * 65, "a b", "ü", "a\n"])
def test_an_invalid_correlation_id_is_replaced_by_the_request_id(unusable):
    sent = post(body(), **{"X-Correlation-Id": unusable})

    assert parameters.correlation_id(sent) == sent["requestContext"]["requestId"]


def test_without_a_valid_id_a_new_correlation_id_is_made():
    sent = get()
    sent["requestContext"]["requestId"] = "not usable"

    assert parameters.correlation_id(sent) != parameters.correlation_id(sent)
