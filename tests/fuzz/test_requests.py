"""Generated requests: the parsers accept each, or answer with a 4xx problem document."""

import contextlib
import json
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

import order_requests
import problems
import report_requests
from dev import samples
from dev.simulated.api import event
from shop.errors import RequestError
from shop.model import MAX_LINES, MAX_QUANTITY
from shop.placing import PlaceOrder
from tests.fuzz.effort import fuzzed
from tests.fuzz.shapes import JSON, TEXT, bodies, nearly_valid

GOOD = next(iter(samples.orders().values())).request()
PROFILE = {"name": "Mira Lindqvist", "email": "mira@example.com"}
HEADERS = st.dictionaries(
    st.sampled_from(["idempotency-key", "content-type", "x-correlation-id", "accept"]) | TEXT,
    TEXT | st.sampled_from(["application/json", "APPLICATION/JSON; charset=x", "k" * 128]),
)
_CURSORS = st.sampled_from(["", "eyJ9", "W10=", "bnVsbA==", "e30=", "x", "\u00e9"]) | TEXT
_DAYS = (
    st.sampled_from(["2026-11-23", "2026-11-24", "2026-02-30", "2026-11-23 ", "\u0662026-11-23", "0000-00-00"]) | TEXT
)
_LIMITS = st.sampled_from(["1", "50", "51", "051", "1\u0663", "-1", "1.0"]) | TEXT
_PARAMETERS = {"limit": _LIMITS, "cursor": _CURSORS, "from": _DAYS, "to": _DAYS}


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
        refusal = problems.from_exception(error)
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


@fuzzed
@given(body=bodies(GOOD), headers=HEADERS | st.just({}), in_base64=st.booleans())
def test_an_order_is_valid_or_a_problem(body, headers, in_base64):
    with problem_allowed():
        placement = order_requests.placement(sent(body, headers, isBase64Encoded=in_base64))
        assert isinstance(placement, PlaceOrder)
        assert 1 <= len(placement.quantities) <= MAX_LINES
        assert all(1 <= quantity <= MAX_QUANTITY for quantity in placement.quantities.values())
        assert placement.shipping_address.name.strip()


@fuzzed
@given(body=bodies(PROFILE))
def test_a_profile_is_valid_or_a_problem(body):
    with problem_allowed():
        assert order_requests.profile(sent(body, {})).name.strip()


@fuzzed
@given(query=query("limit", "cursor"))
def test_a_page_is_valid_or_a_problem(query):
    request = event("GET", "/orders", None, {}, CLAIMS) | {"queryStringParameters": query}
    with problem_allowed():
        assert 1 <= order_requests.page(request).limit <= 50


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
    for parse in (order_requests.user_id, partial(order_requests.check_scope, scope="any"), order_requests.order_id):
        with problem_allowed():
            parse(request)
    assert 1 <= len(order_requests.correlation_id(request)) <= 64


@fuzzed
@given(sent=TEXT | st.sampled_from(["*", '"a", W/"b"', '"', "W/", '""', '"a"b"']))
def test_any_if_none_match_is_a_set_of_entity_tags(sent):
    known = order_requests.known_versions(event("GET", "/catalog", None, {"If-None-Match": sent}, CLAIMS))
    assert known == {"*"} or all(len(tag) > 1 and tag[0] == tag[-1] == '"' and tag in sent for tag in known)
