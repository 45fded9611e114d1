"""The caller of a request: the claims of the token, which API Gateway has verified."""

import re
from typing import Any

import problems
from bodies import EMAIL, LONGEST_EMAIL, email_problem

_SUBJECT = re.compile(r"[\x21-\x7e]{1,128}")  # OpenID Connect allows ASCII; an event has room for 1 KB


def user_id(event: dict[str, Any]) -> str:
    """Return the caller's user id: the claim ``sub`` of the token, which API Gateway has verified.

    Raises
    ------
    problems.Problem
        If the token does not identify a user.
    """
    subject = claims(event).get("sub")
    if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
        raise problems.unauthenticated("The token's claim sub must identify the user: 1-128 visible ASCII characters.")
    return subject


def verified_email(event: dict[str, Any]) -> str | None:
    """Return the e-mail address in the token, if its issuer has verified it (OpenID Connect Core, 5.1)."""
    found = claims(event)
    email, is_verified = found.get("email"), str(found.get("email_verified", "")).lower() == "true"
    if not is_verified or not isinstance(email, str) or len(email) > LONGEST_EMAIL or not re.fullmatch(EMAIL, email):
        return None
    return None if email_problem(email) else email


def claims(event: dict[str, Any]) -> dict[str, Any]:
    """Return the claims of the token, which API Gateway has verified; empty without a token."""
    found: dict[str, Any] = event["requestContext"].get("authorizer", {}).get("jwt", {}).get("claims", {})
    return found


def check_scope(event: dict[str, Any], scope: str) -> None:
    """Check the token's scope. API Gateway does so as well, but not every local one.

    Raises
    ------
    problems.Problem
        If the token lacks the scope.
    """
    if not has_scope(event, scope):
        raise problems.forbidden(scope)


def has_scope(event: dict[str, Any], scope: str) -> bool:
    """Return whether the token has the scope in its claim ``scope`` or in ``scp``."""
    found = claims(event)
    # API Gateway passes a list as text in brackets: "[one two]".
    given = " ".join(str(found.get(name, "")) for name in ("scope", "scp"))
    return not accepted_scopes(scope).isdisjoint(re.split(r"[\s,\[\]]+", given))


def is_program(event: dict[str, Any]) -> bool:
    """Return whether the token was issued to a program: its subject is the client itself (RFC 9068, 2.2)."""
    found = claims(event)
    return bool(found.get("client_id")) and found.get("sub") == found["client_id"]


def accepted_scopes(scope: str) -> set[str]:
    """Return the names that a token may have a scope under: Cognito prefixes the resource server's name."""
    return {scope, f"handoff/{scope}"}
