"""Check: the archive has the order's minute, and a replay to analytics does nothing twice."""

import time
from contextlib import suppress
from datetime import UTC, datetime

from handoff.clock import now_ms
from ops import replay
from ops.polling import until
from ops.smoke_order import CheckFailed, SmokeOrder
from ops.stack.deployment import Deployment
from ops.trace import log_lines
from ops.verify.check import Attempt, Check
from ops.verify.logs import placed_order, without

_MINUTE = 60_000  # ms; an archive is replayed by the minute
_RULE = "analytics"
# "We recommend you delay replaying archived events for 10 minutes", and one for the clocks.
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-archive.html
_ARCHIVED_AFTER = 11 * _MINUTE
_HANDLED_WITHIN = 180.0  # seconds after the replay's end
_RUNNING = {"STARTING", "RUNNING"}


def _run(attempt: Attempt) -> str:
    order, deployment = placed_order(attempt), attempt.situation.deployment
    wanted = _minute_of(order)
    route = replay.route(deployment, wanted)
    ready = wanted.end.timestamp() * 1000 + _ARCHIVED_AFTER
    attempt.note(f"replaying {wanted.start:%H:%M} to {wanted.end:%H:%M} UTC to {_RULE}, once the archive has it")
    time.sleep(max(0.0, (ready - now_ms()) / 1000))
    began = now_ms()
    name = replay.new_name()
    attempt.undo(f"the replay {name}", lambda: _cancel(deployment, name))
    replay.run(deployment.events, name, wanted, route, attempt.show)
    event_id = f"{order.order_id}-1"
    if not until(lambda: _repeated(deployment, order, began), bool, _HANDLED_WITHIN, every=5.0):
        raise CheckFailed(f"{_RULE} logged no repeated {event_id} in {_HANDLED_WITHIN:.0f} s after {name}")
    return f"{name} is complete, and {_RULE} recognized {event_id}"


def _minute_of(order: SmokeOrder) -> replay.Replay:
    """Return the replay of the whole minute in which an order was placed; two if it took until the next one."""
    start, end = order.sent_at // _MINUTE * _MINUTE, (order.answered_at // _MINUTE + 1) * _MINUTE
    return replay.Replay(datetime.fromtimestamp(start / 1000, UTC), datetime.fromtimestamp(end / 1000, UTC), (_RULE,))


def _repeated(deployment: Deployment, order: SmokeOrder, began: int) -> bool:
    """Return whether analytics has recognized the order's event since the replay began."""
    group = {_RULE: deployment.resource(f"{_RULE.capitalize()}Logs")}
    lines = log_lines.search(deployment.logs, group, order.order_id, start=began - _MINUTE, end=now_ms() + _MINUTE)
    return any(line.event_id == f"{order.order_id}-1" and line.outcome == "repeated" for line in lines)


def _cancel(deployment: Deployment, name: str) -> None:
    """Cancel a replay that is still running."""
    with suppress(deployment.events.exceptions.ResourceNotFoundException):
        if deployment.events.describe_replay(ReplayName=name)["State"] in _RUNNING:
            deployment.events.cancel_replay(ReplayName=name)


CHECK = Check(
    key="replay",
    name="a replay does nothing twice",
    does="replays the minute of the smoke order from the archive to analytics, eleven minutes after it",
    takes="up to 15 min",
    needs="events:DescribeArchive, ListRules, StartReplay, DescribeReplay, CancelReplay; logs:FilterLogEvents",
    costs={"eventbridge_event": 100, "sqs_request": 200, "lambda_request": 20},
    run=_run,
    obstacle=without("Archive", "ArchiveDays"),
)
