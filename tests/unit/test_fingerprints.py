"""Fingerprints: which requests are the same, also for an earlier and a later release."""

import json

import pytest

import order_requests
import refund_requests
from dev.simulated.api import event
from dev.simulated.world import ADDRESS, MUG, TEE, body
from shop import fingerprint
from shop.fingerprint import Fingerprint
from tests.support.orders import order

ORDER = "ord_" + "a" * 26
ACCENTED = {
    "name": 'Ame\u0301lie "d\\o"',
    "street": "Straße 5",
    "city": "北京 😀",
    "postalCode": "100000",
    "country": "CN",
}


RECORDED = ADDRESS | {"postalCode": "W1"}  # with which the hashes below were stored


def of_order(document):
    headers = {"Content-Type": "application/json", "Idempotency-Key": "key-1"}
    return order_requests.placement(event("POST", "/orders", json.dumps(document), headers, {"sub": "ada"})).fingerprint


def of_refund(**document):
    headers = {"Content-Type": "application/json", "Idempotency-Key": "key-1"}
    sent = event("POST", f"/orders/{ORDER}/refunds", json.dumps({"reason": "damaged", **document}), headers, {})
    return refund_requests.refund(sent, ORDER).fingerprint


@pytest.mark.parametrize(
    ("document", "stored"),
    [
        (body(shippingAddress=RECORDED), "870625eb29ed08e1dbc32fc7067ad0f0a2d9f1039d5cae897776f30c59ec04c9"),
        (
            body((TEE, 1), (MUG, 2), (TEE, 3), expectedTotal=4500, customerAction=True, shippingAddress=RECORDED),
            "88cfb3384fe4116d1e72d54ba037727f9f7511aabca1766a5bfb54f3f69e5150",
        ),
        (
            body(shippingAddress=ACCENTED | {"name": f" {ACCENTED['name']} "}, expectedTotal=0),
            "c7562f538a595597b50cf306e69330aaa6606d878aa7ef2296f0ca0b858bc09e",
        ),
    ],
)
def test_the_legacy_hash_of_an_order_stays_as_earlier_releases_stored_it(document, stored):
    assert of_order(document).legacy == stored


@pytest.mark.parametrize(
    ("document", "stored"),
    [
        (
            {"lines": [{"sku": MUG, "quantity": 2}, {"sku": TEE, "quantity": 1}], "restock": True},
            "1:e6ab35558d383689c6c89ed297a515e799fe8f477b5a8b73aca83bea60db51d8",
        ),
        ({"amount": 5}, "1:15b974a31b4a69b31c02e14c985561533a128add02e7f6fc6b33495893eefac5"),
        ({"reason": " Cafe\u0301 "}, "1:5d1fc8209e283ddfe37db8fa10d4ec7b0e336e6c08735f6a8c85a9bd14b3d93e"),
    ],
)
def test_the_legacy_hash_of_a_refund_stays_as_earlier_releases_stored_it(document, stored):
    assert of_refund(**document).legacy == stored


def test_the_fingerprint_stays_as_it_is_stored():
    # Orders keep it, and a repeat may come after the next release.
    assert of_order(body(shippingAddress=RECORDED)).value == "3:JAktrAzw7e54IVe8AAeO8Q"
    assert of_refund(lines=[{"sku": MUG, "quantity": 2}], restock=True).value == "3:ioB9D8TCetemGT3iXzMEeQ"


def test_the_whole_digest_that_earlier_releases_stored_is_recognized():
    digest = "24092dac0cf0edee782157bc00078ef1ed2532e7d70e75a5a138daa55e9c02d7"
    stored = order(fingerprint=f"2:{digest}", request_hash="other")

    assert of_order(body(shippingAddress=RECORDED)).matches(stored)
    assert not of_order(body((MUG, 2), shippingAddress=RECORDED)).matches(stored)


def test_a_later_release_with_more_optional_fields_computes_the_same(monkeypatch):
    # GIVEN a later release, whose order and address have one more field, with whatever default
    class LaterAddress(order_requests.AddressIn):
        floor: str | None = None

    class LaterOrder(order_requests.OrderIn):
        gift_wrap: bool = False
        speed: str = "standard"
        shipping_address: LaterAddress

    documents = [body(), body((TEE, 1), (MUG, 2), expectedTotal=4500), body(shippingAddress=ACCENTED)]
    released = [of_order(document) for document in documents]
    monkeypatch.setattr(order_requests, "OrderIn", LaterOrder)

    # THEN it recognizes the requests of this one, and knows a request that uses the new fields as another
    assert [of_order(document) for document in documents] == released
    assert of_order(body(speed="express")).value not in {one.value for one in released}
    assert of_order(body(shippingAddress=ADDRESS | {"floor": "3"})).value != released[0].value


@pytest.mark.parametrize(
    "same",
    [
        body((MUG, 2), (TEE, 1)),
        body((TEE, 1), (MUG, 2)),
        body((MUG, 1), (TEE, 1), (MUG, 1)),
        body((MUG, 2), (TEE, 1), expectedTotal=None, customerAction=True),
        body((MUG, 2), (TEE, 1), shippingAddress=ADDRESS | {"city": " London "}),
    ],
)
def test_requests_that_mean_the_same_have_one_fingerprint(same):
    assert of_order(same).value == of_order(body((MUG, 2), (TEE, 1))).value


@pytest.mark.parametrize(
    "other",
    [
        body((MUG, 2)),
        body((TEE, 1)),
        body(token="tok_other"),
        body(expectedTotal=1),
        body(expectedTotal=0),
        *(body(shippingAddress=ADDRESS | {name: "XY"}) for name in ADDRESS if name != "country"),
        body(shippingAddress=ADDRESS | {"country": "US"}),
    ],
)
def test_another_order_has_another_fingerprint(other):
    first, second = of_order(other), of_order(body())
    assert (first.value == second.value, first.legacy == second.legacy) == (False, False)


def test_accents_composed_in_two_ways_are_the_same_request():
    composed = ACCENTED | {"name": 'Am\u00e9lie "d\\o"'}

    assert of_order(body(shippingAddress=composed)).value == of_order(body(shippingAddress=ACCENTED)).value
    assert of_refund(reason="Caf\u00e9").value == of_refund(reason="Cafe\u0301").value


def test_the_order_of_members_does_not_count():
    assert fingerprint.of({"a": 1, "b": {"x": 1, "y": 2}}) == fingerprint.of({"b": {"y": 2, "x": 1}, "a": 1})


@pytest.mark.parametrize(
    ("stored", "matches"),
    [
        ({"fingerprint": "3:x", "request_hash": "other"}, True),
        ({"fingerprint": "3:y", "request_hash": "hash"}, False),
        ({"request_hash": "hash"}, True),
        ({"request_hash": "other"}, False),
        ({"fingerprint": "4:z", "request_hash": "hash"}, True),  # of a later release, before a rollback
    ],
)
def test_the_hash_counts_where_no_fingerprint_of_this_version_is_stored(stored, matches):
    assert Fingerprint("3:x", "hash").matches(order(**stored)) is matches
