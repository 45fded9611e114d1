"""Tokens for programs that read reports: the command's errors on a stack without such a client."""

import json
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from ops import tokens
from ops.stack.deployment import Deployment


@pytest.fixture
def session() -> Iterator[boto3.Session]:
    with mock_aws():
        yield boto3.Session(region_name="eu-central-1")


def deployed(session: boto3.Session, *outputs: str) -> Deployment:
    """Create a stack with these outputs."""
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": f"value-of-{name}"} for name in outputs},
    }
    session.client("cloudformation").create_stack(StackName="handoff", TemplateBody=json.dumps(template))
    return Deployment("handoff", session)


def test_a_stack_with_another_issuer_gives_out_no_tokens(session: boto3.Session) -> None:
    with pytest.raises(tokens.TokenError, match="tokens of another issuer"):
        tokens.for_reports(deployed(session, "ApiUrl"))


def test_a_pool_without_the_client_names_the_parameter_that_adds_it(session: boto3.Session) -> None:
    with pytest.raises(tokens.TokenError, match="Deploy with ReportsAccess=true"):
        tokens.for_reports(deployed(session, "ApiUrl", "UserPoolId", "UserPoolClientId"))
