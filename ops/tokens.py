"""Access tokens for programs that read reports."""

import httpx

from ops.stack.deployment import Deployment

SCOPE = "handoff/reports:read"  # as Cognito writes it


class TokenError(Exception):
    """No token can be issued; the text says why and what to do."""


def for_reports(deployment: Deployment) -> str:
    """Return an access token for reports only, from the stack's own user pool, valid for one hour.

    Raises
    ------
    TokenError
        If the stack has no user pool, the pool has no client for reports, or it issues no token.
    """
    if "UserPoolId" not in deployment.outputs:
        raise TokenError("The stack accepts tokens of another issuer. Get one with the scope reports:read there.")
    if "ReportsClientId" not in deployment.outputs:
        raise TokenError("The stack's user pool has no client for reports. Deploy with ReportsAccess=true to add one.")
    client_id = deployment.outputs["ReportsClientId"]
    found = deployment.cognito.describe_user_pool_client(
        UserPoolId=deployment.outputs["UserPoolId"], ClientId=client_id
    )
    local = deployment.endpoint and f"{deployment.endpoint}/oauth2/token"
    try:
        answer = httpx.post(
            local or deployment.outputs["TokenUrl"],
            data={"grant_type": "client_credentials", "scope": SCOPE},
            auth=(client_id, found["UserPoolClient"]["ClientSecret"]),
            trust_env=not local,
        )
    except httpx.HTTPError as error:
        raise TokenError(f"The user pool did not answer: {error}") from error
    if not answer.is_success:
        raise TokenError(f"The user pool issued no token: {answer.status_code} {answer.text[:200]}")
    return str(answer.json()["access_token"])
