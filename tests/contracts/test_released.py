"""The code is compatible with the released contracts, and every incompatible change is detected."""

import json
import shutil

import pytest

from dev.contracts import files as contracts
from dev.contracts import openapi
from dev.contracts.compatibility import broken_by_api, broken_by_event
from dev.contracts.events import delivered
from dev.contracts.schema import Schema, excess
from shop.events import DetailType

API = openapi.document()
ORDERS, ORDER = ("paths", "/orders"), ("paths", "/orders/{orderId}", "get")
POST = (*ORDERS, "post")
SALES = ("paths", "/reports/sales", "get")
JSON = ("content", "application/json")
SCHEMAS = ("components", "schemas")
SCHEMES = ("components", "securitySchemes")
KEY = {"type": "apiKey", "in": "header", "name": "X-Key"}


def changed(document, *path, to=None, drop=False):
    """A copy of a document in which one thing is another, or not there."""
    document = json.loads(json.dumps(document))  # a fifth of the time of a deep copy
    node = document
    for step in path[:-1]:
        node = node[step]
    if drop:
        del node[path[-1]]
    else:
        node[path[-1]] = to
    return document


def parameter(**values):
    return {"name": "colour", "in": "query", "required": False, "schema": {"type": "string"}, **values}


def member(schema, name, **values):
    return (*SCHEMAS, schema, "properties", name), values


