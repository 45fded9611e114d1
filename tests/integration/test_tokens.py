"""Tokens for programs: the errors on a stack without a client for the scope."""

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


@pytest.mark.parametrize("access", tokens.ACCESS.values(), ids=tokens.ACCESS)
def test_a_stack_with_another_issuer_gives_out_no_tokens(session: boto3.Session, access: tokens.Access) -> None:
    with pytest.raises(tokens.TokenError, match=f"tokens of another issuer. Get one with the scope {access.scope} "):
        tokens.token_for(deployed(session, "ApiUrl"), access)


@pytest.mark.parametrize("access", tokens.ACCESS.values(), ids=tokens.ACCESS)
def test_a_pool_without_the_client_names_the_parameter_that_adds_it(
    session: boto3.Session, access: tokens.Access
) -> None:
    others = (other.output for other in tokens.ACCESS.values() if other is not access)
    with pytest.raises(tokens.TokenError, match=f"Deploy with {access.parameter}=true"):
        tokens.token_for(deployed(session, "ApiUrl", "UserPoolId", "UserPoolClientId", *others), access)
