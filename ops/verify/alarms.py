"""Check: every alarm notifies the topic's subscribers, and CloudWatch returns it to its state."""

import time
from typing import TYPE_CHECKING

from ops.polling import until
from ops.smoke_order import CheckFailed
from ops.stack.deployment import Deployment
from ops.verify.check import Attempt, Check, Outcome, Situation
from ops.verify.notifications import Notifications, subscribers

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.literals import StateValueType
    from mypy_boto3_cloudwatch.type_defs import MetricAlarmTypeDef

REASON = "handoff verify: a test of the notification"
_STATES: "tuple[StateValueType, ...]" = ("OK", "ALARM")
_PER_CALL = 100  # names: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
_PAUSE = 0.5  # seconds between two calls of SetAlarmState, which AWS throttles
_NOTIFIES_WITHIN = 120.0  # seconds
# CloudWatch evaluates an alarm each minute; those with a wall-clock window, at the end of their period of 5 minutes.
_RETURNS_WITHIN = 600.0  # seconds
_RETURN = "alarms return to their state"


def alarms(deployment: Deployment) -> "dict[str, MetricAlarmTypeDef]":
    """Return the stack's alarms by logical id, without those that CloudWatch does not have."""
    names = {deployment.resource(logical_id): logical_id for logical_id in deployment.of_type("AWS::CloudWatch::Alarm")}
    ordered = sorted(names)
    found = [
        alarm
        for start in range(0, len(ordered), _PER_CALL)
        for alarm in deployment.cloudwatch.describe_alarms(AlarmNames=ordered[start : start + _PER_CALL])[
            "MetricAlarms"
        ]
    ]
    return {names[alarm["AlarmName"]]: alarm for alarm in found}


def _run(attempt: Attempt) -> str:
    deployment, topic = attempt.situation.deployment, attempt.situation.deployment.outputs["AlarmTopicArn"]
    known = alarms(deployment)
    _check_settings(deployment, known, topic)
    notifications = Notifications(attempt, topic)
    attempt.undo("alarms in the state ALARM", lambda: _restore(deployment, known))
    for alarm in known.values():
        _set_to_alarm(deployment, alarm["AlarmName"])
    seen = _seen(notifications, known)
    silent = sorted(logical_id for logical_id, alarm in known.items() if alarm["AlarmName"] not in seen)
    _check_return(attempt, known)
    if silent:
        raise CheckFailed(f"no notification of {', '.join(silent)} in {_NOTIFIES_WITHIN:.0f} s")
    return f"{len(known)} alarms, {len(seen)} notifications"


def _check_settings(deployment: Deployment, known: "dict[str, MetricAlarmTypeDef]", topic: str) -> None:
    missing = sorted(set(deployment.of_type("AWS::CloudWatch::Alarm")) - set(known))
    if missing:
        raise CheckFailed(f"CloudWatch does not have {', '.join(missing)}: deploy the stack again")
    silent = [
        name for name, alarm in known.items() if not alarm["ActionsEnabled"] or topic not in alarm["AlarmActions"]
    ]
    if silent:
        raise CheckFailed(f"{', '.join(silent)} have no action, or it is disabled: deploy the stack again")


def _set_to_alarm(deployment: Deployment, name: str) -> None:
    """Set an alarm to OK, then to ALARM: only a change of the state notifies anyone, and it may be in ALARM already.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_SetAlarmState.html
    """
    for state in _STATES:
        deployment.cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason=REASON)
        if deployment.endpoint is None:
            time.sleep(_PAUSE)


def _seen(notifications: Notifications, known: "dict[str, MetricAlarmTypeDef]") -> set[str]:
    """Return the names of the alarms whose notification arrived."""
    names = {alarm["AlarmName"] for alarm in known.values()}
    seen: set[str] = set()

    def receive() -> set[str]:
        seen.update(names.intersection(notifications.receive()))
        return seen

    return until(receive, lambda seen: seen == names, _NOTIFIES_WITHIN)


def _check_return(attempt: Attempt, known: "dict[str, MetricAlarmTypeDef]") -> None:
    if attempt.situation.is_local:
        attempt.also(
            _RETURN, Outcome.NOT_AVAILABLE, "the local stack does not evaluate them; their states are restored"
        )
        return
    began = time.monotonic()
    held = until(lambda: _held(attempt.situation.deployment), lambda held: not held, _RETURNS_WITHIN, every=10.0)
    if held:
        attempt.also(_RETURN, Outcome.FAILED, f"{', '.join(held)} kept it for {_RETURNS_WITHIN:.0f} s; set back")
    else:
        attempt.also(_RETURN, Outcome.PASSED, f"all {len(known)} within {time.monotonic() - began:.0f} s")


def _held(deployment: Deployment) -> list[str]:
    """Return the alarms that still have the state that this check gave them."""
    return sorted(name for name, alarm in alarms(deployment).items() if alarm["StateReason"] == REASON)


def _restore(deployment: Deployment, before: "dict[str, MetricAlarmTypeDef]") -> None:
    for name in _held(deployment):
        alarm = before[name]
        deployment.cloudwatch.set_alarm_state(
            AlarmName=alarm["AlarmName"], StateValue=alarm["StateValue"], StateReason=f"{REASON} is over"
        )


def _warning(situation: Situation) -> str:
    deployment = situation.deployment
    count, known = len(deployment.of_type("AWS::CloudWatch::Alarm")), subscribers(deployment)
    if not known:
        return "no one is subscribed to the alarm topic: set AlarmEmail, or alarms reach no one"
    return f"warn them first: {count} notifications go to each of {', '.join(known)}"


CHECK = Check(
    key="alarms",
    name="every alarm notifies",
    does="sets each alarm to ALARM once, and receives its notification by a temporary queue",
    takes="2 to 12 min",
    needs="cloudwatch:SetAlarmState, DescribeAlarms; sns:Subscribe, Unsubscribe; sqs:CreateQueue, DeleteQueue",
    costs={"cloudwatch_request": 300, "sqs_request": 400, "sns_mail": 200},
    run=_run,
    warning=_warning,
)
