"""The API: routes, authorization, throttling and access logs."""

import json
import re
from pathlib import Path

import pytest

from dev.template import ROOT, Properties, Template, source, template_with
from routes import OPERATIONS

OPEN = {"GET /catalog", "GET /health", "$default"}
TEMPLATES = [
    *(ROOT / "template.yaml", ROOT / ".github/deploy-role.yaml", ROOT / "bench/baseline/template.yaml"),
    *sorted(ROOT.glob("examples/*/template.yaml")),
]


def routes(template: Template) -> dict[str, Properties]:
    """Return the routes by their keys."""
    return {route["RouteKey"]: route for route in template.of_type("AWS::ApiGatewayV2::Route").values()}


def test_every_route_has_a_handler_and_every_handler_a_route(template: Template) -> None:
    assert routes(template).keys() == OPERATIONS.keys() | {"$default"}


def test_every_route_invokes_the_orders_function(template: Template) -> None:
    (integration,) = template.of_type("AWS::ApiGatewayV2::Integration").values()
    assert integration["IntegrationType"] == "AWS_PROXY"
    assert integration["IntegrationUri"] == "${OrdersFunction.Arn}"
    assert integration["PayloadFormatVersion"] == "2.0"
    assert {route["Target"] for route in routes(template).values()} == {"integrations/${OrdersIntegration}"}


def test_every_route_but_the_public_ones_requires_a_token(template: Template) -> None:
    assert {key for key, operation in OPERATIONS.items() if operation.is_public} | {"$default"} == OPEN
    for key, route in routes(template).items():
        expected = ("NONE", None) if key in OPEN else ("JWT", "${Authorizer}")
        assert (route["AuthorizationType"], route.get("AuthorizerId")) == expected, key


def test_tokens_are_from_the_stacks_user_pool_by_default(template: Template) -> None:
    (authorizer,) = template.of_type("AWS::ApiGatewayV2::Authorizer").values()
    assert authorizer["AuthorizerType"] == "JWT"
    assert authorizer["IdentitySource"] == ["$request.header.Authorization"]
    assert authorizer["JwtConfiguration"] == {
        "Issuer": "https://cognito-idp.${AWS::Region}.${AWS::URLSuffix}/${UserPool}",
        "Audience": ["${UserPoolClient}", "${ReportsClient}"],
    }
    assert {"UserPoolId", "UserPoolClientId"} <= template.outputs.keys()


def test_tokens_are_from_another_issuer_if_one_is_given() -> None:
    # WHEN the deployment sets an issuer
    template = template_with(JwtIssuer="https://issuer.example.com", JwtAudience="shop")
    # THEN its tokens are accepted, and there is no user pool
    (authorizer,) = template.of_type("AWS::ApiGatewayV2::Authorizer").values()
    assert authorizer["JwtConfiguration"] == {"Issuer": "https://issuer.example.com", "Audience": ["shop"]}
    assert not [name for name, resource in template.resources.items() if "Cognito" in resource["Type"]]
    assert not {"UserPoolId", "UserPoolClientId"} & template.outputs.keys()


def test_plain_password_sign_in_is_disabled_by_default(template: Template) -> None:
    assert "ALLOW_USER_PASSWORD_AUTH" not in clients(template)["UserPoolClient"]["ExplicitAuthFlows"]
    allowed = clients(template_with(PasswordSignIn="true"))
    assert "ALLOW_USER_PASSWORD_AUTH" in allowed["UserPoolClient"]["ExplicitAuthFlows"]


def test_sign_in_errors_do_not_reveal_who_is_a_customer(template: Template) -> None:
    assert {client["PreventUserExistenceErrors"] for client in clients(template).values()} == {"ENABLED"}


def clients(template: Template) -> dict[str, Properties]:
    """Return the clients of the user pool."""
    return template.of_type("AWS::Cognito::UserPoolClient")


