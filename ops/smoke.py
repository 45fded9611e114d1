"""A smoke test of a deployed stack: its routes, one order, dead letters and the sweeper.

The order is placed only with the sandbox payment provider, because any other one would charge a customer, and only with
a customer to place it. The test leaves behind the product and the customer below, and for each run an order with its
shipment, its sale of one unit, and two mails to an address that AWS provides for tests.
"""

import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from handoff.clock import now_ms
from ops import catalog
from ops.dlq.directory import own_directory
from ops.shop_client import Answer, ShopClient
from ops.stack import observe
from ops.stack.deployment import CONSUMERS, Deployment
from ops.trace import log_lines
from ops.trace.pending import HANDLED

SKU = "SMOKE-TEST"
# SES's mailbox simulator: https://docs.aws.amazon.com/ses/latest/dg/send-an-email-from-console.html
EMAIL = "success+handoff-smoke@simulator.amazonses.com"
_PRODUCT = {"sku": SKU, "name": "Smoke test, not for sale", "unitPrice": 100, "available": 1_000_000}
_ORDER = {
    "lines": [{"sku": SKU, "quantity": 1}],
    "shippingAddress": {"name": "Smoke Test", "street": "None 1", "city": "None", "postalCode": "0", "country": "SE"},
    "paymentToken": "tok_approve",
}
_ANSWERS_WITHIN = 35.0  # seconds; HTTP API waits for 30
_POLL_SECONDS = 1.0
_CATALOG_AGE = 6.0  # seconds for which a catalog copy may lack a new product
_SWEEPS_WITHIN = 90.0  # seconds; it runs each minute

T = TypeVar("T")


class CheckFailed(Exception):
    """A check failed; the text is its finding."""


@dataclass(frozen=True)
class Check:
    """A check, what it found, and whether it passed; None if it was skipped, or is only a warning."""

    what: str
    seen: str
    passed: bool | None
    look_at: str = ""  # where to look after a failure
    warns: bool = False


_SANDBOX_IN_PRODUCTION = Check(
    "customers pay",
    "no: this stack keeps its data like a shop, but its payment provider is the sandbox; tok_approve buys anything",
    None,
    "PaymentProvider in template.yaml",
    warns=True,
)


def run(deployment: Deployment, *, token: str = "", within: float = 120.0) -> Iterator[Check]:
    """Run the checks of a deployment one after the other.

    ``token`` signs in a customer if the stack's own pool accepts no passwords; ``within`` is how many seconds the
    consumers may take.
    """
    began, dead_letters = now_ms(), _dead_letters(deployment)
    api = deployment.api_url
    yield _check("the API answers", "the log of the orders function", lambda: _health(api))
    yield _check("the catalog is public", "the log of the orders function", lambda: _catalog(api))
    yield _check("protected routes need a token", "the routes' authorizer in template.yaml", lambda: _closed(api))
    if _has_sandbox_payments(deployment) and deployment.parameters["DataPolicy"] == "Retain":
        yield _SANDBOX_IN_PRODUCTION
    obstacle = _obstacle(deployment, token)
    if obstacle:
        yield Check("an order is processed", obstacle, None)
    else:
        yield from _order(deployment, token, began, within)
    yield _check("no new dead letters", "handoff dlq list", lambda: _none_new(dead_letters, deployment))
    yield _check("the sweeper runs", "the log of the sweeper", lambda: _sweeps(deployment, began, within))


def _check(what: str, look_at: str, run: Callable[[], str]) -> Check:
    try:
        return Check(what, run(), True)
    except CheckFailed as failure:
        return Check(what, str(failure), False, look_at)
    except (httpx.HTTPError, ValueError, BotoCoreError, ClientError) as error:
        return Check(what, f"{type(error).__name__}: {error}", False, look_at)


def _health(api: str) -> str:
    mine = f"smoke-{uuid.uuid4()}"
    answer = _get(f"{api}/health", 200, **{"X-Correlation-Id": mine})
    _expect(answer.json()["status"] == "ok", answer.text)
    _expect(answer.headers.get("x-correlation-id") == mine, "the response lacks the request's correlation id")
    return "ok, with the request's correlation id"


def _catalog(api: str) -> str:
    return f"{len(_get(f'{api}/catalog', 200).json()['products'])} products"


def _closed(api: str) -> str:
    for path in ("orders", "me", "reports/sales"):
        _get(f"{api}/{path}", 401)
    return "401"


def _expect(passed: bool, seen: str) -> None:
    if not passed:
        raise CheckFailed(seen)


def _get(url: str, status: int, **headers: str) -> httpx.Response:
    """Send a request without a token; return the response if it has this status."""
    answer = httpx.get(url, headers=headers, timeout=_ANSWERS_WITHIN)
    _expect(answer.status_code == status, f"GET {url} answered {answer.status_code} {answer.text[:200]}")
    return answer


def _expect_status(answer: Answer, status: int) -> None:
    _expect(answer.status == status, f"answered {answer.status} {answer.body}")


def _has_sandbox_payments(deployment: Deployment) -> bool:
    return deployment.parameters["PaymentProvider"] == "sandbox"


def _obstacle(deployment: Deployment, token: str) -> str:
    """Return why no order can be placed; empty if one can."""
    if not _has_sandbox_payments(deployment):
        return "skipped: the payment provider is not the sandbox, so it would charge a customer"
    if token:
        return ""
    if "UserPoolId" not in deployment.outputs:
        return "skipped: tokens come from another issuer. Pass a customer's token with --token or HANDOFF_TOKEN"
    if deployment.parameters["PasswordSignIn"] != "true":
        return "skipped: the pool accepts no passwords. Pass a customer's token with --token or HANDOFF_TOKEN"
    return ""


