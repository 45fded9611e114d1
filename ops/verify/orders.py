"""Checks: an order, and an order after minutes without any request."""

import time
from collections.abc import Iterable

from ops import smoke, smoke_order
from ops.ages import show as show_age
from ops.smoke_order import CheckFailed, SmokeOrder
from ops.verify.check import Attempt, Check, Situation, Skipped
from ops.verify.logs import placed_order

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
    "logs:FilterLogEvents; events:ListRules"
)
_LEAVES = "orders of SMOKE-TEST, of which one is packed and sold, and mails to SES's simulator"


def _obstacle(situation: Situation) -> str:
    return smoke_order.obstacle(situation.deployment, situation.token)


def _warning(situation: Situation) -> str:
    return "the partner gets the events of the order" if situation.deployment.has("PartnersRule") else ""


def _order(attempt: Attempt) -> SmokeOrder:
    situation = attempt.situation
    order = SmokeOrder(situation.deployment, situation.token, situation.within, attempt.answers.from_api)
    attempt.undo("connections", order.close)
    return order


def _place(attempt: Attempt) -> str:
    """Run the smoke test; the last order that it places is for the checks after this one too."""
    order = _order(attempt)
    situation = attempt.situation
    steps = smoke.placing(order, packs=not smoke_order.packs_manually(situation.deployment))
    failed = []
    for check in smoke.run(situation.deployment, token=situation.token, within=situation.within, steps=steps):
        attempt.note(f"{check.what}: {check.seen}")
        if order.order_id:
            situation.order = order
        if check.passed is False:
            failed.append(f"{check.what}: {check.seen} -> look at {check.look_at}")
    if failed:
        raise CheckFailed("; ".join(failed))
    cancelled = ", and an order was cancelled in time" if smoke_order.can_cancel(situation.deployment) else ""
    return f"{order.order_id} was placed{cancelled}"


def _pack(attempt: Attempt) -> str:
    """Wait until the smoke order is packed: the checks before this one have used a part of its window."""
    order = placed_order(attempt)
    attempt.note(f"signed in again, because tokens are valid for an hour: {order.sign_in()}")
    seconds = smoke_order.window(attempt.situation.deployment)
    attempt.note(f"waiting until {order.order_id} is packed, {show_age(seconds * 1000)} after it was placed")
    _run(smoke.packing(order), attempt)
    return f"{order.order_id} was packed, paid, and handled by every consumer"


def _place_after_a_pause(attempt: Attempt) -> str:
    """Sign in, wait, and place an order: its request is the first one after the pause."""
    minutes = attempt.situation.idle_minutes
    if not minutes:
        raise Skipped("--idle 0")
    order = _order(attempt)
    cancels = smoke_order.can_cancel(attempt.situation.deployment)
    steps = smoke.placing(order, packs=False) + ([] if cancels else smoke.packing(order))
    _run(steps[:1], attempt)  # the sign-in
    attempt.note(f"waiting for {show_age(round(minutes * 60_000))} without a request")
    time.sleep(minutes * 60)
    _run(steps[1:], attempt)
    end = "cancelled" if cancels else "packed"
    return (
        f"{order.order_id} was placed by the first request after {minutes:g} min, {end}, and handled by the consumers"
    )


def _run(steps: Iterable[smoke.Step], attempt: Attempt) -> None:
    """Run steps until one fails, which fails the check."""
    for check in smoke.run_steps(steps):
        attempt.note(f"{check.what}: {check.seen}")
        if not check.passed:
            raise CheckFailed(f"{check.what}: {check.seen} -> look at {check.look_at}")


def _no_packing(situation: Situation) -> str:
    if smoke_order.packs_manually(situation.deployment):
        return "a warehouse packs the orders of this stack (Packing=manual)"
    return _obstacle(situation)


ORDER = Check(
    key="order",
    name="a smoke order",
    does=f"runs `handoff smoke`, without the packing; it leaves {_LEAVES}",
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
    does="waits (--idle) while Lambda freezes the functions, then places an order; it leaves it, and its mails",
    takes="12 min",
    needs=_NEEDS,
    costs=_COSTS,
    run=_place_after_a_pause,
    obstacle=_obstacle,
    warning=_warning,
)
PACKING = Check(
    key="packing",
    name="an order is packed after its window",
    does="waits until the smoke order is packed by the delay queue (PackAfter), paid, and handled by every consumer",
    takes="up to PackAfter and 2 min",
    needs="logs:FilterLogEvents; events:ListRules",
    costs=_COSTS,
    run=_pack,
    obstacle=_no_packing,
)
