"""Limits: how much the gateway lets through, how much of the account the API gets, and where payments may go."""

import re

import pytest

from tests.template import translated
from tests.template.translated import Properties, Stack

RARE = {"PUT /me", "GET /reports/sales", "GET /openapi.json", "GET /health", "$default"}


def stage(stack: Stack) -> Properties:
    """The API's one stage."""
    (found,) = stack.of_type("AWS::ApiGatewayV2::Stage").values()
    return found


def test_what_no_customer_does_often_has_a_limit_far_below_the_stages(stack: Stack) -> None:
    usual = stage(stack)["DefaultRouteSettings"]["ThrottlingRateLimit"]
    assert stage(stack)["RouteSettings"].keys() == RARE
    for limits in stage(stack)["RouteSettings"].values():
        assert 0 < limits["ThrottlingRateLimit"] <= usual / 10
        assert limits["ThrottlingRateLimit"] <= limits["ThrottlingBurstLimit"]


def test_the_stage_waits_for_the_routes_that_it_sets_limits_for(stack: Stack) -> None:
    """The gateway refuses settings of a route that is not there yet."""
    routes = {name: route["RouteKey"] for name, route in stack.of_type("AWS::ApiGatewayV2::Route").items()}
    waits_for = stack.resources["ApiStage"]["DependsOn"]
    assert {routes[name] for name in waits_for} == stage(stack)["RouteSettings"].keys()


def test_ordering_has_the_whole_rate_of_the_stage(stack: Stack) -> None:
    raised = translated.stack(ThrottleRate="2000", ThrottleBurst="4000")
    assert stage(raised)["DefaultRouteSettings"]["ThrottlingRateLimit"] == "2000"
    assert not {"POST /orders", "GET /catalog"} & stage(raised)["RouteSettings"].keys()


def test_a_ceiling_for_the_api_is_reserved_only_if_one_is_given(stack: Stack) -> None:
    assert "ReservedConcurrentExecutions" not in stack.functions()["orders"]
    reserved = translated.stack(ApiConcurrency="50").functions()
    assert reserved["orders"]["ReservedConcurrentExecutions"] == "50"


def test_no_consumer_has_a_ceiling_even_then() -> None:
    functions = translated.stack(ApiConcurrency="50").functions().items()
    assert [name for name, function in functions if "ReservedConcurrentExecutions" in function] == ["orders"]


@pytest.mark.parametrize(
    ("base", "is_allowed"),
    [
        ("https://api.stripe.com", True),
        ("http://127.0.0.1:8420", True),
        ("http://localhost:8420", True),
        ("http://api.stripe.com", False),
        ("https://api.stripe.com.example.net", False),
        ("https://api.stripe.com@example.net", False),
        ("https://example.net/api.stripe.com", False),
        ("https://api_stripe.com", False),
        ("http://127.0.0.1.example.net", False),
        ("http://localhost:8420@example.net", False),
        ("", False),
    ],
)
def test_payments_go_to_stripe_or_stay_on_this_machine(base: str, *, is_allowed: bool) -> None:
    declared = translated.source()["Parameters"]["StripeApiBase"]
    assert bool(re.fullmatch(declared["AllowedPattern"], base)) is is_allowed
    assert re.fullmatch(declared["AllowedPattern"], declared["Default"])
