"""The order of a smoke test, step by step.

It leaves behind the product and the customer below, and mails to an address that AWS provides for tests. If orders have
a cancel window, one order is cancelled in it. An order that is packed leaves its shipment and its sale of one unit.
"""

import logging
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import httpx
from botocore.exceptions import ClientError

from handoff.clock import now_ms
from ops import catalog
from ops.polling import until
from ops.shop_client import Answer, ShopClient
from ops.stack.deployment import Deployment, event_types
from ops.trace import log_lines
from ops.trace.pending import HANDLED
from shop.events import DetailType

SKU = "SMOKE-TEST"
# SES's mailbox simulator: https://docs.aws.amazon.com/ses/latest/dg/send-an-email-from-console.html
EMAIL = "success+handoff-smoke@simulator.amazonses.com"
_PRODUCT = {"sku": SKU, "name": "Smoke test, not for sale", "unitPrice": 100, "available": 1_000_000}
_ORDER = {
    "lines": [{"sku": SKU, "quantity": 1}],
    "shippingAddress": {"name": "Smoke Test", "street": "None 1", "city": "None", "postalCode": "0", "country": "SE"},
    "paymentToken": "tok_approve",
}
_CLOCK_ERROR = 60_000  # ms by which this machine's clock may be wrong
CATALOG_AGE = 6.0  # seconds for which a catalog copy may lack a new product
_SHORT = 60  # seconds; a test waits so long for the end of the cancel window without being asked to
# The events of a smoke order with their sequence numbers.
_PACKED = {DetailType.ORDER_PLACED: 1, DetailType.SHIPMENT_PREPARED: 2, DetailType.SHIPMENT_RELEASED: 3}
_CANCELLED = {DetailType.ORDER_PLACED: 1, DetailType.ORDER_CANCELLED: 2}
_PARTNER = "partners"  # whether it can be reached is another company's responsibility

_logger = logging.getLogger(__name__)


class CheckFailed(Exception):
    """A check failed; the text is its finding."""


def expect(passed: bool, seen: str) -> None:
    """Raise `CheckFailed` with this finding, unless it passed."""
    if not passed:
        raise CheckFailed(seen)


def _expect_status(answer: Answer, status: int) -> None:
    expect(answer.status == status, f"answered {answer.status} {answer.body}")


def has_sandbox_payments(deployment: Deployment) -> bool:
    """Return whether payments go to the sandbox, which charges no one."""
    return deployment.parameters["PaymentProvider"] == "sandbox"


def obstacle(deployment: Deployment, token: str) -> str:
    """Return why no order can be placed; empty if one can."""
    if not has_sandbox_payments(deployment):
        return "the payment provider is not the sandbox, so it would charge a customer"
    if token:
        return ""
    if "UserPoolId" not in deployment.outputs:
        return "tokens come from another issuer. Pass a customer's token with --token or HANDOFF_TOKEN"
    if deployment.parameters["PasswordSignIn"] != "true":
        return "the pool accepts no passwords. Pass a customer's token with --token or HANDOFF_TOKEN"
    return ""


def window(deployment: Deployment) -> int:
    """Return for how many seconds an order can be cancelled before it is packed."""
    return int(deployment.parameters.get("PackAfter", "0"))


def can_cancel(deployment: Deployment) -> bool:
    """Return whether an order can be cancelled in time."""
    return window(deployment) > 0 or packs_manually(deployment)


def packs_manually(deployment: Deployment) -> bool:
    """Return whether a warehouse packs the orders."""
    return deployment.parameters.get("Packing") == "manual"


def unpacked_because(deployment: Deployment, *, asked: bool) -> str:
    """Return why a test does not wait until an order is packed; empty if it does, or is ``asked`` to."""
    if packs_manually(deployment):
        return "a warehouse packs the orders of this stack (Packing=manual)"
    seconds = window(deployment)
    if seconds > _SHORT and not asked:
        return f"orders are packed {seconds} s after they are placed (PackAfter); --packed waits for that"
    return ""


def _sign_in(deployment: Deployment) -> str:
    """Return a token of the smoke test's own user, who gets a new password each time."""
    cognito, pool = deployment.cognito, deployment.outputs["UserPoolId"]
    with suppress(cognito.exceptions.UsernameExistsException):
        cognito.admin_create_user(
            UserPoolId=pool,
            Username=EMAIL,
            MessageAction="SUPPRESS",
            UserAttributes=[{"Name": "email", "Value": EMAIL}, {"Name": "email_verified", "Value": "true"}],
        )
    password = f"{secrets.token_urlsafe(24)}aA1!"
    cognito.admin_set_user_password(UserPoolId=pool, Username=EMAIL, Password=password, Permanent=True)
    session = cognito.initiate_auth(
        ClientId=deployment.outputs["UserPoolClientId"],
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": EMAIL, "PASSWORD": password},
    )
    return session["AuthenticationResult"]["IdToken"]


