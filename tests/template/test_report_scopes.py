"""Reports: the scope that the gateway requires, and the only client that gets it."""

import pytest

import order_requests
from dev.template import Template, template_with
from routes import OPERATIONS
from tests.template import test_samconfig


def test_a_route_requires_the_scope_of_its_operation(template: Template) -> None:
    routes = {route["RouteKey"]: route for route in template.of_type("AWS::ApiGatewayV2::Route").values()}
    for key, operation in OPERATIONS.items():
        expected = order_requests.accepted_scopes(operation.scope) if operation.scope else set()
        assert set(routes[key].get("AuthorizationScopes", [])) == expected, key


def test_no_other_route_requires_a_scope(template: Template) -> None:
    # Users may send ID tokens, which have no scopes.
    routes = template.of_type("AWS::ApiGatewayV2::Route").values()
    assert {route["RouteKey"] for route in routes if "AuthorizationScopes" in route} == {"GET /reports/sales"}


def test_the_scope_has_cognitos_notation(template: Template) -> None:
    # GIVEN Cognito's notation of custom scopes, resource-server/scope
    (server,) = template.of_type("AWS::Cognito::UserPoolResourceServer").values()
    written = {f"{server['Identifier']}/{scope['ScopeName']}" for scope in server["Scopes"]}
    # THEN the client may have this scope, and the gateway accepts it
    client = template.of_type("AWS::Cognito::UserPoolClient")["ReportsClient"]
    assert set(client["AllowedOAuthScopes"]) == written
    assert written <= order_requests.accepted_scopes("reports:read")


def test_only_a_client_with_a_secret_gets_the_scope(template: Template) -> None:
    clients = template.of_type("AWS::Cognito::UserPoolClient")
    reports = clients["ReportsClient"]
    assert reports["GenerateSecret"] is True
    assert reports["AllowedOAuthFlows"] == ["client_credentials"]
    assert reports["AllowedOAuthFlowsUserPoolClient"] is True
    # AND users can't sign in with this client, so a password never leads to this scope
    assert reports["ExplicitAuthFlows"] == ["ALLOW_REFRESH_TOKEN_AUTH"]
    assert not {"AllowedOAuthFlows", "AllowedOAuthScopes"} & clients["UserPoolClient"].keys()


def test_the_token_endpoint_has_the_stacks_own_domain(template: Template) -> None:
    # A domain must be unique in its region and consist of lower-case letters, digits and hyphens.
    (domain,) = template.of_type("AWS::Cognito::UserPoolDomain").values()
    assert domain["Domain"] == "0b9b4c1e-8f6e-4b62-9d1f-5c3f8a1d2e07"
    assert template.outputs["TokenUrl"]["Value"].startswith("https://${UserPoolDomain}.auth.")
    assert template.outputs["ReportsClientId"]["Value"] == "${ReportsClient}"


@pytest.mark.parametrize(
    "without", [{"JwtIssuer": "https://issuer.example.com", "JwtAudience": "shop"}, {"ReportsAccess": "false"}]
)
def test_with_another_issuer_or_on_request_there_is_no_reports_client(without: dict[str, str]) -> None:
    template = template_with(**without)
    assert not {"ReportsClient", "ReportScopes", "UserPoolDomain"} & template.resources.keys()
    assert not {"ReportsClientId", "TokenUrl"} & template.outputs.keys()


def test_without_the_reports_client_only_users_get_tokens() -> None:
    template = template_with(ReportsAccess="false")
    (authorizer,) = template.of_type("AWS::ApiGatewayV2::Authorizer").values()
    assert authorizer["JwtConfiguration"]["Audience"] == ["${UserPoolClient}"]
    # AND Cognito charges for no client: https://aws.amazon.com/cognito/pricing/
    (client,) = template.of_type("AWS::Cognito::UserPoolClient").values()
    assert "AllowedOAuthFlows" not in client


def test_an_update_keeps_the_reports_client_unless_it_is_told_otherwise() -> None:
    # GIVEN that a parameter that a deployment does not name has its default when it is new
    assert "ReportsClient" in template_with().resources
    # THEN no environment of samconfig.toml deletes the client of a stack that had it before the parameter existed
    for deployment in test_samconfig.DEPLOYMENTS:
        assert "ReportsClient" in test_samconfig.deployed(deployment).resources, deployment
