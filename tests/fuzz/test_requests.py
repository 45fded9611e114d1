"""Generated requests: the parsers accept each, or answer with a 4xx problem document."""

import base64
import contextlib
import json
import re
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

import callers
import catalog_requests
import error_problems
import order_requests
import parameters
import problems
import profile_requests
import refund_requests
import report_requests
import shipment_requests
from bodies import EMAIL
from dev import samples
from dev.simulated.api import event
from response_schemas import REFUND_ID
from shop import text
from shop.catalog import MAX_PRODUCTS
from shop.errors import RequestError
from shop.model import MAX_LINES, MAX_QUANTITY, SKU
from shop.order_store import position_key
from shop.placing import PlaceOrder
from tests.fuzz.effort import fuzzed
from tests.fuzz.shapes import JSON, TEXT, TIMES, bodies, nearly_valid

GOOD = next(iter(samples.orders().values())).request()
GOOD["shippingAddress"] |= {
    **{"company": "Analytical Engines", "street2": "Floor 2", "region": "Uppland"},
    **{"phone": "+46 18 123456", "vatId": "SE123456789001"},
}
REFUND = {"lines": [{"sku": "MUG-01", "quantity": 2}], "amount": None, "reason": "damaged", "restock": True}
PROFILE = {"name": "Mira Lindqvist", "email": "mira@example.com", "language": "de"}
HEADERS = st.dictionaries(
    st.sampled_from(["idempotency-key", "content-type", "content-encoding", "x-correlation-id", "accept"]) | TEXT,
    TEXT | st.sampled_from(["application/json", "APPLICATION/JSON; charset=x", "gzip", "identity", "k" * 128, "k,k"]),
)
_POSITIONS = st.dictionaries(
    st.sampled_from(["orderId", "placedAt", "unplacedSince", "openSince", "status", "day", "sku", "after"]),
    JSON | st.sampled_from(["PLACED", "REJECTED", "a", f"2026-11-23T10:00:00.000Z#ord_{'a' * 26}"]),
)
_CURSORS = (
    st.sampled_from(["", "eyJ9", "W10=", "bnVsbA==", "e30=", "x", "\u00e9"])
    | TEXT
    | _POSITIONS.map(lambda position: base64.urlsafe_b64encode(json.dumps(position).encode()).decode())
)
_DAYS = (
    st.sampled_from(["2026-11-23", "2026-11-24", "2026-02-30", "2026-11-23 ", "\u0662026-11-23", "0000-00-00"]) | TEXT
)
_TIMES = st.sampled_from(["2026-11-23T10:00:00Z", "2026-11-23T10:00:00.000Z", "2026-02-30T10:00:00Z"]) | TIMES | TEXT
_LIMITS = st.sampled_from(["1", "50", "51", "051", "1\u0663", "-1", "1.0"]) | TEXT
_STATUSES = st.sampled_from(["PLACED", "REJECTED", "placed", "", "open"]) | TEXT
_PARAMETERS = {
    **{"limit": _LIMITS, "cursor": _CURSORS, "from": _DAYS, "to": _DAYS},
    **{"status": _STATUSES, "state": _STATUSES, "since": _TIMES},
}


def query(*names):
    """Return a strategy for queries with some of these parameters, and rarely others."""
    known = st.fixed_dictionaries({}, optional={name: _PARAMETERS[name] for name in names})
    return st.none() | known | known | st.dictionaries(TEXT, TEXT, max_size=2)


CLAIMS = {"sub": "ada"}


@contextlib.contextmanager
def problem_allowed():
    """Allow a problem in the context, and check that it is a 4xx document of limited size."""
    refusal = None
    try:
        yield
    except (problems.Problem, RequestError) as error:
        refusal = error_problems.from_exception(error)
    if refusal:
        answer = problems.answer(refusal)
        assert 400 <= refusal.status < 500
        assert json.loads(answer["body"])["status"] == refusal.status
        assert len(answer["body"].encode()) < 100_000


def sent(body, headers, **values):
    """Return a request with this body, as API Gateway passes it on."""
    made = event("POST", "/orders", None, {}, CLAIMS)
    made["headers"] = {"content-type": "application/json", "idempotency-key": "key", **headers}
    return made | {"body": body} | values


def _are_visible(texts):
    """Check that each text is one visible line, in normal form."""
    assert [found for found in texts if text.problem_of(found) or text.normalized(found) != found] == []


@fuzzed
@given(body=bodies(GOOD), headers=HEADERS | st.just({}), in_base64=st.booleans())
def test_an_order_is_valid_or_a_problem(body, headers, in_base64):
    with problem_allowed():
        placement = order_requests.placement(sent(body, headers, isBase64Encoded=in_base64))
        assert isinstance(placement, PlaceOrder)
        assert 1 <= len(placement.quantities) <= MAX_LINES
        assert all(1 <= quantity <= MAX_QUANTITY for quantity in placement.quantities.values())
        _are_visible(placement.shipping_address.model_dump(exclude={"postal_code"}, exclude_none=True).values())


@fuzzed
@given(body=bodies(PROFILE))
def test_a_profile_is_valid_or_a_problem(body):
    with problem_allowed():
        _are_visible([profile_requests.profile(sent(body, {})).name])


