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
        "reads one partition of the index, the token's `sub`; a cursor is a position in it, never a user",
        "tests/integration/test_reading.py::test_another_users_cursor_shows_only_the_callers_orders",
    ),
    "GET /orders/{orderId}": Check(
        "`own_order`: another user's order is answered like a missing one",
        "tests/integration/test_reading.py::test_another_users_order_is_404",
    ),
    "POST /orders/{orderId}/cancel": Check(
        "`own_order`, before anything is written",
        "tests/integration/test_cancelling.py::test_the_order_of_another_user_is_not_found_for_canceling",
    ),
    "GET /me": Check(
        "the key is the token's `sub`", "tests/integration/test_profile.py::test_customers_see_their_own_profile_only"
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
