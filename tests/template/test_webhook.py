"""The webhook of the payment provider: deployed only if it is configured, public, and with almost no permissions."""

import re

import pytest

from dev.template import WITH_PAYMENT_EVENTS, WITH_STRIPE, Template, logical_id, source, template_with, variables_of
from handoff import bus
from shop import payments
from tests.template.test_permissions import ANY_KEY, LOGS, PUBLISH, TRACING, permissions, role_of, statements

ROUTE = "POST /payment-events"
SECRET = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:shop/stripe-webhook-??????"


@pytest.fixture
def template() -> Template:
    """The template with the webhook."""
    return template_with(**WITH_PAYMENT_EVENTS)


def names(template: Template) -> set[str]:
    """Return the webhook's resources."""
    return {name for name in template.resources if "PaymentEvents" in name} - {"PaymentEventsLateAlarm"}


@pytest.mark.parametrize(
    "parameters",
    [{}, WITH_STRIPE, {"PaymentEventsSecret": "shop/stripe-webhook"}],
    ids=["neither", "stripe", "sandbox"],
)
def test_without_stripe_and_its_signing_secret_there_is_no_webhook(parameters: dict[str, str]) -> None:
    template = template_with(**parameters)
    assert names(template) == set()
    (stage,) = template.of_type("AWS::ApiGatewayV2::Stage").values()
    assert ROUTE not in stage["RouteSettings"]
    assert "PaymentEventsUrl" not in template.outputs


def test_the_route_is_public_and_invokes_only_its_own_function(template: Template) -> None:
    (route,) = (one for one in template.of_type("AWS::ApiGatewayV2::Route").values() if one["RouteKey"] == ROUTE)
    assert route["AuthorizationType"] == "NONE"
    integration = template.of_type("AWS::ApiGatewayV2::Integration")[logical_id(route["Target"].partition("/")[2])]
    assert integration["IntegrationUri"] == "${PaymentEventsFunction.Arn}"
    assert integration["PayloadFormatVersion"] == "2.0"
    permission = template.of_type("AWS::Lambda::Permission")["ApiMayInvokePaymentEvents"]
    assert (permission["FunctionName"], permission["Principal"]) == (
        "${PaymentEventsFunction}",
        "apigateway.amazonaws.com",
    )
    # AND all other routes invoke the orders function
    others = [one for one in template.of_type("AWS::ApiGatewayV2::Route").values() if one is not route]
    assert {one["Target"] for one in others} == {"integrations/${OrdersIntegration}"}


def test_the_route_has_a_lower_limit_which_waits_for_it(template: Template) -> None:
    (stage,) = template.of_type("AWS::ApiGatewayV2::Stage").values()
    limits, default = stage["RouteSettings"][ROUTE], stage["DefaultRouteSettings"]
    assert 0 < limits["ThrottlingRateLimit"] <= default["ThrottlingRateLimit"] / 10
    # The gateway rejects settings of a route that does not exist yet.
    assert "${PaymentEventsRoute}" in stage["StageVariables"].values()


def test_the_function_may_read_its_secret_and_publish_and_nothing_else(template: Template) -> None:
    role = role_of(template, template.functions()["payment_events"])
    assert permissions(role) == {
        SECRET: {"secretsmanager:GetSecretValue"},
        ANY_KEY: {"kms:Decrypt"},
        "${PaymentEventsLogs.Arn}": LOGS,
        **PUBLISH,
        **TRACING,
    }
    (decrypting,) = (one for one in statements(role) if one["Resource"] == ANY_KEY)
    assert decrypting["Condition"]["ArnLike"] == {"kms:EncryptionContext:SecretARN": SECRET}


def test_no_other_function_may_read_the_signing_secret(template: Template) -> None:
    roles = {name: permissions(role_of(template, function)) for name, function in template.functions().items()}
    assert [name for name, granted in roles.items() if SECRET in granted] == ["payment_events"]


def test_it_has_the_name_of_its_secret_and_not_the_stripe_library(template: Template) -> None:
    function = template.functions()["payment_events"]
    layers = {layer["Content"]["S3Key"]: name for name, layer in template.of_type("AWS::Lambda::LayerVersion").items()}
    assert f"${{{layers['layers/stripe']}}}" not in function["Layers"]
    assert variables_of(function)["PAYMENT_EVENTS_SECRET_ID"] == "shop/stripe-webhook"


def test_the_slowest_request_is_answered_in_time(template: Template) -> None:
    # GIVEN two readings of the secret, each shorter than half a payment, and a bus that takes its maximum
    reading = payments.LONGEST_CALL / 2  # compared in test_timeouts
    worst = 2 * reading + bus.LONGEST_PATIENT_PUBLISH
    (integration,) = (
        one
        for one in template.of_type("AWS::ApiGatewayV2::Integration").values()
        if one["IntegrationUri"] == "${PaymentEventsFunction.Arn}"
    )
    timeout = template.functions()["payment_events"]["Timeout"]
    assert worst < timeout < integration["TimeoutInMillis"] / 1000


@pytest.mark.parametrize(("value", "is_allowed"), [("shop/stripe-webhook", True), ("", True), ("whsec_pasted", False)])
def test_the_signing_secret_itself_is_rejected_as_a_parameter(value: str, *, is_allowed: bool) -> None:
    declared = source()["Parameters"]["PaymentEventsSecret"]
    assert bool(re.fullmatch(declared["AllowedPattern"], value)) is is_allowed


def test_the_webhooks_alarms_watch_metrics_that_the_function_emits(template: Template) -> None:
    alarms = template.of_type("AWS::CloudWatch::Alarm")
    watched = {alarms[name]["MetricName"] for name in names(template) & alarms.keys()}
    assert watched == {"Errors", "PaymentEventsFailed", "PaymentEventsRefused"}