BREAKING = {
    "a path that goes": changed(API, "paths", "/catalog", drop=True),
    "a method that goes": changed(API, *POST, drop=True),
    "a token for what was open": changed(API, "paths", "/catalog", "get", "security", to=[{"token": []}]),
    "a scope for what had none": changed(API, *POST, "security", to=[{"token": ["orders:write"]}]),
    "another scope": changed(API, *SALES, "security", to=[{"token": ["sales"]}]),
    "something to send beside the token": changed(
        changed(API, *SCHEMES, "key", to=KEY), *POST, "security", to=[{"token": [], "key": []}]
    ),
    "another kind of token": changed(API, *SCHEMES, "token", to=KEY),
    "a token sent in another way": changed(API, *SCHEMES, "token", "scheme", to="basic"),
    "another name of an operation": changed(API, *POST, "operationId", to="buy"),
    "an operation without its name": changed(API, *POST, "operationId", drop=True),
    "a new required parameter": changed(API, *POST, "parameters", 1, to=parameter(required=True)),
    "a parameter that becomes required": changed(API, *ORDERS, "get", "parameters", 0, "required", to=True),
    "a parameter that goes": changed(API, *ORDERS, "get", "parameters", 0, drop=True),
    "a lower limit": changed(API, *ORDERS, "get", "parameters", 0, "schema", "maximum", to=20),
    "a parameter of another type": changed(API, *ORDERS, "get", "parameters", 0, "schema", to={"type": "boolean"}),
    "a narrower key": changed(API, *POST, "parameters", 0, "schema", "pattern", to="^[a-z]+$"),
    "a required member of a body": changed(
        API, *SCHEMAS, "OrderIn", "required", to=["lines", "shippingAddress", "paymentToken", "expectedTotal"]
    ),
    "a member that a body may not have any more": changed(
        API, *SCHEMAS, "OrderIn", "properties", "expectedTotal", drop=True
    ),
    "fewer lines": changed(API, *SCHEMAS, "OrderIn", "properties", "lines", "maxItems", to=49),
    "a smaller quantity": changed(API, *SCHEMAS, "LineIn", "properties", "quantity", "maximum", to=998),
    "a quantity that may not be even": changed(
        API, *SCHEMAS, "LineIn", "properties", "quantity", "not", to={"multipleOf": 2}
    ),
    "a shorter name": changed(API, *SCHEMAS, "AddressIn", "properties", "name", "maxLength", to=99),
    "a member that may not be null any more": changed(
        API, *SCHEMAS, "OrderIn", "properties", "expectedTotal", to={"type": "integer", "minimum": 0, "maximum": 10**12}
    ),
    "a body of another media type": changed(API, *POST, "requestBody", "content", to={"text/csv": {"schema": {}}}),
    "a member that an answer has no more": changed(API, *SCHEMAS, "Product", "properties", "inStock", drop=True),
    "a member that an answer may lack": changed(API, *SCHEMAS, "Product", "required", to=["sku", "name", "unitPrice"]),
    "an optional member that goes": changed(API, *SCHEMAS, "OrdersPage", "properties", "next", drop=True),
    "a member of another type": changed(API, *SCHEMAS, "Product", "properties", "unitPrice", to={"type": "string"}),
    "a member that may be null": changed(
        API, *SCHEMAS, "Product", "properties", "name", to={"anyOf": [{"type": "string"}, {"type": "null"}]}
    ),
    "a member without a lower bound": changed(API, *SCHEMAS, "Line", "properties", "quantity", "minimum", drop=True),
    "a new value of an enum": changed(API, *SCHEMAS, "Status", "enum", 0, to="LOST"),
    "an enum that becomes any text": changed(API, *SCHEMAS, "Status", to={"type": "string"}),
    "a new success": changed(API, *POST, "responses", "202", to={"description": "later", "content": {}}),
    "a status that goes": changed(API, *POST, "responses", "402", drop=True),
    "a problem that goes": changed(
        API,
        *(*POST, "responses", "409", "content", "application/problem+json", "schema", "oneOf"),
        to=[{"$ref": "#/components/schemas/OutOfStockProblem"}],
    ),
    "a problem of another type": changed(
        API, *SCHEMAS, "NoSuchOrderProblem", "properties", "type", "const", to="urn:handoff:problem:not-there"
    ),
    "a problem without its member": changed(API, *SCHEMAS, "OutOfStockProblem", "properties", "products", drop=True),
    "a header that goes": changed(API, *POST, "responses", "201", "headers", "location", drop=True),
    "an answer of another media type": changed(
        API, *ORDER, "responses", "200", "content", to={"text/html": {"schema": {}}}
    ),
}
HARMLESS = {
    "nothing": API,
    "a new path": changed(API, "paths", "/new", to=API["paths"]["/catalog"]),
    "a new operation": changed(
        API, "paths", "/catalog", "put", to={**API["paths"]["/orders"]["post"], "operationId": "x"}
    ),
    "a new optional parameter": changed(
        API, *POST, "parameters", to=[*API["paths"]["/orders"]["post"]["parameters"], parameter()]
    ),
    "a higher limit": changed(API, *ORDERS, "get", "parameters", 0, "schema", "maximum", to=100),
    "a parameter that need not be sent": changed(API, *POST, "parameters", 0, "required", to=False),
    "more lines": changed(API, *SCHEMAS, "OrderIn", "properties", "lines", "maxItems", to=99),
    "a new optional member of a body": changed(
        API, *SCHEMAS, "OrderIn", "properties", "note", to={"type": "string", "maxLength": 5}
    ),
    "a member of a body that need not be sent": changed(
        API, *SCHEMAS, "OrderIn", "required", to=["lines", "shippingAddress"]
    ),
    "a new member of an answer": changed(API, *SCHEMAS, "Product", "properties", "colour", to={"type": "string"}),
    "a member that is always there": changed(API, *SCHEMAS, "OrdersPage", "required", to=["orders", "next"]),
    "a value less": changed(API, *SCHEMAS, "Status", "enum", to=["PLACED", "PREPARED"]),
    "a new problem": changed(
        API,
        *(*POST, "responses", "402", "content", "application/problem+json", "schema"),
        to={"oneOf": [{"$ref": f"#/components/schemas/{name}Problem"} for name in ("PaymentDeclined", "KeyReused")]},
    ),
    "a new refusal": changed(API, *POST, "responses", "418", to=API["paths"]["/orders"]["post"]["responses"]["402"]),
    "another text": changed(API, *POST, "summary", to="Buy"),
    "an open door": changed(API, *POST, "security", drop=True),
    "a door that is open beside the locked one": changed(API, *POST, "security", to=[{"token": []}, {}]),
    "a scope that is asked for no more": changed(API, *SALES, "security", to=[{"token": []}]),
    "another way in beside the token": changed(
        changed(API, *SCHEMES, "key", to=KEY), *POST, "security", to=[{"key": []}, {"token": []}]
    ),
    "another text about the token": changed(API, *SCHEMES, "token", "bearerFormat", to="opaque"),
    "a wider number where a whole one was asked for": changed(
        API, *SCHEMAS, "LineIn", "properties", "quantity", to={"type": "number", "minimum": 0, "maximum": 999}
    ),
}


