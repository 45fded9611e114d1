"""A customer or a program of the shop, which sends requests over HTTP."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from ops.stack.deployment import Deployment

_PASSWORD = "Local-stack-0nly!"  # noqa: S105  # of users that exist only on the local stack; others get one of their own

_PROFILE = ("name", "email", "language")  # the fields that a customer sends


@dataclass(frozen=True)
class Answer:
    """A response of the API, and how long it took."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]
    milliseconds: float


class ShopClient:
    """One signed-in customer, or one program; ``on_response`` gets each response."""

    def __init__(self, api_url: str, token: str, on_response: Callable[[httpx.Response], None] | None = None) -> None:
        self.token = token
        self._http = httpx.Client(
            base_url=api_url + "/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=35,
            event_hooks={"response": [on_response] if on_response else []},
            trust_env=api_url.startswith("https:"),  # the local stack is on this machine: no proxy
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def introduce(self, profile: Mapping[str, Any]) -> Answer:
        """``PUT /me``."""
        return self._send("PUT", "me", json={name: profile[name] for name in _PROFILE if name in profile})

    def profile(self) -> Answer:
        """``GET /me``."""
        return self._send("GET", "me")

    def export(self, **query: str) -> Answer:
        """``GET /me/export``."""
        return self._send("GET", "me/export", params=query)

    def erase(self) -> Answer:
        """``DELETE /me``."""
        return self._send("DELETE", "me")

    def place(self, order: Mapping[str, Any], key: str) -> Answer:
        """``POST /orders``."""
        return self._send("POST", "orders", json=order, headers={"Idempotency-Key": key})

    def confirm(self, order_id: str) -> Answer:
        """``POST /orders/{orderId}/confirm``."""
        return self._send("POST", f"orders/{order_id}/confirm")

    def act(self, client_secret: str) -> Answer:
        """``POST /sandbox/actions``: what a customer does on the bank's page, in the sandbox."""
        return self._send("POST", "sandbox/actions", json={"clientSecret": client_secret})

    def cancel(self, order_id: str, reason: str = "") -> Answer:
        """``POST /orders/{orderId}/cancel``; a program gives a reason."""
        return self._send("POST", f"orders/{order_id}/cancel", **({"json": {"reason": reason}} if reason else {}))

    def refund(self, order_id: str, wanted: Mapping[str, Any], key: str) -> Answer:
        """``POST /orders/{orderId}/refunds``."""
        return self._send("POST", f"orders/{order_id}/refunds", json=wanted, headers={"Idempotency-Key": key})

    def request_return(self, order_id: str, wanted: Mapping[str, Any]) -> Answer:
        """``POST /orders/{orderId}/return``."""
        return self._send("POST", f"orders/{order_id}/return", json=wanted)

    def order(self, order_id: str) -> Answer:
        """``GET /orders/{orderId}``."""
        return self._send("GET", f"orders/{order_id}")

    def orders(self, **query: str) -> Answer:
        """``GET /orders``."""
        return self._send("GET", "orders", params=query)

    def shipments(self, **query: str) -> Answer:
        """``GET /shipments``."""
        return self._send("GET", "shipments", params=query)

    def pack(self, order_id: str) -> Answer:
        """``POST /shipments/{orderId}/packed``."""
        return self._send("POST", f"shipments/{order_id}/packed")

    def sales(self, **query: str) -> Answer:
        """``GET /reports/sales``."""
        return self._send("GET", "reports/sales", params=query)

    def _send(self, method: str, path: str, **request: Any) -> Answer:
        start = time.perf_counter()
        response = self._http.request(method, path, **request)
        elapsed = (time.perf_counter() - start) * 1000
        return Answer(response.status_code, response.json(), response.headers, elapsed)


@dataclass(frozen=True)
class Account:
    """A user of the stack's pool: the id that the API knows, and an id token."""

    user_id: str
    token: str


def sign_up(deployment: Deployment, email: str, password: str = _PASSWORD) -> Account:
    """Create a user in the stack's own pool and sign in; for stacks that allow signing in with a password."""
    pool, cognito = deployment.outputs["UserPoolId"], deployment.cognito
    created = cognito.admin_create_user(
        UserPoolId=pool,
        Username=email,
        MessageAction="SUPPRESS",
        UserAttributes=[{"Name": "email", "Value": email}, {"Name": "email_verified", "Value": "true"}],
    )
    cognito.admin_set_user_password(UserPoolId=pool, Username=email, Password=password, Permanent=True)
    attributes = {attribute["Name"]: attribute["Value"] for attribute in created["User"]["Attributes"]}
    return Account(attributes["sub"], sign_in(deployment, email, password))


def sign_in(deployment: Deployment, email: str, password: str = _PASSWORD) -> str:
    """Return a token, valid for one hour, of a user that `sign_up` created."""
    session = deployment.cognito.initiate_auth(
        ClientId=deployment.outputs["UserPoolClientId"],
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": email, "PASSWORD": password},
    )
    return session["AuthenticationResult"]["IdToken"]
