"""The API's routes: who may call each, and how it keeps customers' data apart."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from dev.template import ROOT, Properties
from tests.permissions import grants

_NO_USER_DATA = "no user's data"


@dataclass(frozen=True, slots=True)
class Check:
    """How a route keeps customers apart, and the test of it."""

    how: str
    test: str = ""


CHECKS = {
    "POST /orders": Check(
        "the order id is derived from the token's `sub` and the key, so another user's key is another order",
        "tests/integration/test_keys.py::test_another_users_same_key_is_another_order",
    ),
    "GET /orders": Check(
        "reads one partition of the index, the token's `sub`; a cursor is a position in it, never a user. "
        "With `since`: the scope `orders:read`, checked by the function",
        "tests/integration/test_reading.py::test_another_users_cursor_shows_only_the_callers_orders",
    ),
    "GET /orders/{orderId}": Check(
        "`own_order`: another user's order is answered like a missing one, "
        "unless the token has the scope `orders:read`",
        "tests/integration/test_reading.py::test_another_users_order_is_404",
    ),
    "POST /orders/{orderId}/cancel": Check(
        "`own_order`, before anything is written, unless the token has the scope `orders:write`",
        "tests/integration/test_cancelling.py::test_the_order_of_another_user_is_not_found_for_canceling",
    ),
    "POST /orders/{orderId}/confirm": Check(
        "`own_order`, before the payment is looked up",
        "tests/integration/test_customer_action.py::test_confirming_an_unknown_or_foreign_order_is_answered_with_404",
    ),
    "POST /orders/{orderId}/return": Check(
        "`own_order`, before anything is written",
        "tests/integration/test_returns.py::test_the_order_of_another_user_cannot_be_returned",
    ),
    "POST /orders/{orderId}/refunds": Check(
        "the scope, checked by the gateway and by the function; the response has no customer's data",
        "tests/integration/test_refund_requests.py::test_a_customer_cannot_refund",
    ),
    "GET /shipments": Check(
        "the scope, checked by the gateway and by the function",
        "tests/integration/test_shipments.py::test_a_token_without_the_scope_sees_and_packs_nothing",
    ),
    "POST /shipments/{orderId}/packed": Check(
        "the scope, checked by the gateway and by the function; the response has no customer's data",
        "tests/integration/test_shipments.py::test_a_token_without_the_scope_sees_and_packs_nothing",
    ),
    "POST /sandbox/actions": Check(
        "the client secret, which is random, and which only the order's customer gets",
        "tests/integration/test_customer_action.py::test_the_client_secret_of_another_payment_is_not_found",
    ),
    "GET /me": Check(
        "the key is the token's `sub`", "tests/integration/test_profile.py::test_customers_see_their_own_profile_only"
    ),
    "DELETE /me": Check(
        "the key is the token's `sub`",
        "tests/integration/test_exporting.py::test_customers_export_and_erase_their_own_data_only",
    ),
    "GET /me/export": Check(
        "the keys are the token's `sub` and the orders of its user",
        "tests/integration/test_exporting.py::test_another_users_cursor_shows_none_of_that_users_orders",
    ),
    "PUT /me": Check(
        "the key is the token's `sub`", "tests/integration/test_profile.py::test_customers_see_their_own_profile_only"
    ),
    "GET /reports/sales": Check(
        "the scope, checked by the gateway and by the function; sums only, no orders",
        "tests/integration/test_sales_report.py::test_a_token_without_the_scope_cannot_read",
    ),
    "GET /openapi.json": Check(_NO_USER_DATA),
    "GET /catalog": Check(_NO_USER_DATA),
    "GET /health": Check(_NO_USER_DATA),
    "$default": Check("always 404"),
}


def table() -> str:
    """Return the table of routes."""
    found = sorted(routes().items(), key=lambda route: list(CHECKS).index(route[0]))
    lines = ["| route | token | scope | how customers are kept apart | test |", "|---|---|---|---|---|"]
    lines += [_row(key, route, CHECKS[key]) for key, route in found]
    return "\n".join(lines)


def routes() -> dict[str, Properties]:
    """Return the template's routes by their keys."""
    return {route["RouteKey"]: route for route in grants.stack().of_type("AWS::ApiGatewayV2::Route").values()}


def tests_of(file: str) -> Iterator[str]:
    """Yield the names of the tests in a file."""
    for node in ast.parse((ROOT / file).read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name


def _row(key: str, route: Properties, check: Check) -> str:
    token = {"JWT": "yes", "NONE": "no"}[route["AuthorizationType"]]
    scopes = " or ".join(f"`{scope}`" for scope in route.get("AuthorizationScopes", []))
    file, _, test = check.test.partition("::")
    link = f"[{test}](../../{file})" if test else ""
    return f"| `{key}` | {token} | {scopes} | {check.how} | {link} |"
