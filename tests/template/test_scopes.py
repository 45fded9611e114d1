"""Programs: the scopes that the gateway requires, and the only clients that get them."""

from typing import Any

import pytest

import callers
from dev.template import Template, logical_id, template_with
from ops import tokens
from ops.tokens import Access
from routes import OPERATIONS
from tests.template import test_samconfig

WITH_PROGRAMS = {access.parameter: "true" for access in tokens.ACCESS.values()}
every_access = pytest.mark.parametrize("access", tokens.ACCESS.values(), ids=tokens.ACCESS)


def client_of(template: Template, access: Access) -> dict[str, Any]:
    """Return the client that gets this scope."""
    name = logical_id(template.outputs[access.output]["Value"])
    return template.of_type("AWS::Cognito::UserPoolClient")[name]


def test_a_route_requires_the_scope_of_its_operation(template: Template) -> None:
    routes = {route["RouteKey"]: route for route in template.of_type("AWS::ApiGatewayV2::Route").values()}
    for key, operation in OPERATIONS.items():
        expected = callers.accepted_scopes(operation.scope) if operation.scope else set()
        assert set(routes[key].get("AuthorizationScopes", [])) == expected, key


def test_users_need_no_scope_for_their_own_routes(template: Template) -> None:
    # Users may send ID tokens, which have no scopes.
    routes = template.of_type("AWS::ApiGatewayV2::Route").values()
    scoped = {route["RouteKey"] for route in routes if "AuthorizationScopes" in route}
    assert scoped == {key for key, operation in OPERATIONS.items() if operation.scope}


def test_scopes_have_cognitos_notation() -> None:
    # GIVEN Cognito's notation of custom scopes, resource-server/scope
    template = template_with(**WITH_PROGRAMS)
    (server,) = template.of_type("AWS::Cognito::UserPoolResourceServer").values()
    written = {f"{server['Identifier']}/{scope['ScopeName']}" for scope in server["Scopes"]}
    # THEN each client may have one of these scopes, and the gateway accepts it
    assert written == {f"handoff/{scope}" for scope in tokens.ACCESS}
    for access in tokens.ACCESS.values():
        (granted,) = client_of(template, access)["AllowedOAuthScopes"]
        assert granted in written & callers.accepted_scopes(access.scope)


@every_access
def test_only_a_client_with_a_secret_gets_a_scope(access: Access) -> None:
    template = template_with(**WITH_PROGRAMS)
    client = client_of(template, access)
    assert client["GenerateSecret"] is True
    assert client["AllowedOAuthFlows"] == ["client_credentials"]
    assert client["AllowedOAuthFlowsUserPoolClient"] is True
    # AND users can't sign in with this client, so a password never leads to this scope
    assert client["ExplicitAuthFlows"] == ["ALLOW_REFRESH_TOKEN_AUTH"]
    users = template.of_type("AWS::Cognito::UserPoolClient")["UserPoolClient"]
    assert not {"AllowedOAuthFlows", "AllowedOAuthScopes"} & users.keys()


@every_access
def test_a_parameter_adds_one_client_and_the_gateway_accepts_its_tokens(access: Access) -> None:
    template = template_with(**dict.fromkeys(WITH_PROGRAMS, "false") | {access.parameter: "true"})
    (authorizer,) = template.of_type("AWS::ApiGatewayV2::Authorizer").values()
    client = template.outputs[access.output]["Value"]
    assert authorizer["JwtConfiguration"]["Audience"] == ["${UserPoolClient}", client]
    assert "TokenUrl" in template.outputs
    others = {other.output for other in tokens.ACCESS.values() if other != access}
    assert not others & template.outputs.keys()


def test_programs_that_move_goods_or_money_have_no_client_by_default() -> None:
    outputs = template_with().outputs
    assert [access.scope for access in tokens.ACCESS.values() if access.output in outputs] == ["reports:read"]


def test_the_token_endpoint_has_the_stacks_own_domain(template: Template) -> None:
    # A domain must be unique in its region and consist of lower-case letters, digits and hyphens.
    (domain,) = template.of_type("AWS::Cognito::UserPoolDomain").values()
    assert domain["Domain"] == "0b9b4c1e-8f6e-4b62-9d1f-5c3f8a1d2e07"
    assert template.outputs["TokenUrl"]["Value"].startswith("https://${UserPoolDomain}.auth.")
    assert template.outputs["ReportsClientId"]["Value"] == "${ReportsClient}"


@pytest.mark.parametrize(
    "without",
    [
        {"JwtIssuer": "https://issuer.example.com", "JwtAudience": "shop", **WITH_PROGRAMS},
        dict.fromkeys(WITH_PROGRAMS, "false"),
    ],
)
def test_with_another_issuer_or_on_request_there_is_no_client_of_programs(without: dict[str, str]) -> None:
    template = template_with(**without)
    kept = {name for name, resource in template.resources.items() if "Cognito" in resource["Type"]}
    assert kept <= {"UserPool", "UserPoolClient"}
    assert not {"TokenUrl", *(access.output for access in tokens.ACCESS.values())} & template.outputs.keys()


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
