"""What clients send, before anything is done about it. All bad input: tests/integration/test_bad_input.py."""

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
    """A request to change one's profile."""
    return event("PUT", "/me", json.dumps({"name": "Ada"} | profile), {"Content-Type": "application/json"}, CLAIMS)


def fields(refused):
    return [error["field"] for error in refused.value.document["errors"]]


def test_a_placement_holds_what_was_sent():
    placement = order_requests.placement(post(body((MUG, 2), (TEE, 1), expectedTotal=4500)))

    assert placement.user_id == "ada"
    assert placement.idempotency_key == "key-1"
    assert placement.quantities == {MUG: 2, TEE: 1}
    assert placement.shipping_address.postal_code == "W1"
    assert placement.payment_token == "tok_approve"
    assert placement.expected_total == 4500


def test_lines_of_the_same_product_are_merged():
    assert order_requests.placement(post(body((MUG, 2), (TEE, 1), (MUG, 3)))).quantities == {MUG: 5, TEE: 1}


def test_spaces_around_an_address_are_taken_off():
    sent = body()
    sent["shippingAddress"] = sent["shippingAddress"] | {"name": "  Ada  "}

    assert order_requests.placement(post(sent)).shipping_address.name == "Ada"


def test_a_whole_number_is_one_however_it_is_written():
    raw = json.dumps(body((MUG, 2), expectedTotal=2500)).replace(": 2}", ": 2.0}").replace(": 2500", ": 2.5e3")

    assert order_requests.placement(post(raw=raw)).quantities == {MUG: 2}
    assert (
        order_requests.placement(post(raw=raw)).request_hash
        == order_requests.placement(post(body((MUG, 2), expectedTotal=2500))).request_hash
    )


def test_the_hash_is_of_what_was_meant_and_not_of_how_it_was_written():
    spaced = json.dumps(dict(reversed(body().items())), indent=2)

    assert (
        order_requests.placement(post(body())).request_hash == order_requests.placement(post(raw=spaced)).request_hash
    )


@pytest.mark.parametrize("other", [body((MUG, 2)), body((TEE, 1)), body(token="tok_other"), body(expectedTotal=1)])
def test_another_order_has_another_hash(other):
    assert order_requests.placement(post(other)).request_hash != order_requests.placement(post(body())).request_hash


def test_a_body_that_came_in_base64_is_read():
    sent = post(body(), **{"Content-Type": "application/json"})
    encoded = event("POST", "/orders", json.dumps(body()), {"Content-Type": "application/octet-stream"}, CLAIMS)
    assert encoded["isBase64Encoded"]

    sent |= {"body": encoded["body"], "isBase64Encoded": True}
    assert order_requests.placement(sent).quantities == {MUG: 1}


def test_a_body_that_is_no_base64_is_refused():
    with pytest.raises(problems.Problem) as refused:
        order_requests.placement(post(raw="###") | {"isBase64Encoded": True})
    assert fields(refused) == ["body"]


@pytest.mark.parametrize("media_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_is_json_however_it_is_written(media_type):
    assert order_requests.placement(post(body(), **{"Content-Type": media_type})).quantities == {MUG: 1}


@pytest.mark.parametrize("key", ["k", "x" * 128, "0b9b4c1e-8f6e-4b62-9d1f", "!~"])
def test_any_visible_key_of_up_to_128_characters_will_do(key):
    assert order_requests.placement(post(body(), key=key)).idempotency_key == key


def test_the_largest_order_is_accepted():
    lines = [(f"SKU-{n}", 999) for n in range(50)]

    assert len(order_requests.placement(post(body(*lines))).quantities) == 50


def test_a_body_of_64_kb_is_still_read():
    raw = json.dumps(body())
    assert order_requests.placement(post(raw=raw + " " * (64 * 1024 - len(raw)))).quantities == {MUG: 1}

    with pytest.raises(problems.Problem) as refused:
        order_requests.placement(post(raw=raw + " " * (64 * 1024 - len(raw) + 1)))
    assert refused.value.status == 413


@pytest.mark.parametrize("lone", ["\ud800", '"\ud800"'])
def test_text_that_is_no_utf8_is_refused(lone):
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
def test_an_address_that_mail_services_take_is_taken(email):
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
def test_an_address_that_no_mail_service_takes_is_refused_with_what_is_wrong(email, wrong):
    with pytest.raises(problems.Problem) as refused:
        order_requests.profile(put(email=email))
    (error,) = refused.value.document["errors"]
    assert error["field"] == "email"
    assert wrong in error["message"]
    assert email not in error["message"]


def test_a_page_has_twenty_orders_unless_told_otherwise():
    assert order_requests.page(get()) == order_requests.Page(20, None)
    assert order_requests.page(get("?limit=50")).limit == 50


@pytest.mark.parametrize("usable", ["trace-me", "1-5759e988:bd862e3f=", "x" * 64])
def test_a_usable_correlation_id_is_taken_over(usable):
    assert order_requests.correlation_id(post(body(), **{"X-Correlation-Id": usable})) == usable


@pytest.mark.parametrize("unusable", ["", "x" * 65, "a b", "ü", "a\n"])
def test_an_unusable_correlation_id_gives_way_to_the_gateways(unusable):
    sent = post(body(), **{"X-Correlation-Id": unusable})

    assert order_requests.correlation_id(sent) == sent["requestContext"]["requestId"]


def test_without_any_usable_id_there_is_a_new_one():
    sent = get()
    sent["requestContext"]["requestId"] = "not usable"

    assert order_requests.correlation_id(sent) != order_requests.correlation_id(sent)
