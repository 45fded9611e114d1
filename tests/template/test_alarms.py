"""Alarms: on what exists, under the names that are really emitted, and heard by somebody."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from template import source, translated
from template.translated import ROOT, Consumer, Properties, Stack, named, variables_of

MINUTE = 60


@dataclass(frozen=True)
class Emitted:
    """A metric as it stands in a log line."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    unit: str


@pytest.fixture(scope="module")
def emitted() -> set[Emitted]:
    """The metrics that the consumers and the sweeper emit, a refused capture among them, under their environment."""
    stack = translated.stack()
    variables = variables_of(stack.functions()["sweeper"]) | variables_of(stack.functions()["fulfillment"])
    connected = [source.argument_of(consumer.name, "consumer.connect") for consumer in stack.consumers()]
    run = subprocess.run(
        [sys.executable, ROOT / "tests/template/emit.py", *connected],
        input=(ROOT / "events/emails.json").read_text(),
        env={
            **{name: str(value) for name, value in variables.items()},
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",  # the functions' folders are uploaded as they are
            "PYTHONPATH": os.pathsep.join(
                [str(ROOT / "functions/sweeper"), str(ROOT / "functions/fulfillment"), str(ROOT / "layers/handoff")]
            ),
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    return {metric for line in lines if "_aws" in line for metric in metrics(line)}


def metrics(line: dict) -> set[Emitted]:
    """The metrics of a line in the embedded metric format."""
    return {
        Emitted(
            namespace=block["Namespace"],
            name=metric["Name"],
            dimensions=frozenset((name, line[name]) for name in names),
            unit=metric["Unit"],
        )
        for block in line["_aws"]["CloudWatchMetrics"]
        for names in block["Dimensions"]
        for metric in block["Metrics"]
        if metric["Name"] in line
    }


def dimensions(alarm: Properties) -> dict[str, str]:
    """An alarm's dimensions."""
    return {dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]}


def alarms_on(stack: Stack, namespace: str, metric: str, **wanted: str) -> list[Properties]:
    """The alarms on exactly this metric."""
    return [
        alarm
        for alarm in stack.of_type("AWS::CloudWatch::Alarm").values()
        if (alarm["Namespace"], alarm["MetricName"], dimensions(alarm)) == (namespace, metric, wanted)
    ]


def fires_at(alarm: Properties, value: float) -> bool:
    """Whether a value breaches an alarm's threshold."""
    match alarm["ComparisonOperator"]:
        case "GreaterThanOrEqualToThreshold":
            return value >= alarm["Threshold"]
        case "GreaterThanThreshold":
            return value > alarm["Threshold"]
        case operator:
            raise NotImplementedError(operator)


def test_every_alarm_tells_somebody_and_what_to_do(alarm: Properties) -> None:
    assert alarm["AlarmActions"] == ["${AlarmTopic}"]
    assert alarm.get("ActionsEnabled", True) is True
    assert len(alarm["AlarmDescription"]) > 40


def test_every_alarm_says_what_missing_data_means(alarm: Properties) -> None:
    assert alarm["TreatMissingData"] in {"breaching", "notBreaching"}


def test_an_address_is_told_of_alarms_if_one_is_given(stack: Stack) -> None:
    assert "AlarmSubscription" not in stack.resources
    told = translated.stack(AlarmEmail="ops@example.com").resources["AlarmSubscription"]["Properties"]
    assert told == {"TopicArn": "${AlarmTopic}", "Protocol": "email", "Endpoint": "ops@example.com"}


def test_the_first_dead_letter_raises_an_alarm(stack: Stack, dead_letters_id: str) -> None:
    # GIVEN the alarm of a queue in which there should be nothing
    queue = f"${{{dead_letters_id}.QueueName}}"
    (alarm,) = alarms_on(stack, "AWS/SQS", "ApproximateNumberOfMessagesVisible", QueueName=queue)
    # THEN one message in it is enough, within minutes
    assert fires_at(alarm, 1)
    assert not fires_at(alarm, 0)
    assert alarm["Statistic"] == "Maximum"
    assert alarm["Period"] * alarm["EvaluationPeriods"] <= 5 * MINUTE


def test_a_message_that_waits_raises_an_alarm_long_before_it_is_lost(stack: Stack, consumer: Consumer) -> None:
    (alarm,) = alarms_on(
        stack, "AWS/SQS", "ApproximateAgeOfOldestMessage", QueueName=f"${{{consumer.queue_id}.QueueName}}"
    )
    assert alarm["Statistic"] == "Maximum"
    assert not fires_at(alarm, MINUTE)
    assert fires_at(alarm, consumer.queue["MessageRetentionPeriod"] / 24)


def test_a_consumer_that_lags_raises_an_alarm(stack: Stack, consumer: Consumer, emitted: set[Emitted]) -> None:
    # GIVEN the lag that this consumer emits under its own name
    name = source.argument_of(consumer.name, "consumer.connect")
    (lag,) = (metric for metric in emitted if metric.name == "EventLagDone" and ("consumer", name) in metric.dimensions)
    # THEN its 95th percentile has an alarm, at seconds to minutes
    (alarm,) = alarms_on(stack, lag.namespace, lag.name, **dict(lag.dimensions))
    assert alarm["ExtendedStatistic"] == "p95"
    assert lag.unit == "Milliseconds"
    assert not fires_at(alarm, 1_000)
    assert fires_at(alarm, 10 * MINUTE * 1_000)


def test_lag_alarms_are_of_consumers_that_exist(stack: Stack) -> None:
    alarms = stack.of_type("AWS::CloudWatch::Alarm").values()
    watched = {dimensions(alarm)["consumer"] for alarm in alarms if alarm["MetricName"] == "EventLagDone"}
    assert watched == {consumer.name for consumer in stack.consumers()}


def test_alarms_on_our_own_metrics_are_on_what_is_emitted(stack: Stack, emitted: set[Emitted]) -> None:
    there = {(metric.namespace, metric.name, metric.dimensions) for metric in emitted}
    watched = {
        (alarm["Namespace"], alarm["MetricName"], frozenset(dimensions(alarm).items()))
        for alarm in stack.of_type("AWS::CloudWatch::Alarm").values()
        if not alarm["Namespace"].startswith("AWS/")
    }
    assert watched
    assert watched <= there


def test_metrics_have_the_dimensions_service_and_consumer_only(emitted: set[Emitted]) -> None:
    assert emitted
    assert {name for metric in emitted for name, _ in metric.dimensions} == {"service", "consumer"}


def test_alarms_on_aws_metrics_are_on_what_is_in_the_stack(stack: Stack) -> None:
    alarms = [
        alarm for alarm in stack.of_type("AWS::CloudWatch::Alarm").values() if alarm["Namespace"].startswith("AWS/")
    ]
    assert alarms
    assert {named(value) for alarm in alarms for value in dimensions(alarm).values()} <= stack.resources.keys()


def test_work_that_stays_unfinished_raises_an_alarm_and_so_does_silence(stack: Stack) -> None:
    (alarm,) = alarms_on(stack, "Handoff", "UnfinishedAge", service="handoff")
    assert alarm["TreatMissingData"] == "breaching"
    assert alarm["Statistic"] == "Maximum"
    # The sweeper reports each minute: several missing reports in a row are silence.
    assert 2 * MINUTE <= alarm["Period"] * alarm["EvaluationPeriods"] <= 10 * MINUTE
    assert not fires_at(alarm, 5 * MINUTE)
    assert fires_at(alarm, 60 * MINUTE)


def test_a_payment_that_stays_due_for_23_hours_raises_an_alarm(stack: Stack) -> None:
    (alarm,) = alarms_on(stack, "Handoff", "PaymentsStuck", service="handoff")
    assert fires_at(alarm, 1)
    assert not fires_at(alarm, 0)


def test_a_hold_that_is_about_to_lapse_raises_an_alarm(stack: Stack) -> None:
    (alarm,) = alarms_on(stack, "Handoff", "HoldsExpiring", service="handoff")
    assert fires_at(alarm, 1)
    assert not fires_at(alarm, 0)
    # The sweeper looks at what it could not finish every four minutes at least.
    assert alarm["Period"] >= 5 * MINUTE


def test_the_apis_failures_raise_an_alarm(stack: Stack) -> None:
    (alarm,) = alarms_on(stack, "AWS/ApiGateway", "5xx", ApiId="${Api}")
    assert alarm["Statistic"] == "Sum"
    assert not fires_at(alarm, 0)
    assert fires_at(alarm, 10)


def test_slow_answers_raise_an_alarm(stack: Stack) -> None:
    (alarm,) = alarms_on(stack, "AWS/ApiGateway", "Latency", ApiId="${Api}")
    assert alarm["ExtendedStatistic"] == "p99"
    assert not fires_at(alarm, 500)
    assert fires_at(alarm, 5_000)
