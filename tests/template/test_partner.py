"""Partner: an API destination. No local engine has it, so these tests compare it with AWS's documentation."""

import json
import re

import pytest

from dev.template import WITH_PARTNER, Properties, Template, logical_id, source, template_with
from handoff.events import Metadata
from shop.events import DetailType, OrderData
from tests.template.test_events import event, matched_by
from tests.template.test_permissions import permissions

OAUTH = {**WITH_PARTNER, "PartnerTokenEndpoint": "https://partner.example.com/token"}
PARTNERS = {
    "PartnerRule",
    "PartnerDestination",
    "PartnerConnection",
    "PartnerRole",
    "PartnerDeadLetters",
    "PartnerDeadLettersPolicy",
    "PartnerDeadLettersAlarm",
    "PartnerLostAlarm",
}


def target(template: Template) -> Properties:
    """Return the target of the partner's rule."""
    (target,) = template.of_type("AWS::Events::Rule")["PartnerRule"]["Targets"]
    return target


def connection(template: Template) -> Properties:
    """Return the connection, which holds the credentials."""
    (connection,) = template.of_type("AWS::Events::Connection").values()
    return connection


def transformed(template: Template, detail_type: DetailType) -> dict:
    """Return the body that the partner gets for an event. EventBridge fills in the paths as JSON."""
    transformer = target(template)["InputTransformer"]

    def value(found: re.Match[str]) -> str:
        node = event(detail_type)
        for part in transformer["InputPathsMap"][found[1]].removeprefix("$.").split("."):
            node = node[part]
        return json.dumps(node)

    return json.loads(re.sub(r"<([\w-]+)>", value, transformer["InputTemplate"]))


def test_without_an_endpoint_there_are_no_partner_resources() -> None:
    assert not PARTNERS & template_with().resources.keys()


def test_an_endpoint_adds_the_partner_resources(template: Template) -> None:
    assert template.resources.keys() >= PARTNERS
    assert {name for name in template.resources if name.startswith("Partner")} == PARTNERS


def test_the_partner_gets_events_of_orders_and_not_of_profiles(template: Template) -> None:
    rule = template.of_type("AWS::Events::Rule")["PartnerRule"]
    assert matched_by(rule) == {DetailType.ORDER_PLACED, DetailType.ORDER_CANCELLED, DetailType.SHIPMENT_PREPARED}


@pytest.mark.parametrize("detail_type", [DetailType.ORDER_PLACED, DetailType.SHIPMENT_PREPARED])
def test_the_partner_gets_the_public_event_without_aws_metadata(template: Template, detail_type: DetailType) -> None:
    sent = transformed(template, detail_type)
    assert sent == {"type": detail_type, **event(detail_type)["detail"]}
    assert Metadata.model_validate(sent["metadata"], extra="forbid")
    assert OrderData.model_validate(sent["data"], extra="forbid")


def test_events_are_posted_at_the_partners_rate(template: Template) -> None:
    (destination,) = template.of_type("AWS::Events::ApiDestination").values()
    assert target(template)["Arn"] == "${PartnerDestination.Arn}"
    assert destination == {
        "ConnectionArn": "${PartnerConnection.Arn}",
        "HttpMethod": "POST",
        "InvocationEndpoint": "https://partner.example.com/events",
        "InvocationRateLimitPerSecond": 10,
    }


def test_events_rejected_for_a_day_go_to_the_partners_own_dlq(template: Template) -> None:
    assert target(template)["RetryPolicy"] == {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86400}
    queue = logical_id(target(template)["DeadLetterConfig"]["Arn"])
    others = {
        logical_id(other["DeadLetterConfig"]["Arn"])
        for name, rule in template.of_type("AWS::Events::Rule").items()
        for other in rule["Targets"]
        if name != "PartnerRule"
    }
    assert queue == "PartnerDeadLetters"
    assert queue not in others


def test_eventbridge_may_invoke_only_the_partners_destination(template: Template) -> None:
    role = template.of_type("AWS::IAM::Role")[logical_id(target(template)["RoleArn"])]
    assert permissions(role) == {"${PartnerDestination.Arn}": {"events:InvokeApiDestination"}}
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "${AWS::AccountId}"}}


def test_the_api_key_is_read_from_a_secret(template: Template) -> None:
    assert connection(template) == {
        "AuthorizationType": "API_KEY",
        "AuthParameters": {
            "ApiKeyAuthParameters": {
                "ApiKeyName": "x-api-key",
                "ApiKeyValue": "{{resolve:secretsmanager:partner:SecretString:apiKey}}",
            }
        },
    }


def test_a_token_endpoint_enables_oauth() -> None:
    made = connection(template_with(**OAUTH))
    assert made["AuthorizationType"] == "OAUTH_CLIENT_CREDENTIALS"
    assert made["AuthParameters"] == {
        "OAuthParameters": {
            "AuthorizationEndpoint": "https://partner.example.com/token",
            "HttpMethod": "POST",
            "ClientParameters": {
                "ClientID": "{{resolve:secretsmanager:partner:SecretString:clientId}}",
                "ClientSecret": "{{resolve:secretsmanager:partner:SecretString:clientSecret}}",
            },
            "OAuthHttpParameters": {
                "BodyParameters": [{"Key": "grant_type", "Value": "client_credentials", "IsValueSecret": False}]
            },
        }
    }


@pytest.mark.parametrize("name", ["PartnerEndpoint", "PartnerTokenEndpoint"])
@pytest.mark.parametrize(
    ("value", "is_valid"),
    [
        ("", True),
        ("https://a.example/b", True),
        ("http://a.example", False),
        ("a.example", False),
        ("https:// a", False),
    ],
)
def test_an_endpoint_must_use_https(name: str, value: str, *, is_valid: bool) -> None:
    pattern = source()["Parameters"][name]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, value)) is is_valid


def test_an_endpoint_without_a_secret_is_rejected_before_deployment() -> None:
    rule = source()["Rules"]["PartnerIsComplete"]
    assert rule["RuleCondition"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "PartnerEndpoint"}, ""]}]}
    (assertion,) = rule["Assertions"]
    assert assertion["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "PartnerSecret"}, ""]}]}
    assert "PartnerSecret" in assertion["AssertDescription"]
