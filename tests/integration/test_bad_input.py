"""Invalid input: the API rejects it with a problem document that names the fields."""

import gzip
import json
from urllib.parse import urlencode

import pytest

from dev.simulated.world import ADDRESS, MUG, TEE, body


@pytest.fixture(autouse=True)
def _nothing_happens(world):
    """No invalid request stores, reserves or holds anything."""
    yield
    assert world.items("OrdersTable") == world.items("SandboxTable") == []
    assert world.available() == 10


def send(api, raw, **headers):
    return api.call("POST", "/orders", raw, **{"Idempotency-Key": "key-1", **headers})


def without(name):
    return {key: value for key, value in body().items() if key != name}


def with_address(**values):
    return body(shippingAddress=ADDRESS | values)


BAD_FIELDS = [
    # the body as a whole
    ({}, ["lines", "shippingAddress", "paymentToken"]),
    ([], ["body"]),
    ("text", ["body"]),
    (None, ["body"]),
    (body(userId="bob"), ["userId"]),
    (body(total=1), ["total"]),
    # lines
    (without("lines"), ["lines"]),
    (body() | {"lines": []}, ["lines"]),
    (body() | {"lines": {}}, ["lines"]),
    (body() | {"lines": "MUG-01"}, ["lines"]),
    (body() | {"lines": [None]}, ["lines.0"]),
    (body(*((f"SKU-{n}", 1) for n in range(51))), ["lines"]),
    (body() | {"lines": [{"sku": MUG}]}, ["lines.0.quantity"]),
    (body() | {"lines": [{"quantity": 1}]}, ["lines.0.sku"]),
    (body() | {"lines": [{"sku": MUG, "quantity": 1, "unitPrice": 1}]}, ["lines.0.unitPrice"]),
    (body(("", 1)), ["lines.0.sku"]),
    (body((" MUG-01", 1)), ["lines.0.sku"]),
    (body(("MUG-01\n", 1)), ["lines.0.sku"]),
    (body(("x" * 65, 1)), ["lines.0.sku"]),
    (body() | {"lines": [{"sku": 1, "quantity": 1}]}, ["lines.0.sku"]),
    # quantities
    (body((MUG, 0)), ["lines.0.quantity"]),
    (body((MUG, -1)), ["lines.0.quantity"]),
    (body((MUG, 1000)), ["lines.0.quantity"]),
    (body((MUG, 10**30)), ["lines.0.quantity"]),
    (body((MUG, 1.5)), ["lines.0.quantity"]),
    (body((MUG, "1")), ["lines.0.quantity"]),
    (body((MUG, True)), ["lines.0.quantity"]),
    (body((MUG, None)), ["lines.0.quantity"]),
    (body((MUG, 1), (TEE, 0)), ["lines.1.quantity"]),
    (body((MUG, 999), (MUG, 1)), ["lines.1.quantity"]),
    # products
    (body(("NO-SUCH", 1)), ["lines.0.sku"]),
    (body((MUG, 1), ("NO-SUCH", 1)), ["lines.1.sku"]),
    (body(("NO-SUCH", 1), (MUG, 1), ("NO-SUCH", 1)), ["lines.0.sku", "lines.2.sku"]),
    # the address
    (without("shippingAddress"), ["shippingAddress"]),
    (with_address(name=""), ["shippingAddress.name"]),
    (with_address(name="   "), ["shippingAddress.name"]),
    (with_address(name="x" * 101), ["shippingAddress.name"]),
    (with_address(name="Ada\nBcc: all@example.com"), ["shippingAddress.name"]),
    (with_address(street="\x00"), ["shippingAddress.street"]),
    (with_address(street="12 Engine Way\u2028Bcc: all@example.com"), ["shippingAddress.street"]),
    (with_address(street="\u00a0"), ["shippingAddress.street"]),
    (with_address(name="\u200b"), ["shippingAddress.name"]),
    (with_address(name="Ada \u202eecalevoL"), ["shippingAddress.name"]),
    (with_address(city="Lon\u00addon"), ["shippingAddress.city"]),
    (with_address(street="evil\u200b.com"), ["shippingAddress.street"]),
    (with_address(street="M\ufffdhlenweg 3"), ["shippingAddress.street"]),
    (with_address(city=None), ["shippingAddress.city"]),
    (with_address(postalCode=12345), ["shippingAddress.postalCode"]),
    (with_address(country="gb"), ["shippingAddress.country"]),
    (with_address(country="GBR"), ["shippingAddress.country"]),
    (with_address(planet="Earth"), ["shippingAddress.planet"]),
    (with_address(country="UK"), ["shippingAddress.country"]),
    (with_address(country="XX"), ["shippingAddress.country"]),
    (with_address(postalCode=None), ["shippingAddress.postalCode"]),
    (with_address(postalCode=""), ["shippingAddress.postalCode"]),
    (with_address(company=" "), ["shippingAddress.company"]),
    (with_address(company="x" * 101), ["shippingAddress.company"]),
    (with_address(street2="Win at evil.com"), ["shippingAddress.street2"]),
    (with_address(region="\u200b"), ["shippingAddress.region"]),
    (with_address(phone="call me"), ["shippingAddress.phone"]),
    (with_address(phone="1" * 33), ["shippingAddress.phone"]),
    (with_address(vatId="GB"), ["shippingAddress.vatId"]),
    (with_address(vatId="GB\n123456789"), ["shippingAddress.vatId"]),
    # the payment token and the expected total
    (without("paymentToken"), ["paymentToken"]),
    (body(token=""), ["paymentToken"]),
    (body(token="x" * 256), ["paymentToken"]),
    (body(token="with space"), ["paymentToken"]),
    (body(expectedTotal=-1), ["expectedTotal"]),
    (body(expectedTotal="1250"), ["expectedTotal"]),
    (body(expectedTotal=12.5), ["expectedTotal"]),
    (body(expectedTotal=10**13), ["expectedTotal"]),
]


