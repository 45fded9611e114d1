"""Limits: throttling, reserved concurrency, the address that payments go to, and the one that mails come from."""

import re

import pytest

from dev.template import Properties, Template, source, template_with

RARE = {
    *("POST /orders/{orderId}/return", "POST /orders/{orderId}/refunds"),
    *("GET /shipments", "POST /shipments/{orderId}/packed"),
    *("PUT /me", "GET /reports/sales", "GET /openapi.json", "GET /health", "$default"),
}
CATALOG = "GET /catalog"


def stage(template: Template) -> Properties:
    """Return the API's only stage."""
    (found,) = template.of_type("AWS::ApiGatewayV2::Stage").values()
    return found


def test_rarely_called_routes_have_lower_limits_than_the_stage(template: Template) -> None:
    default = stage(template)["DefaultRouteSettings"]["ThrottlingRateLimit"]
    settings = stage(template)["RouteSettings"]
    assert settings.keys() == RARE | {CATALOG}
    for limits in (settings[route] for route in RARE):
        assert 0 < limits["ThrottlingRateLimit"] <= default / 10
        assert limits["ThrottlingRateLimit"] <= limits["ThrottlingBurstLimit"]


def test_the_stage_depends_on_the_routes_that_it_limits(template: Template) -> None:
    """The gateway rejects settings of a route that does not exist yet."""
    routes = {name: route["RouteKey"] for name, route in template.of_type("AWS::ApiGatewayV2::Route").items()}
    waits_for = template.resources["ApiStage"]["DependsOn"]
    assert {routes[name] for name in waits_for} == stage(template)["RouteSettings"].keys()


def test_orders_have_the_rate_of_the_stage(template: Template) -> None:
    raised = template_with(ThrottleRate="2000", ThrottleBurst="4000")
    assert stage(raised)["DefaultRouteSettings"]["ThrottlingRateLimit"] == "2000"
    assert "POST /orders" not in stage(raised)["RouteSettings"]


def test_the_public_catalog_has_a_lower_rate_of_its_own(template: Template) -> None:
    default, catalog = stage(template)["DefaultRouteSettings"], stage(template)["RouteSettings"][CATALOG]
    for limit in ("ThrottlingRateLimit", "ThrottlingBurstLimit"):
        assert 0 < catalog[limit] < default[limit]
    # AND raising it does not raise the rate of orders
    raised = stage(template_with(CatalogThrottleRate="300", CatalogThrottleBurst="600"))
    assert raised["RouteSettings"][CATALOG] == {"ThrottlingRateLimit": "300", "ThrottlingBurstLimit": "600"}
    assert raised["DefaultRouteSettings"] == default


def test_the_api_has_reserved_concurrency_only_if_given(template: Template) -> None:
    assert "ReservedConcurrentExecutions" not in template.functions()["orders"]
    reserved = template_with(ApiConcurrency="50").functions()
    assert reserved["orders"]["ReservedConcurrentExecutions"] == "50"


def test_consumers_never_have_reserved_concurrency() -> None:
    functions = template_with(ApiConcurrency="50").functions().items()
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
def test_stripes_address_is_stripe_or_this_machine(base: str, *, is_allowed: bool) -> None:
    declared = source()["Parameters"]["StripeApiBase"]
    assert bool(re.fullmatch(declared["AllowedPattern"], base)) is is_allowed
    assert re.fullmatch(declared["AllowedPattern"], declared["Default"])


@pytest.mark.parametrize(
    ("sender", "is_allowed"),
    [
        ("shop@example.com", True),
        ("no-reply+orders_1@mail.shop.example.co", True),
        ("The shop <shop@example.com>", False),
        ("<shop@example.com>", False),
        ('"The shop" <shop@example.com>', False),
        ("shop@example.com, other@example.com", False),
        ("shop@example.com ", False),
        ("shop@localhost", False),
        ("shop", False),
        ("", False),
    ],
)
def test_mails_come_from_an_address_without_a_name(sender: str, *, is_allowed: bool) -> None:
    """SES accepts a name beside it, but the emails function may send only if ``ses:FromAddress`` equals MailFrom."""
    declared = source()["Parameters"]["MailFrom"]
    assert bool(re.fullmatch(declared["AllowedPattern"], sender)) is is_allowed
    assert re.fullmatch(declared["AllowedPattern"], declared["Default"])
    assert "without a name" in declared["ConstraintDescription"]
