"""Secrets and personal data: the template exposes none in variables, parameters, outputs or access logs."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from dev.template import WITH_PAYMENT_EVENTS, WITH_STRIPE, Template, source, template_with, variables_of
from tests.permissions import grants

CHOICES = [
    {},
    grants.EVERYTHING,
    WITH_STRIPE,
    grants.EVERYTHING | WITH_PAYMENT_EVENTS,
    {"Audit": "false"},
    grants.local_parameters(),
]
# Variables of the access log that describe the response, and nothing that the caller has sent.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html
HARMLESS = {
    "requestId",
    "requestTime",
    "requestTimeEpoch",
    "routeKey",
    "httpMethod",
    "protocol",
    "status",
    "responseLatency",
    "responseLength",
    "integrationLatency",
    "integrationStatus",
    "error.message",
    "error.responseType",
}
SOUNDS_SECRET = re.compile("secret|password|token|credential|private|key", re.IGNORECASE)
# Names that sound secret: these hold the name of a secret, and those below hold none at all.
NAMES_OF_SECRETS = {
    "StripeSecret",
    "PartnerSecret",
    "PaymentEventsSecret",
    "STRIPE_SECRET_ID",
    "PARTNER_SECRET_ID",
    "PAYMENT_EVENTS_SECRET_ID",
}
NOT_SECRET = {"PasswordSignIn", "OwnKey", "TokenUrl"}
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
RETENTION_DAYS = {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288}


@pytest.fixture(params=CHOICES, ids=lambda choice: " ".join(choice) or "defaults")
def any_template(request: pytest.FixtureRequest) -> Template:
    """The template with each combination of optional parts."""
    return template_with(**request.param)


def test_every_log_group_has_a_valid_retention(any_template: Template) -> None:
    for name, group in any_template.of_type("AWS::Logs::LogGroup").items():
        assert int(group["RetentionInDays"]) in RETENTION_DAYS, name


def test_functions_and_gateway_log_only_to_groups_of_the_stack(any_template: Template) -> None:
    # Without a group of the stack, Lambda and API Gateway create one without a retention.
    groups = {f"${{{name}}}" for name in any_template.of_type("AWS::Logs::LogGroup")}
    assert {function["LoggingConfig"]["LogGroup"] for function in any_template.functions().values()} <= groups
    (stage,) = any_template.of_type("AWS::ApiGatewayV2::Stage").values()
    assert stage["AccessLogSettings"]["DestinationArn"] in {f"{group[:-1]}.Arn}}" for group in groups}


def test_the_access_log_has_nothing_that_the_caller_sent(template: Template) -> None:
    (stage,) = template.of_type("AWS::ApiGatewayV2::Stage").values()
    logged = json.loads(stage["AccessLogSettings"]["Format"])
    variables = {name for value in logged.values() for name in re.findall(r"\$context\.([\w.]+)", value)}
    assert variables
    assert variables <= HARMLESS


def test_no_environment_variable_holds_a_secret(any_template: Template) -> None:
    for function in any_template.functions().values():
        assert {name for name in variables_of(function) if SOUNDS_SECRET.search(name)} <= NAMES_OF_SECRETS
        assert not [value for value in variables_of(function).values() if "resolve:" in str(value)]


def test_no_parameter_holds_a_secret() -> None:
    declared = source()["Parameters"]
    assert {name for name in declared if SOUNDS_SECRET.search(name)} <= NAMES_OF_SECRETS | NOT_SECRET
    assert not [name for name in NAMES_OF_SECRETS & declared.keys() if declared[name]["Default"]]


def test_no_output_holds_a_secret(any_template: Template) -> None:
    for name, output in any_template.outputs.items():
        assert not SOUNDS_SECRET.search(name) or name in NOT_SECRET
        assert "resolve:" not in str(output["Value"])


def test_no_resource_holds_a_secret(any_template: Template) -> None:
    assert not [name for name, resource in any_template.resources.items() if "resolve:" in str(list(_texts(resource)))]


def test_no_resource_reads_the_clients_secret_of_the_user_pool(any_template: Template) -> None:
    everything = [*any_template.resources.values(), *any_template.outputs.values()]
    assert not [text for part in everything for text in _texts(part) if "ClientSecret}" in text]


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for part in node.values():
            yield from _texts(part)
    elif isinstance(node, list):
        for part in node:
            yield from _texts(part)
