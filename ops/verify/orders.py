"""Checks: an order, and an order after minutes without any request."""

import time

from ops import smoke, smoke_order
from ops.ages import show as show_age
from ops.smoke_order import CheckFailed, SmokeOrder
from ops.verify.check import Attempt, Check, Situation, Skipped

_COSTS = {  # twice what a quiet stack uses: polling the order takes requests
    "http_api_request": 250,
    "lambda_request": 270,
    "lambda_gb_second": 30,
    "dynamodb_write": 60,
    "eventbridge_event": 4,
    "sqs_request": 100,
    "ses_mail": 2,
}
_NEEDS = (
    "cognito-idp:AdminCreateUser, AdminSetUserPassword; dynamodb:PutItem, UpdateItem on the products; "
    "logs:FilterLogEvents"
)
_LEAVES = "one order of SMOKE-TEST with its shipment and sale, two mails to SES's simulator"


def _obstacle(situation: Situation) -> str:
    return smoke_order.obstacle(situation.deployment, situation.token)


def _warning(situation: Situation) -> str:
    return "the partner gets the events of the order" if situation.deployment.has("PartnerRule") else ""


def _order(attempt: Attempt) -> SmokeOrder:
    situation = attempt.situation
    order = SmokeOrder(situation.deployment, situation.token, situation.within, attempt.answers.from_api)
    attempt.undo("connections", order.close)
    return order


def _place(attempt: Attempt) -> str:
    """Run the smoke test; the order is for the checks after this one too."""
    order = _order(attempt)
    situation = attempt.situation
    failed = []
    for check in smoke.run(situation.deployment, token=situation.token, within=situation.within, order=order):
        attempt.note(f"{check.what}: {check.seen}")
        if order.order_id:
            situation.order = order
        if check.passed is False:
            failed.append(f"{check.what}: {check.seen} -> look at {check.look_at}")
    if failed:
        raise CheckFailed("; ".join(failed))
    return f"{order.order_id} was placed, prepared, paid, and handled by every consumer"


def _place_after_a_pause(attempt: Attempt) -> str:
    """Sign in, wait, and place an order: its request is the first one after the pause."""
    minutes = attempt.situation.idle_minutes
    if not minutes:
        raise Skipped("--idle 0")
    order = _order(attempt)
    steps = smoke.of_order(order)
    try:
        signed_in = next(steps)
        if not signed_in.passed:
            raise CheckFailed(f"{signed_in.what}: {signed_in.seen}")
        attempt.note(f"waiting for {show_age(round(minutes * 60_000))} without a request")
        time.sleep(minutes * 60)
        for check in steps:
            attempt.note(f"{check.what}: {check.seen}")
            if not check.passed:
                raise CheckFailed(f"{check.what}: {check.seen} -> look at {check.look_at}")
    finally:
        steps.close()
    return f"{order.order_id} was placed by the first request after {minutes:g} min, and handled by every consumer"


ORDER = Check(
    key="order",
    name="a smoke order",
    does=f"runs `handoff smoke`; it leaves {_LEAVES}",
    takes="2 min",
    needs=_NEEDS,
    costs=_COSTS,
    run=_place,
    obstacle=_obstacle,
    warning=_warning,
)
IDLE = Check(
    key="idle",
    name="an order after idle minutes",
    does=f"waits (--idle) while Lambda freezes the functions, then places an order; it leaves {_LEAVES}",
    takes="12 min",
    needs=_NEEDS,
    costs=_COSTS,
    run=_place_after_a_pause,
    obstacle=_obstacle,
    warning=_warning,
)