def _order(deployment: Deployment, token: str, began: int, within: float) -> Iterator[Check]:
    """Check each step of one order, until one fails."""
    order = _Order(deployment, token, began, within)
    steps: Sequence[tuple[str, str, Callable[[], str]]] = (
        ("a customer signs in", "the stack's user pool, and your permissions for it", order.sign_in),
        ("an order is placed", "the log of the orders function", order.place),
        ("the same key gets the same response", "the log of the orders function", order.repeat),
        ("the order is prepared and paid", "handoff dlq list fulfillment, and the log of fulfillment", order.prepared),
        ("every consumer handled its event", "handoff dlq list, and the consumers' logs", order.consumed),
    )
    with closing(order):
        for what, look_at, run_step in steps:
            check = _check(what, look_at, run_step)
            yield check
            if not check.passed:
                return


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


class _Order:
    """The order of a smoke test: each step returns what it saw, or raises `CheckFailed`."""

    def __init__(self, deployment: Deployment, token: str, began: int, within: float) -> None:
        self._deployment = deployment
        self._token = token
        self._began = began
        self._within = within
        self._key = str(uuid.uuid4())
        self._client = ShopClient(deployment.api_url, token)
        self._placed: Mapping[str, Any] = {}

    def close(self) -> None:
        self._client.close()

    def sign_in(self) -> str:
        if self._token:
            return "with the given token"
        self._client.close()
        self._client = ShopClient(self._deployment.api_url, _sign_in(self._deployment))
        _expect_status(self._client.introduce({"name": "Smoke Test", "email": EMAIL}), 200)
        return EMAIL

    def place(self) -> str:
        entry = catalog.Entry.model_validate(_PRODUCT)
        loaded = catalog.load(self._deployment.dynamodb, self._deployment.resource("ProductsTable"), [entry])
        if loaded.added:
            time.sleep(_CATALOG_AGE)
        answer = self._client.place(_ORDER, self._key)
        _expect_status(answer, 201)
        self._placed = answer.body
        return f"{self._id} in {answer.milliseconds:.0f} ms"

    def repeat(self) -> str:
        answer = self._client.place(_ORDER, self._key)
        _expect_status(answer, 201)
        _expect(answer.body == self._placed, f"answered with {answer.body}")
        return "201, the same order"

    def prepared(self) -> str:
        wanted = ("PREPARED", "captured")
        seen = _until(self._state, lambda state: state == wanted, self._within)
        if seen != wanted:
            cancelled = "; it was cancelled now" if self._client.cancel(self._id).status == 200 else ""
            raise CheckFailed(f"{self._id} is {seen[0]}, its payment {seen[1]}, after {self._within:.0f} s{cancelled}")
        return ", ".join(seen)

    def consumed(self) -> str:
        done = _until(self._consumers, lambda done: done >= set(CONSUMERS), self._within)
        missing = ", ".join(sorted(set(CONSUMERS) - done))
        _expect(not missing, f"{missing} logged no outcome for {self._id} in {self._within:.0f} s")
        return ", ".join(CONSUMERS)

    @property
    def _id(self) -> str:
        return str(self._placed["orderId"])

    def _state(self) -> tuple[str, str]:
        answer = self._client.order(self._id)
        _expect_status(answer, 200)
        return answer.body["status"], answer.body["payment"]

    def _consumers(self) -> set[str]:
        """Return the consumers that logged the order's first event as handled."""
        groups = {name: self._deployment.resource(f"{name.capitalize()}Logs") for name in CONSUMERS}
        lines = log_lines.search(self._deployment.logs, groups, self._id, start=self._began, end=now_ms() + 60_000)
        return {line.who for line in lines if line.event_id == f"{self._id}-1" and line.outcome in HANDLED}


def _until(poll: Callable[[], T], wanted: Callable[[T], bool], within: float) -> T:
    """Poll until the result is as wanted, or time is up; return the last result."""
    deadline = time.monotonic() + within
    seen = poll()
    while not wanted(seen) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        seen = poll()
    return seen


def _dead_letters(deployment: Deployment) -> dict[str, int]:
    """Return the size of each dead-letter queue, with messages that a receiver holds."""
    return {owner: observe.depth(deployment, url).total for url, owner in own_directory(deployment).dead.items()}


def _none_new(before: Mapping[str, int], deployment: Deployment) -> str:
    now = _dead_letters(deployment)
    new = {owner: count - before[owner] for owner, count in now.items() if count > before[owner]}
    _expect(not new, ", ".join(f"{count} of {owner}" for owner, count in new.items()))
    return f"{sum(now.values())} older ones" if any(now.values()) else "none"


def _sweeps(deployment: Deployment, began: int, within: float) -> str:
    def reports() -> int:
        pages = deployment.logs.get_paginator("filter_log_events").paginate(
            logGroupName=deployment.resource("SweeperLogs"), startTime=began, filterPattern='"UnfinishedAge"'
        )
        return sum(len(page["events"]) for page in pages)  # an empty page may not be the last

    seconds = max(within, _SWEEPS_WITHIN)
    _expect(_until(reports, bool, seconds) > 0, f"no UnfinishedAge in {seconds:.0f} s")
    return "UnfinishedAge"