def test_the_user_pool_has_the_deletion_policy_of_the_tables(template: Template) -> None:
    retained, deleted = template.resources["UserPool"], template_with(DataPolicy="Delete").resources["UserPool"]
    assert (retained["DeletionPolicy"], retained["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert retained["Properties"]["DeletionProtection"] == "ACTIVE"
    assert (deleted["DeletionPolicy"], deleted["UpdateReplacePolicy"]) == ("Delete", "Delete")
    assert deleted["Properties"]["DeletionProtection"] == "INACTIVE"


def test_only_this_api_may_invoke_the_function(template: Template) -> None:
    (permission,) = template.of_type("AWS::Lambda::Permission").values()
    assert permission == {
        "FunctionName": "${OrdersFunction}",
        "Action": "lambda:InvokeFunction",
        "Principal": "apigateway.amazonaws.com",
        "SourceArn": "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*",
    }


def test_the_api_is_throttled(template: Template) -> None:
    (stage,) = template.of_type("AWS::ApiGatewayV2::Stage").values()
    limits = stage["DefaultRouteSettings"]
    assert 0 < limits["ThrottlingRateLimit"] <= limits["ThrottlingBurstLimit"]
    assert stage["AutoDeploy"] is True
    assert stage["StageName"] == "$default"


def test_only_a_deployment_with_its_own_domain_disables_the_apis_own_address(template: Template) -> None:
    assert "DisableExecuteApiEndpoint" not in template.resources["Api"]["Properties"]
    assert ".execute-api." in template.outputs["ApiUrl"]["Value"]
    behind = template_with(ApiDomain="api.shop.example")
    assert behind.resources["Api"]["Properties"]["DisableExecuteApiEndpoint"] is True
    assert behind.outputs["ApiUrl"]["Value"] == "https://api.shop.example"


@pytest.mark.parametrize(
    ("domain", "is_valid"),
    [
        ("", True),
        ("api.shop.example", True),
        ("https://api.shop.example", False),
        ("localhost", False),
        ("a.b/c", False),
    ],
)
def test_a_domain_is_a_host_name(domain: str, is_valid: bool) -> None:
    assert bool(re.fullmatch(source()["Parameters"]["ApiDomain"]["AllowedPattern"], domain)) is is_valid


def test_access_logs_are_json_without_user_data(template: Template) -> None:
    (stage,) = template.of_type("AWS::ApiGatewayV2::Stage").values()
    logged = json.loads(stage["AccessLogSettings"]["Format"])
    assert stage["AccessLogSettings"]["DestinationArn"] == "${ApiLogs.Arn}"
    assert {"requestId", "route", "status", "latency"} <= logged.keys()
    assert not [value for value in logged.values() if "authorizer" in value or "identity" in value]


@pytest.mark.parametrize("message", ["-", "Unauthorized", json.dumps('the token "a\\b" has expired')[1:-1]])
def test_a_line_of_the_access_log_is_json_whatever_the_error(template: Template, message: str) -> None:
    """API Gateway writes a hyphen for a variable without a value, and escapes quotes: see the template."""
    # GIVEN a request that no function has seen, so that most variables are missing
    (stage,) = template.of_type("AWS::ApiGatewayV2::Stage").values()
    known = {"requestId": "abc=", "error.message": message, "status": "401"}
    written = re.sub(
        r"\$context\.([\w.]+)", lambda variable: known.get(variable[1], "-"), stage["AccessLogSettings"]["Format"]
    )
    # THEN the line is JSON with the message
    assert json.loads(written)["error"] == json.loads(f'"{message}"')
    assert "\n" not in written.strip()


@pytest.mark.parametrize(
    ("partition", "suffix", "token_host"),
    [
        ("aws", "amazonaws.com", "auth.eu-west-1.amazoncognito.com"),
        ("aws-us-gov", "amazonaws.com", "auth-fips.eu-west-1.amazoncognito.com"),
        ("aws-cn", "amazonaws.com.cn", "auth.eu-west-1.amazoncognito.com.cn"),
    ],
)
def test_hosts_belong_to_the_partition(partition: str, suffix: str, token_host: str) -> None:
    """https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-assign-domain-prefix.html"""
    template = template_with(
        **{"AWS::Partition": partition, "AWS::URLSuffix": suffix, "AWS::Region": "eu-west-1"}, OwnKey="true"
    )
    assert template.outputs["TokenUrl"]["Value"] == f"https://${{UserPoolDomain}}.{token_host}/oauth2/token"
    assert template.outputs["ApiUrl"]["Value"] == f"https://${{Api}}.execute-api.eu-west-1.{suffix}"
    # AND no other host or ARN names another partition; a service's principal is the same in all of them
    (authorizer,) = template.of_type("AWS::ApiGatewayV2::Authorizer").values()
    assert authorizer["JwtConfiguration"]["Issuer"] == f"https://cognito-idp.eu-west-1.{suffix}/${{UserPool}}"
    written = json.dumps([template.resources, template.outputs])
    assert set(re.findall(r"\.eu-west-1\.(amazonaws[\w.]*)", written)) == {suffix}
    assert set(re.findall(r"arn:([\w-]+):", written)) <= {partition}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.parent.name)
def test_no_template_names_a_partition(path: Path) -> None:
    text = "\n".join(line for line in path.read_text().splitlines() if "https://docs.aws" not in line)
    assert not re.findall(r"arn:aws[\w-]*:|\$\{AWS::Region\}\.amazon\w+\.com", text)


def test_the_api_id_can_be_fixed_for_the_local_stack(template: Template) -> None:
    assert "Tags" not in template.resources["Api"]["Properties"]
    local = template_with(ApiId="0a1b2c3d").resources["Api"]["Properties"]
    assert local["Tags"] == {"ms-custom-id": "0a1b2c3d"}
