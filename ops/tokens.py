"""Access tokens for programs: one client of the stack's user pool for each scope."""

from dataclasses import dataclass

import httpx

from ops.stack.deployment import Deployment

_RESOURCE_SERVER = "handoff"  # Cognito writes a scope as handoff/reports:read


@dataclass(frozen=True)
class Access:
    """A scope, the output with the id of the client that gets it, and the parameter that adds the client."""

    scope: str
    output: str
    parameter: str


REPORTS = Access("reports:read", "ReportsClientId", "ReportsAccess")
LOOK_UP = Access("orders:read", "OrdersReadClientId", "OrdersReadAccess")
ORDERS = Access("orders:write", "OrdersClientId", "OrdersAccess")
REFUNDS = Access("refunds:write", "RefundsClientId", "RefundsAccess")
SHIPMENTS = Access("shipments:write", "ShipmentsClientId", "ShipmentsAccess")
ACCESS = {access.scope: access for access in (REPORTS, LOOK_UP, ORDERS, REFUNDS, SHIPMENTS)}


class TokenError(Exception):
    """No token can be issued; the text says why and what to do."""


def token_for(deployment: Deployment, access: Access) -> str:
    """Return an access token for one scope, from the stack's own user pool, valid for one hour.

    Raises
    ------
    TokenError
        If the stack has no user pool, the pool has no client for the scope, or it issues no token.
    """
    if "UserPoolId" not in deployment.outputs:
        raise TokenError(f"The stack accepts tokens of another issuer. Get one with the scope {access.scope} there.")
    if access.output not in deployment.outputs:
        raise TokenError(
            f"The stack's user pool has no client with the scope {access.scope}. "
            f"Deploy with {access.parameter}=true to add one."
        )
    client_id = deployment.outputs[access.output]
    found = deployment.cognito.describe_user_pool_client(
        UserPoolId=deployment.outputs["UserPoolId"], ClientId=client_id
    )
    local = deployment.endpoint and f"{deployment.endpoint}/oauth2/token"
    try:
        answer = httpx.post(
            local or deployment.outputs["TokenUrl"],
            data={"grant_type": "client_credentials", "scope": f"{_RESOURCE_SERVER}/{access.scope}"},
            auth=(client_id, found["UserPoolClient"]["ClientSecret"]),
            trust_env=not local,
        )
    except httpx.HTTPError as error:
        raise TokenError(f"The user pool did not answer: {error}") from error
    if not answer.is_success:
        raise TokenError(f"The user pool issued no token: {answer.status_code} {answer.text[:200]}")
    return str(answer.json()["access_token"])
