"""The metrics bridge and `handoff lag` against CloudWatch, the logs and the queues in moto."""

import json
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from moto import mock_aws
from moto.core.models import botocore_stubber

from dev.local.metrics import MetricsBridge
from dev.simulated.account import REGION
from ops.lag.measure import measure, other_dead_letters
from ops.stack import cloudwatch
from ops.stack.cloudwatch import MINUTE, Metric
from tests.support.importer import importing_stack

QUEUES = ("EmailsQueue", "EmailsDeadLetters", "UndeliveredQueue")
GROUP = "EmailsLogs"
FAILED = Metric("Handoff", "EventsFailed", (("service", "shop"), ("consumer", "emails")), "Sum")
DONE = Metric("Handoff", "EventLagDone", (("service", "shop"), ("consumer", "emails")), "SampleCount")


def sqs_metric(name, stat="Sum", queue="EmailsQueue"):
    return Metric("AWS/SQS", name, (("QueueName", queue),), stat)


def emf_line(*values, name="EventLagDone", at, **more):
    directive = {
        "Namespace": "Handoff",
        "Dimensions": [["service", "consumer"]],
        "Metrics": [{"Name": name, "Unit": "Milliseconds"}],
    }
    root = {"_aws": {"Timestamp": at, "CloudWatchMetrics": [directive]}}
    return json.dumps({**root, "service": "shop", "consumer": "emails", name: list(values), **more})


@pytest.fixture
def deployment(clock):
    """A stack with one consumer, like `ops.stack.deployment.Deployment`."""
    with mock_aws():
        session = boto3.Session(region_name=REGION)
        client = partial(session.client, region_name=REGION)
        sqs, logs = client("sqs"), client("logs")
        names = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in QUEUES} | {GROUP: GROUP}
        logs.create_log_group(logGroupName=GROUP)
        logs.create_log_stream(logGroupName=GROUP, logStreamName="one")
        kinds = {"AWS::SQS::Queue": QUEUES, "AWS::Logs::LogGroup": (GROUP,), "AWS::Events::Rule": ()}
        yield SimpleNamespace(
            stack="shop",
            importers={},
            session=session,
            endpoint=None,
            sqs=sqs,
            logs=logs,
            cloudwatch=client("cloudwatch"),
            of_type=kinds.__getitem__,
            resource=names.__getitem__,
        )


@pytest.fixture
def log(deployment, clock):
    """Write lines that a function logged now or some seconds ago."""

    def write(*lines, ago=0):
        events = [{"timestamp": clock.ms - ago * 1000, "message": line} for line in lines]
        deployment.logs.put_log_events(logGroupName=GROUP, logStreamName="one", logEvents=events)

    return write


@pytest.fixture
def put(deployment, clock):
    """Put a metric's values of consecutive minutes, the last of them ``ago`` minutes old."""

    def values(metric, *given, ago=1):
        for n, value in enumerate(reversed(given)):
            datum = {
                "MetricName": metric.name,
                "Dimensions": [{"Name": name, "Value": held} for name, held in metric.dimensions],
                "Timestamp": datetime.fromtimestamp((clock.ms - (ago + n) * MINUTE) / 1000, UTC),
                "Value": value,
            }
            deployment.cloudwatch.put_metric_data(Namespace=metric.namespace, MetricData=[datum])

    return values


@pytest.fixture
def total(deployment, clock):
    """Return a metric's count or sum over the last hour."""

    def look(metric):
        span = {"start": clock.ms - 60 * MINUTE, "end": clock.ms + MINUTE}
        found = cloudwatch.series(deployment.cloudwatch, {"it": metric}, **span, period=60)
        return sum(value for _, value in found["it"])

    return look


@pytest.fixture
def put_calls(deployment):
    """The requests to put metrics, as they are made."""
    seen = []
    deployment.session.events.register(
        "provide-client-params.cloudwatch.PutMetricData", lambda params, **_: seen.append(params)
    )
    return seen


# THE METRICS BRIDGE