def first_events(deployment: Deployment, events: Mapping[DetailType, int] = _PACKED) -> dict[str, int]:
    """Return the consumers that get one of an order's events, with the sequence number of the first one.

    Without permission to list rules, they are Handoff's own, and a warning is logged.
    """
    try:
        subscribed = event_types(deployment)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDeniedException":
            raise
        _logger.warning("Only Handoff's own consumers are checked, without events:ListRules: %s", error)
        return {"emails": 1, "analytics": 1, "fulfillment": 1, "settlement": 2}
    sequences = {
        name: [sequence for event, sequence in events.items() if event in types] for name, types in subscribed.items()
    }
    return {name: min(found) for name, found in sequences.items() if found and name != _PARTNER}


class SmokeOrder:
    """The order of a smoke test: each step returns what it saw, or raises `CheckFailed`.

    ``token`` signs in a customer if the stack's own pool accepts no passwords; ``within`` is how many seconds the
    consumers may take; ``on_response`` gets each response of the API.
    """

    def __init__(
        self,
        deployment: Deployment,
        token: str,
        within: float,
        on_response: Callable[[httpx.Response], None] | None = None,
    ) -> None:
        self.deployment = deployment
        self._token = token
        self._within = within
        self._on_response = on_response
        self._key = ""
        self._client = ShopClient(deployment.api_url, token, on_response)
        self._placed: Mapping[str, Any] = {}
        self._events = _PACKED
        self.sent_at = 0  # epoch ms; when the order was sent
        self.answered_at = 0  # epoch ms; when it was answered with 201

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def sign_in(self) -> str:
        """Sign the customer in, and write their profile."""
        if self._token:
            return "with the given token"
        self._client.close()
        self._client = ShopClient(self.deployment.api_url, _sign_in(self.deployment), self._on_response)
        _expect_status(self._client.introduce({"name": "Smoke Test", "email": EMAIL}), 200)
        return EMAIL

    def place(self) -> str:
        """Place an order; its product is added to the catalog before."""
        entry = catalog.Entry.model_validate(_PRODUCT)
        loaded = catalog.load(self.deployment.dynamodb, self.deployment.resource("ProductsTable"), [entry])
        if loaded.added:
            time.sleep(CATALOG_AGE)
        self._key, self.sent_at = str(uuid.uuid4()), now_ms()
        answer = self._client.place(_ORDER, self._key)
        _expect_status(answer, 201)
        self._placed, self.answered_at, self._events = answer.body, now_ms(), _PACKED
        return f"{self.order_id} in {answer.milliseconds:.0f} ms"

    def repeat(self) -> str:
        """Send it again with the same key."""
        answer = self._client.place(_ORDER, self._key)
        _expect_status(answer, 201)
        expect(answer.body == self._placed, f"answered with {answer.body}")
        return "201, the same order"

    def cancelled(self) -> str:
        """Cancel it, and wait until its hold is voided."""
        _expect_status(self._client.cancel(self.order_id), 200)
        self._events = _CANCELLED
        return self._reaches("CANCELLED", "voided", self._within)

    def packed(self) -> str:
        """Wait until it is packed and paid; cancel it if it is not in time."""
        try:
            return self._reaches("PREPARED", "captured", window(self.deployment) + self._within)
        except CheckFailed as failure:
            was_cancelled = self._client.cancel(self.order_id).status == 200
            raise CheckFailed(f"{failure}{'; it was cancelled now' if was_cancelled else ''}") from failure

    def _reaches(self, status: str, payment: str, seconds: float) -> str:
        seen = until(self._state, lambda state: state == (status, payment), seconds)
        expect(seen == (status, payment), f"{self.order_id} is {seen[0]}, its payment {seen[1]}, after {seconds:.0f} s")
        return ", ".join(seen)

    def consumed(self, besides: str = "") -> str:
        """Wait until every consumer, besides one, has logged the first event that it gets as handled."""
        first = first_events(self.deployment, self._events)
        wanted = [name for name in first if name != besides]
        done = until(lambda: self._consumers(first), lambda done: done >= set(wanted), self._within)
        missing = ", ".join(sorted(set(wanted) - done))
        expect(not missing, f"{missing} logged no outcome for {self.order_id} in {self._within:.0f} s")
        return ", ".join(wanted)

    @property
    def order_id(self) -> str:
        """The order's id; empty before it was placed."""
        return str(self._placed.get("orderId", ""))

    def _state(self) -> tuple[str, str]:
        answer = self._client.order(self.order_id)
        _expect_status(answer, 200)
        return answer.body["status"], answer.body["payment"]

    def _consumers(self, first: Mapping[str, int]) -> set[str]:
        """Return the consumers whose first event is logged as handled."""
        groups = {name: self.deployment.resource(f"{name.capitalize()}Logs") for name in first}
        start, end = self.sent_at - _CLOCK_ERROR, now_ms() + _CLOCK_ERROR
        lines = log_lines.search(self.deployment.logs, groups, self.order_id, start=start, end=end)
        return {
            line.who
            for line in lines
            if line.event_id == f"{self.order_id}-{first[line.who]}" and line.outcome in HANDLED
        }