def test_the_code_is_compatible_with_the_released_contracts():
    assert contracts.breaks() == []


def test_the_generated_contracts_are_released():
    # Every push to main is deployed, and clients may rely on it from then on.
    assert contracts.unreleased() == [], "run make release-contracts, which refuses what breaks clients"


def test_unreleased_files_are_listed_until_they_are_released(tmp_path):
    # GIVEN a release that lacks one file and has older versions of two others
    released = tmp_path / "released"
    contracts.release(released)
    (released / "events/order_cancelled.json").unlink()
    (released / "events/order_placed.detail.json").write_text("{}")
    (released / "openapi.json").write_text("{}")
    # THEN these are listed
    files = ["contracts/events/order_cancelled.json", "contracts/events/order_placed.detail.json"]
    assert contracts.unreleased(released) == [*files, "functions/orders/openapi.json"]
    # AND a release brings them up to date
    contracts.release(released)
    assert contracts.unreleased(released) == []


@pytest.mark.parametrize("name", BREAKING)
def test_a_change_that_breaks_clients_is_rejected(name):
    assert len(broken_by_api(API, BREAKING[name])) >= 1


@pytest.mark.parametrize("name", HARMLESS)
def test_a_compatible_change_of_the_api_is_accepted(name):
    assert broken_by_api(API, HARMLESS[name]) == []


PLACED = delivered(DetailType.ORDER_PLACED)
DATA = ("$defs", "OrderData")


@pytest.mark.parametrize(
    "new",
    [
        {},
        {"order_placed": changed(PLACED, *DATA, "properties", "userId", drop=True)},
        {"order_placed": changed(PLACED, *DATA, "required", to=["orderId"])},
        {"order_placed": changed(PLACED, *DATA, "properties", "userId", to={"type": "integer"})},
        {"order_placed": changed(PLACED, *DATA, "properties", "userId", to={"type": "string"})},
        {"order_placed": changed(PLACED, "$defs", "Metadata", "properties", "version", "const", to=2)},
        {"order_placed": changed(PLACED, "$defs", "Metadata", "properties", "sequence", "minimum", to=0)},
        {"order_placed": changed(PLACED, "properties", "source", "const", to="handoff.shop")},
    ],
    ids=["gone", "member gone", "may be missing", "another type", "any text", "version", "sequence", "source"],
)
def test_a_change_that_breaks_consumers_is_rejected(new):
    assert len(broken_by_event({"order_placed": PLACED}, new)) == 1


def test_a_compatible_change_of_an_event_is_accepted():
    new = changed(PLACED, *DATA, "properties", "channel", to={"type": "string"})
    new["$defs"]["OrderData"]["required"] += ["channel"]

    assert broken_by_event({"order_placed": PLACED}, {"order_placed": new, "order_lost": {}}) == []


def test_a_consumer_that_requires_an_unreleased_field_is_rejected(tmp_path):
    # GIVEN a release whose profile events have no changedFields
    shutil.copytree(contracts.RELEASED, tmp_path / "released")
    file = tmp_path / "released/events/user_profile_updated.detail.json"
    old = json.loads(file.read_text())
    del old["$defs"]["ProfileData"]["properties"]["changedFields"]
    old["$defs"]["ProfileData"]["required"].remove("changedFields")
    file.write_text(json.dumps(old))
    # THEN the field that today's consumers require is listed
    assert contracts.breaks(tmp_path / "released") == [
        "user_profile_updated, replayed: .data.changedFields: may be missing"
    ]


def test_an_unknown_schema_keyword_is_an_error():
    odd = Schema({}, {"type": "string", "contentEncoding": "base64"})

    with pytest.raises(NotImplementedError, match="contentEncoding"):
        excess(odd, odd)