def test_every_line_is_counted_once_however_often_it_is_read(deployment, clock, log, total):
    # GIVEN lines of the same moment, two of them alike, and others that are no metrics
    bridge = MetricsBridge(deployment)
    log(
        *[emf_line(5, at=clock.ms)] * 2, emf_line(7, 8, at=clock.ms), "START", '{"message": "\\"_aws\\""}', '{"_aws": 1'
    )
    # WHEN the bridge publishes again and again
    for _ in range(3):
        bridge.publish_once()
    # THEN each value counts once
    assert total(DONE) == 4
    # AND so does one that comes later with the same time, or an earlier one
    log(emf_line(9, at=clock.ms))
    bridge.publish_once()
    clock.forward(20)
    log(emf_line(1, at=clock.ms))
    bridge.publish_once()
    log(emf_line(2, at=clock.ms - 10_000), ago=10)
    for _ in range(3):
        bridge.publish_once()
    assert total(DONE) == 7


def test_lines_logged_before_the_bridge_was_created_are_ignored(deployment, clock, log, total):
    log(emf_line(5, at=clock.ms))
    clock.forward(1)
    bridge = MetricsBridge(deployment)
    log(emf_line(6, at=clock.ms))
    bridge.publish_once()
    assert total(DONE) == 1


def test_no_value_is_lost_to_the_limits_of_a_call(deployment, clock, log, total, put_calls):
    # GIVEN more metrics than a call takes, and one with more values than a metric takes, some of them alike
    bridge = MetricsBridge(deployment)
    log(emf_line(*range(400), *range(100), at=clock.ms), *[emf_line(n, at=clock.ms) for n in range(1200)])
    # WHEN the bridge publishes
    bridge.publish_once()
    # THEN all are counted, by calls as AWS takes them
    assert total(DONE) == 1700
    assert sum(len(call["MetricData"]) for call in put_calls) > 1000
    for call in put_calls:
        assert len(call["MetricData"]) <= 1000
        assert all(len(datum["Values"]) == len(datum["Counts"]) <= 150 for datum in call["MetricData"])
    lags = [datum for call in put_calls for datum in call["MetricData"] if datum["MetricName"] == DONE.name]
    sums = Counter()
    for datum in lags:
        sums.update(dict(zip(datum["Values"], datum["Counts"], strict=True)))
    assert sums == Counter([*range(400), *range(100), *range(1200)])
    assert {datum["Unit"] for datum in lags} == {"Milliseconds"}
    assert {datum["Timestamp"] for datum in lags} == {datetime.fromtimestamp(clock.ms / 1000, UTC)}


def fail_once(deployment, fault):
    """The first call of the next client that puts metrics goes wrong."""
    faults = [fault]
    deployment.session.events.register_first(
        "before-send.cloudwatch.PutMetricData",
        lambda request, event_name, **_: faults.pop()(event_name, request) if faults else None,
    )


def refused(event_name, request):
    raise ClientError({"Error": {"Code": "Throttling", "Message": "by the test"}}, "PutMetricData")


def no_answer(event_name, request):
    botocore_stubber(event_name, request)
    raise ReadTimeoutError(endpoint_url="cloudwatch")


@pytest.mark.parametrize("fault", [refused, no_answer])
def test_a_call_that_fails_is_neither_lost_nor_counted_twice(deployment, clock, log, total, fault):
    # GIVEN that CloudWatch refuses, or has taken it without an answer
    fail_once(deployment, fault)
    bridge = MetricsBridge(deployment)
    log(emf_line(5, 6, at=clock.ms))
    # WHEN the bridge publishes
    with pytest.raises((ClientError, ReadTimeoutError)):
        bridge.publish_once()
    # THEN the next beats make up for it, once
    for _ in range(3):
        bridge.publish_once()
    assert total(DONE) == 2


def test_events_that_come_and_go_between_two_beats_count_as_sent_and_deleted(deployment, clock, log, total):
    bridge = MetricsBridge(deployment)
    log(emf_line(5, 6, 7, at=clock.ms), emf_line(1, name="EventsFailed", at=clock.ms))
    for _ in range(3):
        bridge.publish_once()
    assert total(sqs_metric("NumberOfMessagesSent")) == 4
    assert total(sqs_metric("NumberOfMessagesDeleted")) == 4
    assert total(sqs_metric("NumberOfMessagesDeleted", queue="EmailsDeadLetters")) == 0