@fuzzed
@given(body=bodies(REFUND) | bodies(REFUND | {"lines": None, "restock": False}), headers=HEADERS | st.just({}))
def test_a_refund_is_valid_or_a_problem(body, headers):
    with problem_allowed():
        refund = refund_requests.refund(sent(body, headers), "ord_" + "a" * 26)
        assert re.fullmatch(REFUND_ID, refund.refund_id)
        assert refund.amount is None or (refund.amount > 0 and not refund.quantities and not refund.restock)
        assert len(refund.quantities) <= MAX_LINES
        assert 1 <= len(refund.reason) <= 200
        _are_visible([refund.reason])


@fuzzed
@given(body=st.none() | bodies({"lines": REFUND["lines"], "reason": "too small"}))
def test_a_return_is_valid_or_a_problem(body):
    with problem_allowed():
        quantities, reason = order_requests.return_request(sent(body, {}))
        assert all(1 <= quantity <= MAX_QUANTITY for quantity in quantities.values())
        _are_visible([] if reason is None else [reason])


@fuzzed
@given(body=st.none() | bodies({"reason": "fraud"}))
def test_a_cancellation_is_valid_or_a_problem(body):
    with problem_allowed():
        _are_visible([order_requests.cancel_reason(sent(body, {}))])


@fuzzed
@given(query=query("limit", "cursor", "status"))
def test_a_page_of_orders_is_valid_or_a_problem(query):
    request = event("GET", "/orders", None, {}, CLAIMS) | {"queryStringParameters": query}
    with problem_allowed():
        wanted = order_requests.orders_query(request)
        assert 1 <= wanted.page.limit <= 50
        assert wanted.page.after is None or wanted.page.after.keys() == {"orderId", position_key(wanted.status)}


@fuzzed
@given(query=query("limit", "cursor", "state"))
def test_a_page_of_shipments_is_valid_or_a_problem(query):
    request = event("GET", "/shipments", None, {}, CLAIMS) | {"queryStringParameters": query}
    with problem_allowed():
        wanted = shipment_requests.page(request)
        assert 1 <= wanted.limit <= 50
        assert wanted.after is None or all(wanted.after.values())


@fuzzed
@given(query=query("limit", "cursor", "since", "status"))
def test_a_page_of_all_orders_is_valid_or_a_problem(query):
    request = event("GET", "/orders", None, {}, CLAIMS) | {"queryStringParameters": query}
    if order_requests.is_since(request):
        with problem_allowed():
            wanted = order_requests.since_query(request)
            assert 1 <= wanted.limit <= 50
            assert re.match(r"\d{4}-\d\d-\d\dT", wanted.position)


@fuzzed
@given(query=query("limit", "cursor"))
def test_a_page_of_the_catalog_is_valid_or_a_problem(query):
    request = event("GET", "/catalog", None, {}, CLAIMS) | {"queryStringParameters": query}
    with problem_allowed():
        wanted = catalog_requests.page(request)
        assert 1 <= wanted.limit <= MAX_PRODUCTS
        assert wanted.after is None or re.fullmatch(SKU, wanted.after)


@fuzzed
@given(query=query("limit", "cursor"))
def test_a_page_of_an_export_is_valid_or_a_problem(query):
    request = event("GET", "/me/export", None, {}, CLAIMS) | {"queryStringParameters": query}
    with problem_allowed():
        wanted = profile_requests.export_page(request)
        assert wanted.limit >= 1
        assert wanted.after is None or all(wanted.after.values())


@fuzzed
@given(claims=JSON | nearly_valid({"sub": "ada", "email": "ada@example.com", "email_verified": "true"}))
def test_an_address_in_a_token_is_verified_and_deliverable_or_none(claims):
    request = event("GET", "/me", None, {}, CLAIMS)
    request["requestContext"]["authorizer"] = {"jwt": {"claims": claims if isinstance(claims, dict) else {}}}
    address = callers.verified_email(request)
    assert address is None or (re.fullmatch(EMAIL, address) and str(claims["email_verified"]).lower() == "true")


@fuzzed
@given(query=query("limit", "cursor", "from", "to"))
def test_a_sales_query_is_valid_or_a_problem(query):
    request = event("GET", "/reports/sales", None, {}, CLAIMS) | {"queryStringParameters": query}
    with problem_allowed():
        wanted = report_requests.sales(request)
        assert wanted.first <= wanted.last
        assert 1 <= wanted.limit <= 500


@fuzzed
@given(claims=JSON | nearly_valid({"sub": "ada", "scope": "reports:read"}), order_id=TEXT, correlation_id=TEXT)
def test_claims_and_ids_are_valid_or_a_problem(claims, order_id, correlation_id):
    request = event("GET", "/orders/x", None, {"X-Correlation-Id": correlation_id}, CLAIMS)
    request["requestContext"]["authorizer"] = {"jwt": {"claims": claims if isinstance(claims, dict) else {}}}
    request["pathParameters"] = {"orderId": order_id}
    checks = (callers.user_id, callers.is_program, partial(callers.check_scope, scope="any"), parameters.order_id)
    for parse in checks:
        with problem_allowed():
            parse(request)
    assert 1 <= len(parameters.correlation_id(request)) <= 64


@fuzzed
@given(sent=TEXT | st.sampled_from(["*", '"a", W/"b"', '"', "W/", '""', '"a"b"']))
def test_any_if_none_match_is_a_set_of_entity_tags(sent):
    known = parameters.known_versions(event("GET", "/catalog", None, {"If-None-Match": sent}, CLAIMS))
    assert known == {"*"} or all(len(tag) > 1 and tag[0] == tag[-1] == '"' and tag in sent for tag in known)