@pytest.mark.parametrize(("document", "fields"), BAD_FIELDS)
def test_every_invalid_field_is_named(api, document, fields):
    answer = send(api, json.dumps(document))

    assert (answer.status, answer.problem, answer.fields) == (400, "invalid-request", fields)
    assert answer.json["detail"]
    assert "pattern" not in answer.json["detail"]


def test_all_invalid_fields_are_named_at_once(api):
    answer = send(api, json.dumps(body((MUG, 0)) | {"paymentToken": 1, "more": 1}))

    assert sorted(answer.fields) == ["lines.0.quantity", "more", "paymentToken"]


def test_a_delisted_product_cannot_be_ordered(world, api):
    world.stock(TEE, listed=False)

    answer = api.place(body((TEE, 1)))

    assert (answer.status, answer.fields) == (400, ["lines.0.sku"])


def test_a_product_delisted_after_the_catalog_was_cached_cannot_be_ordered(world, api):
    world.stock(TEE)
    api.get("/catalog")
    world.stock(TEE, listed=False)

    answer = api.place(body((TEE, 1)))

    assert (answer.status, answer.fields) == (400, ["lines.0.sku"])


@pytest.mark.parametrize(
    "raw",
    ["", " ", "{", "nonsense", '{"lines": [}', "\x00", '"\\ud800"', '{"a": 1} {"b": 2}'],
)
def test_a_body_that_is_not_json_is_400(api, raw):
    answer = send(api, raw)

    assert (answer.status, answer.problem, answer.fields) == (400, "invalid-request", ["body"])


def test_a_missing_body_is_400(api):
    answer = send(api, None, **{"Content-Type": "application/json"})

    assert (answer.status, answer.fields) == (400, ["body"])


def test_a_deeply_nested_body_is_400(api):
    answer = send(api, "[" * 30_000 + "]" * 30_000)

    assert (answer.status, answer.fields) == (400, ["body"])