def test_every_queue_has_its_figures(deployment, clock, total):
    MetricsBridge(deployment).publish_once()
    for queue in QUEUES:
        assert total(sqs_metric("ApproximateNumberOfMessagesVisible", "SampleCount", queue)) == 1
        assert total(sqs_metric("ApproximateAgeOfOldestMessage", "SampleCount", queue)) == 1


# THE LAG


def test_waiting_in_flight_and_dead_letters_are_counted_separately(deployment):
    # GIVEN three messages, one in progress; two dead letters, one held by a receiver; one undelivered event
    urls = {name: deployment.resource(name) for name in QUEUES}
    for name, count in zip(QUEUES, (3, 2, 1), strict=True):
        for n in range(count):
            deployment.sqs.send_message(QueueUrl=urls[name], MessageBody=str(n))
    for name in QUEUES[:2]:
        deployment.sqs.receive_message(QueueUrl=urls[name], MaxNumberOfMessages=1)
    # THEN each counts as its kind
    (lag,) = measure(deployment)
    assert (lag.consumer, lag.waiting, lag.in_flight, lag.dead_letters) == ("emails", 2, 1, 2)
    assert other_dead_letters(deployment) == {"unowned": 1}
    # AND values that CloudWatch does not have are unknown, not zero
    assert (lag.oldest, lag.p50, lag.p99, lag.rate_in, lag.rate_out, lag.drain) == (None,) * 6


def test_rates_cover_the_minutes_with_data(deployment, put):
    # GIVEN metrics that are two minutes late, and some from before the five minutes
    deployment.sqs.send_message(QueueUrl=deployment.resource("EmailsQueue"), MessageBody="it")
    put(sqs_metric("NumberOfMessagesSent"), 6000, 6000, 60, 60, 60, 60, 60, ago=2)
    put(FAILED, 6000, 6000, 90, 90, 90, 90, 90, ago=2)
    put(sqs_metric("ApproximateAgeOfOldestMessage"), 100, 75, ago=2)
    # THEN the rates are those of the last five minutes with data, and the age is the newest
    (lag,) = measure(deployment, minutes=5)
    assert (lag.rate_in, lag.rate_out, lag.oldest) == (1.0, 1.5, 75)


def test_an_event_that_sqs_counts_as_deleted_twice_departs_once(deployment, put):
    put(sqs_metric("NumberOfMessagesSent"), *[30] * 5)
    put(sqs_metric("NumberOfMessagesDeleted"), *[66] * 5)
    put(FAILED, *[33] * 5)
    (lag,) = measure(deployment, minutes=5)
    assert (lag.rate_in, lag.rate_out) == (0.5, 0.55)


def test_rates_cover_the_requested_minutes(deployment, put):
    put(sqs_metric("NumberOfMessagesSent"), *[60] * 90)
    put(FAILED, *[30] * 90)
    (lag,) = measure(deployment, minutes=90)
    assert (lag.rate_in, lag.rate_out) == (1.0, 0.5)


def test_an_outdated_age_is_unknown(deployment, put):
    deployment.sqs.send_message(QueueUrl=deployment.resource("EmailsQueue"), MessageBody="it")
    put(sqs_metric("ApproximateAgeOfOldestMessage"), 100, ago=6)
    assert measure(deployment)[0].oldest is None


def test_an_empty_queue_has_age_zero_and_is_drained(deployment, put):
    put(sqs_metric("ApproximateAgeOfOldestMessage"), 100)
    (lag,) = measure(deployment)
    assert (lag.oldest, lag.drain) == (0, 0)


