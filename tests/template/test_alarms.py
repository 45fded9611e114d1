"""Alarms: each is raised in its scenario and not in normal operation, notifies the topic, and describes what to do."""

import re

import pytest

from dev.simulated.stack import SimulatedStack
from dev.template import ROOT, WITH_PARTNER, WITH_PAYMENT_EVENTS, Consumer, Properties, Template, template_with
from tests.support.cloudwatch import CloudWatch, Metric, statistic_of
from tests.support.monitored_stack import MonitoredStack, failing, monitoring
from tests.template import alarm_scenarios, aws_metric_catalog
from tests.template.alarm_scenarios import HOUR, Scenario

_TEMPLATE = template_with(**WITH_PARTNER)
_ALARMS = _TEMPLATE.of_type("AWS::CloudWatch::Alarm")
_SCENARIOS = alarm_scenarios.raising(_TEMPLATE)


@pytest.fixture(params=_ALARMS)
def alarm_id(request: pytest.FixtureRequest) -> str:
    """Each alarm's logical id."""
    return request.param


# --- when they are raised ---------------------------------------------------------------------------------------------


def test_every_alarm_has_a_scenario_that_raises_it() -> None:
    assert _SCENARIOS.keys() == _ALARMS.keys()


@pytest.mark.parametrize(
    ("alarm_id", "scenario"),
    [(alarm_id, scenario) for alarm_id, scenarios in _SCENARIOS.items() for scenario in scenarios],
    ids=[f"{alarm_id}-{n}" for alarm_id, scenarios in _SCENARIOS.items() for n in range(len(scenarios))],
)
def test_an_alarm_is_raised_in_its_scenario(stack: SimulatedStack, alarm_id: str, scenario: Scenario) -> None:
    with monitoring(stack) as monitored:
        scenario(monitored)
    # The values themselves must raise the alarm, even if missing data would raise it, too.
    missing = {} if scenario is alarm_scenarios.sweeper_is_silent else {"TreatMissingData": "notBreaching"}
    assert "ALARM" in monitored.states(_ALARMS[alarm_id] | missing)


def test_normal_operation_raises_no_alarm(normal: MonitoredStack) -> None:
    states = {alarm_id: set(normal.states(alarm)) for alarm_id, alarm in _ALARMS.items()}
    assert states == {alarm_id: {"OK"} for alarm_id in _ALARMS}


def test_normal_operation_has_no_failing_events(normal: MonitoredStack) -> None:
    assert failing(normal) is None


@pytest.mark.parametrize(
    "trouble", [alarm_scenarios.tries_fail, alarm_scenarios.answers_are_slow, alarm_scenarios.events_are_late]
)
def test_a_short_failure_at_the_turn_of_a_minute_raises_no_alarm(stack: SimulatedStack, trouble: Scenario) -> None:
    with monitoring(stack) as monitored:
        monitored.minute()
        trouble(monitored)
        for _ in range(25):
            monitored.minute()
    assert {alarm_id for alarm_id, alarm in _ALARMS.items() if "ALARM" in monitored.states(alarm)} == set()


def test_missing_data_raises_only_the_alarm_on_the_sweeper() -> None:
    states = {alarm_id: CloudWatch().states(alarm, 0, HOUR * 1000)[-1] for alarm_id, alarm in _ALARMS.items()}
    assert states == dict.fromkeys(_ALARMS, "OK") | {"UnfinishedAgeAlarm": "ALARM"}


# --- metrics ----------------------------------------------------------------------------------------------------------


def test_an_alarm_on_an_aws_metric_uses_a_statistic_that_exists(alarm_id: str) -> None:
    metric = Metric.watched_by(_ALARMS[alarm_id])
    if metric.namespace != "Handoff":
        assert statistic_of(_ALARMS[alarm_id]) in aws_metric_catalog.by_aws(metric, _TEMPLATE)["statistics"]


def test_simulated_aws_metrics_are_those_that_aws_publishes(normal: MonitoredStack) -> None:
    simulated = {metric: unit for metric, unit in normal.cloudwatch.units.items() if metric.namespace != "Handoff"}
    assert {metric.namespace for metric in simulated} == {"AWS/ApiGateway", "AWS/Cognito", "AWS/Lambda", "AWS/SQS"}
    assert simulated == {metric: aws_metric_catalog.by_aws(metric, _TEMPLATE)["unit"] for metric in simulated}


def test_percentiles_are_evaluated_with_few_samples_too(alarm_id: str) -> None:
    alarm = _ALARMS[alarm_id]
    assert alarm.get("EvaluateLowSampleCountPercentile") == ("evaluate" if "ExtendedStatistic" in alarm else None)


def test_every_dead_letter_queue_has_its_alarm(dead_letters_id: str) -> None:
    watched = Metric.of("AWS/SQS", "ApproximateNumberOfMessagesVisible", QueueName=f"${{{dead_letters_id}.QueueName}}")
    assert [Metric.watched_by(alarm) for alarm in _ALARMS.values()].count(watched) == 1


def test_every_rule_has_an_alarm_on_lost_events() -> None:
    assert {
        f"{rule.removesuffix('Rule')}LostAlarm" for rule in _TEMPLATE.of_type("AWS::Events::Rule")
    } <= _ALARMS.keys()


def test_every_consumer_has_all_five_alarms(consumer: Consumer) -> None:
    name = consumer.queue_id.removesuffix("Queue")
    assert {f"{name}{kind}Alarm" for kind in ("DeadLetters", "Errors", "Oldest", "Lag", "Lost")} <= _ALARMS.keys()


def test_a_waiting_message_raises_an_alarm_long_before_it_expires(consumer: Consumer) -> None:
    alarm = _ALARMS[f"{consumer.queue_id.removesuffix('Queue')}OldestAlarm"]
    needed = alarm["Threshold"] + alarm["Period"] * alarm["EvaluationPeriods"]
    assert needed < consumer.queue["MessageRetentionPeriod"] / 24


# --- notifications ----------------------------------------------------------------------------------------------------


def test_every_alarm_notifies_the_topic(alarm: Properties) -> None:
    assert alarm["AlarmActions"] == ["${AlarmTopic}"]
    assert alarm.get("ActionsEnabled", True) is True


def test_an_email_address_subscribes_to_alarms_if_given(template: Template) -> None:
    assert "AlarmSubscription" not in template.resources
    subscription = template_with(AlarmEmail="ops@example.com").resources["AlarmSubscription"]["Properties"]
    assert subscription == {"TopicArn": "${AlarmTopic}", "Protocol": "email", "Endpoint": "ops@example.com"}


def test_every_alarm_describes_what_to_do_and_links_its_runbook_entry() -> None:
    # GIVEN the entries of the runbook
    page = (ROOT / "docs/how-to/alarms.md").read_text()
    entries = {anchor(heading) for heading in re.findall(r"^## (.+)$", page, flags=re.MULTILINE)}
    # THEN each description ends with a link to one of them, and every entry is linked
    named_entries = set()
    alarms = template_with(**WITH_PARTNER, **WITH_PAYMENT_EVENTS).of_type("AWS::CloudWatch::Alarm")
    for alarm_id, alarm in (alarms | _ALARMS).items():
        text, _, entry = alarm["AlarmDescription"].rpartition(" docs/how-to/alarms.md#")
        assert len(text) > 60, alarm_id
        named_entries.add(entry)
    assert named_entries == entries


def anchor(heading: str) -> str:
    """Return the anchor of a heading."""
    return re.sub(r"[^\w\s-]", "", heading.lower()).replace(" ", "-")