LATIN_1 = json.dumps(with_address(name="Andr\u00e9"), ensure_ascii=False).encode("latin-1")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (LATIN_1, "not other bytes"),
        (LATIN_1.decode(errors="replace"), "not other bytes"),  # as API Gateway passes it
        (json.dumps(body()).encode("utf-16"), "not utf-16"),
        (json.dumps(body()).encode("utf-16-le"), "not utf-16-le"),
        (json.dumps(body()).encode("utf-8-sig"), "not a byte order mark"),
    ],
)
def test_a_body_that_is_not_utf8_is_415(api, raw, said):
    answer = send(api, raw)

    assert (answer.status, answer.problem, answer.fields) == (415, "not-utf8", ["body"])
    assert said in answer.json["detail"]


@pytest.mark.parametrize("charset", ["iso-8859-1", '"UTF-16"', "x"])
def test_another_charset_is_415(api, charset):
    answer = send(api, json.dumps(body()), **{"Content-Type": f"application/json; charset={charset}"})

    assert (answer.status, answer.problem, answer.fields) == (415, "not-utf8", ["Content-Type"])


def test_a_compressed_body_is_415(api):
    answer = send(api, gzip.compress(json.dumps(body()).encode()), **{"Content-Encoding": "gzip"})

    assert (answer.status, answer.problem, answer.fields) == (415, "encoded-body", ["Content-Encoding"])
    assert answer.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("once", "twice", "name"),
    [
        ('"quantity": 1', '"quantity": 1, "quantity": 2', "quantity"),
        ('"paymentToken"', '"paymentToken": "tok_approve", "paymentToken"', "paymentToken"),
        ('"city": "London"', '"city": "London", "c\\u0069ty": "Paris"', "city"),
    ],
)
def test_a_member_that_is_given_twice_is_named(api, once, twice, name):
    answer = send(api, json.dumps(body()).replace(once, twice))

    assert (answer.status, answer.problem, answer.fields) == (400, "invalid-request", [name])
    assert "send each member once" in answer.json["detail"]


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""])
def test_a_content_type_other_than_json_is_415(api, media_type):
    answer = send(api, urlencode({"sku": MUG, "quantity": 1}), **{"Content-Type": media_type})

    assert (answer.status, answer.problem, answer.fields) == (415, "not-json", ["Content-Type"])


def test_a_body_over_64_kb_is_413(api):
    answer = send(api, json.dumps(body(comment="x" * 65 * 1024)))

    assert (answer.status, answer.problem, answer.fields) == (413, "too-large", ["body"])


def test_the_size_of_a_body_is_counted_in_bytes(api):
    answer = send(api, json.dumps(body(comment="ä" * 33 * 1024), ensure_ascii=False))

    assert answer.status == 413


@pytest.mark.parametrize("key", ["", " ", "two words", "x" * 129, "tab\t", "ключ", "a\nb"])
def test_an_invalid_idempotency_key_is_400(api, key):
    answer = api.place(body(), key=key)

    assert (answer.status, answer.problem, answer.fields) == (400, "invalid-request", ["Idempotency-Key"])


def test_a_missing_idempotency_key_is_400(api):
    answer = api.call("POST", "/orders", json.dumps(body()))

    assert (answer.status, answer.fields) == (400, ["Idempotency-Key"])


@pytest.mark.parametrize("claims", [{}, {"sub": ""}, {"sub": "x" * 129}, {"sub": "\U0001f600" * 128}, {"sub": "a b"}])
def test_a_token_without_a_valid_subject_is_401(world, claims):
    api = world.api()
    api._claims = claims

    assert (api.place(body()).status, api.place(body()).problem) == (401, "unauthenticated")


def test_invalid_input_causes_no_aws_call(world, api):
    with world.wire.watched() as calls:
        send(api, json.dumps(body((MUG, 0))))

    assert calls == []