def test_events_that_their_queue_delays_are_no_backlog_and_have_no_age(deployment, clock, put):
    # GIVEN a queue that delays each message for ten minutes, and two events that are not due yet
    url = deployment.resource("EmailsQueue")
    deployment.sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "600"})
    for body in ("one", "two"):
        deployment.sqs.send_message(QueueUrl=url, MessageBody=body)
    put(sqs_metric("ApproximateAgeOfOldestMessage", "Maximum"), 590)
    # THEN nothing is late
    (lag,) = measure(deployment)
    assert (lag.waiting, lag.in_flight, lag.delayed, lag.delay) == (0, 0, 2, 600)
    assert (lag.backlog, lag.oldest, lag.drain) == (0, 0.0, 0.0)
    # AND their age counts from the end of the delay
    clock.forward(700)
    put(sqs_metric("ApproximateAgeOfOldestMessage", "Maximum"), 640)
    (lag,) = measure(deployment)
    assert (lag.waiting, lag.delayed, lag.oldest) == (2, 0, 40.0)


def test_the_rate_in_of_a_delayed_queue_is_that_of_the_events_that_came_due(deployment, put):
    # GIVEN an hour of one event a second, the last ten minutes of it with ten
    deployment.sqs.set_queue_attributes(QueueUrl=deployment.resource("EmailsQueue"), Attributes={"DelaySeconds": "600"})
    put(sqs_metric("NumberOfMessagesSent"), *[60] * 50, *[600] * 10)
    put(FAILED, *[60] * 60)
    # THEN it is not growing: those that are due came in at one a second
    (lag,) = measure(deployment)
    assert (lag.rate_in, lag.rate_out) == (1.0, 1.0)


def test_a_consumer_of_another_stack_has_its_own_lag(deployment, put):
    # GIVEN another stack on the bus with a waiting event and a dead letter, and metrics of several services
    client = partial(deployment.session.client, region_name=REGION)
    with importing_stack(client, "default") as deployment.importers["loyalty"]:
        loyalty = deployment.importers["loyalty"]
        for queue in ("PointsQueue", "PointsDeadLetters"):
            deployment.sqs.send_message(QueueUrl=loyalty.resource(queue), MessageBody="it")
        for service, consumer, failed in (("loyalty", "points", 30), ("shop", "points", 999), ("shop", "emails", 60)):
            metric = Metric("Handoff", "EventsFailed", (("service", service), ("consumer", consumer)), "Sum")
            put(metric, *[failed] * 5)
        for queue in ("EmailsQueue", "loyalty-PointsQueue"):
            put(sqs_metric("NumberOfMessagesSent", queue=queue), *[60] * 5)
        put(sqs_metric("ApproximateAgeOfOldestMessage", queue="loyalty-PointsQueue"), 75)
        # THEN its consumer has its own figures, beside that of this stack
        emails, points = measure(deployment)
    assert (emails.consumer, emails.waiting, emails.rate_out) == ("emails", 0, 1.0)
    assert (points.consumer, points.waiting, points.dead_letters) == ("loyalty/points", 1, 1)
    assert (points.rate_out, points.oldest) == (0.5, 75)


def test_more_metrics_than_a_call_allows_take_several_calls(deployment, clock, put):
    # GIVEN more metrics than a call allows
    metrics = {f"key {n}": Metric("Test", f"M{n}", (), "Sum") for n in range(501)}
    put(metrics["key 0"], 1, 2)
    put(metrics["key 500"], 3)
    calls = []
    deployment.cloudwatch.meta.events.register(
        "provide-client-params.cloudwatch.GetMetricData", lambda params, **_: calls.append(params)
    )
    # WHEN they are requested
    found = cloudwatch.series(deployment.cloudwatch, metrics, start=clock.ms - 5 * MINUTE, end=clock.ms, period=60)
    # THEN each has its own values, oldest first
    assert found.keys() == metrics.keys()
    assert found["key 0"] == [(clock.ms - 2 * MINUTE, 1), (clock.ms - MINUTE, 2)]
    assert found["key 500"] == [(clock.ms - MINUTE, 3)]
    assert not any(found[f"key {n}"] for n in range(1, 500))
    assert [len(call["MetricDataQueries"]) for call in calls] == [500, 1]
