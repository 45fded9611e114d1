"""The plan of a load test with its cost, and the refusal of stacks that it must not or can't run on."""

import math
from collections.abc import Iterator

from ops import ages, smoke_order
from ops.load.settings import SANDBOX_TOKEN, Settings
from ops.load.stage import PRODUCTS
from ops.prices import PRICES, total
from ops.stack.deployment import Deployment
from ops.stack.production import signs_of_production

# One order with its share of the cancellation, the consumers and the erasure: the table "per order" of
# docs/reference/benchmarks.md, rounded up. A test compares them. At a low rate X-Ray traces every request.
ORDER = {
    "http_api_request": 2,
    "lambda_request": 7,
    "lambda_gb_second": 1.5,
    "dynamodb_write": 60,
    "dynamodb_read": 12,
    "eventbridge_event": 4,
    "sqs_request": 20,
    "ses_mail": 2,
    "logs_gb": 0.00001,
    "xray_trace": 7,
}
_CUSTOMER = {"http_api_request": 1, "lambda_request": 2, "dynamodb_write": 20, "eventbridge_event": 2}


class Refused(Exception):
    """The load must not be sent to this stack; the text says why and what to do."""


def check_stack(deployment: Deployment, settings: Settings, *, production: bool, confirmed: str) -> None:
    """Check that a load test may and can run on the stack.

    Raises
    ------
    Refused
        If it is a stack for production and this is not confirmed by both ``production`` and the stack's name, or if
        its parameters would make the test fail.
    """
    if deployment.status.endswith("_IN_PROGRESS"):
        raise Refused(f"The stack {deployment.stack} is {deployment.status}. Wait until that ends.")
    signs = signs_of_production(deployment)
    if signs and not (production and confirmed == deployment.stack):
        raise Refused(
            f"The stack {deployment.stack} is one for production ({', '.join(signs)}). The load would slow down its "
            "customers, and with real payments each order is a payment. Use another stack of the same template, or "
            f"allow it twice: --production --confirm {deployment.stack}"
        )
    obstacle = _obstacle(deployment, settings)
    if obstacle:
        raise Refused(f"{obstacle} Nothing was sent.")


def _obstacle(deployment: Deployment, settings: Settings) -> str:
    """Return which parameter of the stack makes the test fail; empty if none does."""
    if not smoke_order.has_sandbox_payments(deployment) and settings.payment_token == SANDBOX_TOKEN:
        provider = deployment.parameters["PaymentProvider"]
        return f"{SANDBOX_TOKEN} is unknown to {provider}. Pass a payment method of {provider} with --payment-token."
    if "UserPoolId" not in deployment.outputs or deployment.parameters["PasswordSignIn"] != "true":
        return (
            "The test needs customers of its own, which sign in to the stack's user pool. "
            "Deploy a stack for it with PasswordSignIn=true and without JwtIssuer."
        )
    limit = int(deployment.parameters["OrdersPerHour"])
    most = settings.most_of_one_customer
    counted = most * (2 if smoke_order.can_cancel(deployment) else 1)
    if 0 < limit < counted:
        return (
            f"A customer would place and cancel up to {most} orders, which counts as {counted}. The stack refuses more "
            f"than {limit} in an hour with 429. Deploy it with OrdersPerHour=0 for the test."
        )
    return ""


def lines(deployment: Deployment, settings: Settings) -> Iterator[str]:
    """Yield the plan, line by line."""
    steps = ", ".join(str(users) for users in settings.users)
    each = ages.show(round(settings.seconds * 1000))
    yield f"handoff load would send about {settings.orders} orders to {deployment.stack} ({deployment.stack_id}):"
    yield f"  {steps} users, for {each} each after a warm-up of {settings.warm_up:g} s"
    yield f"  each user orders, waits for the answer, thinks for {settings.think:g} s on average, and orders again"
    yield f"  it creates {settings.customers} customers and {PRODUCTS} products named LOAD-TEST"
    yield f"  afterwards it {_afterwards(deployment)}, and checks that the stack is consistent"
    if deployment.has("PartnersRule"):
        yield "  the partner gets the events of the orders"
    cents = math.ceil(100 * cost(settings))
    note = "; nothing on the local stack" if deployment.endpoint else ""
    yield f"  it costs about ${cents / 100:.2f} at most, at list prices of us-east-1{note}"
    rate = max(settings.users) / settings.think
    throttle = int(deployment.parameters["ThrottleRate"])
    if rate > throttle:
        yield f"  {max(settings.users)} users send up to {rate:.0f} orders a second, and ThrottleRate is {throttle}"


def _afterwards(deployment: Deployment) -> str:
    if smoke_order.can_cancel(deployment):
        return "cancels the orders, erases the customers, delists the products"
    return "erases the customers and delists the products; the orders stay packed, paid and sold"


def cost(settings: Settings) -> float:
    """Return about what a test costs at most, in US dollars."""
    return settings.orders * total(ORDER) + settings.customers * total(_CUSTOMER)


def pages() -> list[str]:
    """Return AWS's pages with the prices that the cost is made of."""
    return sorted({PRICES[name].page for name in (*ORDER, *_CUSTOMER)})
