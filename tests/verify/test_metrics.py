"""The check of the metrics that the alarms read."""

from datetime import UTC, datetime

import pytest

from ops.verify import metrics
from ops.verify.check import Outcome

LAG = [{"Name": "service", "Value": "handoff-test"}, {"Name": "consumer", "Value": "emails"}]
NO_LAG = [{"Name": "service", "Value": "handoff-test"}, {"Name": "consumer", "Value": "feedback"}]
OTHER_LAG = [{"Name": "service", "Value": "handoff-test"}, {"Name": "consumer", "Value": "disputes"}]
QUEUE = [{"Name": "QueueName", "Value": "emails-queue"}]
AGE, VISIBLE = "ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"


@pytest.fixture
def deployment(make_deployment, client, subscribe):
    def alarm(name, namespace, metric, dimensions, period, **statistic):
        client("cloudwatch").put_metric_alarm(
            AlarmName=name,
            Namespace=namespace,
            MetricName=metric,
            Dimensions=dimensions,
            Period=period,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
            **statistic,
        )

    alarm("EmailsLagAlarm", "Handoff", "EventLagDone", LAG, 300, Statistic="Maximum")
    alarm("FeedbackLagAlarm", "Handoff", "EventLagDone", NO_LAG, 300, Statistic="Maximum")
    alarm("DisputesLagAlarm", "Handoff", "EventLagDone", OTHER_LAG, 300, Statistic="Maximum")
    alarm("EmailsOldestAlarm", "AWS/SQS", AGE, QUEUE, 60, Statistic="Maximum")
    alarm("EmailsDeadLettersAlarm", "AWS/SQS", VISIBLE, QUEUE, 60, Statistic="Maximum")
    names = ("EmailsLagAlarm", "FeedbackLagAlarm", "DisputesLagAlarm", "EmailsOldestAlarm", "EmailsDeadLettersAlarm")
    consumers = subscribe({"emails": ["order_placed"], "disputes": ["payment_disputed"]})
    return make_deployment({**consumers, **{name: ("AWS::CloudWatch::Alarm", name) for name in names}})


@pytest.fixture
def publish(client, clock):
    def publish(namespace, metric, dimensions, value):
        datum = {"MetricName": metric, "Dimensions": dimensions, "Value": value, "Timestamp": datetime.now(UTC)}
        client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[datum])

    return publish


def test_lags_and_ages_have_data(deployment, perform, publish, order):
    publish("Handoff", "EventLagDone", LAG, 850)
    publish("AWS/SQS", AGE, QUEUE, 2)
    publish("AWS/SQS", VISIBLE, QUEUE, 0)
    lags, ages = perform(metrics.CHECK, deployment, order=order)
    assert (lags.outcome, ages.outcome) == (Outcome.PASSED, Outcome.PASSED), (lags.seen, ages.seen)
    assert (lags.seen, ages.seen) == ("1 alarms read data", "1 alarms read data")
    lag, age = lags.notes
    dimensions = "{'service': 'handoff-test', 'consumer': 'emails'}"
    assert lag == f"EmailsLagAlarm: Maximum of Handoff EventLagDone {dimensions} in 300 s: 850.0"
    assert age.endswith("in 60 s: 2.0")


def test_a_lag_under_other_dimensions_fails(deployment, perform, publish, order, clock):
    publish("Handoff", "EventLagDone", [{"Name": "service", "Value": "handoff-test"}], 850)
    publish("AWS/SQS", AGE, QUEUE, 2)
    publish("AWS/SQS", VISIBLE, QUEUE, 0)
    began = clock.ms
    lags, ages = perform(metrics.CHECK, deployment, order=order)
    assert (lags.outcome, lags.seen) == (Outcome.FAILED, "no data for EmailsLagAlarm in 1200 s")
    assert ages.outcome == Outcome.PASSED
    assert clock.ms - began >= 1_200_000  # AWS may need that long


def test_an_age_of_an_empty_queue_is_not_available_and_has_not_passed(deployment, perform, publish, order):
    publish("Handoff", "EventLagDone", LAG, 850)
    publish("AWS/SQS", VISIBLE, QUEUE, 0)
    lags, ages = perform(metrics.CHECK, deployment, order=order)
    assert (lags.outcome, ages.outcome) == (Outcome.PASSED, Outcome.NOT_AVAILABLE)
    assert "SQS reports an age only while a message waits" in ages.seen


def test_a_queue_without_any_metric_fails(deployment, perform, publish, order):
    publish("Handoff", "EventLagDone", LAG, 850)
    publish("AWS/SQS", VISIBLE, [{"Name": "QueueName", "Value": "other"}], 0)
    lags, ages = perform(metrics.CHECK, deployment, order=order)
    assert (lags.outcome, ages.outcome) == (Outcome.PASSED, Outcome.FAILED)
    assert "EmailsOldestAlarm" in ages.seen


def test_data_from_before_the_order_do_not_count(deployment, perform, publish, order, clock):
    publish("Handoff", "EventLagDone", LAG, 850)
    publish("AWS/SQS", VISIBLE, QUEUE, 0)
    clock.forward(3600)
    order.sent_at = clock.ms
    lags, ages = perform(metrics.CHECK, deployment, order=order)
    assert (lags.outcome, ages.outcome) == (Outcome.FAILED, Outcome.FAILED)


def test_a_local_stack_without_metrics_is_not_available(deployment, perform, order, monkeypatch):
    monkeypatch.setattr("ops.verify.check.Situation.is_local", True)
    (result,) = perform(metrics.CHECK, deployment, order=order)
    assert result.outcome == Outcome.NOT_AVAILABLE
    assert "`make run` publishes" in result.seen
