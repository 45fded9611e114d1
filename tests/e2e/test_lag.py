"""`handoff lag` on the deployed stack, with metrics from the metrics bridge."""

import json
import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dev.local.consumers import paused
from dev.local.stack import LocalStack
from handoff.clock import now_ms
from ops.cli.main import main
from ops.shop_client import ShopClient
from ops.stack import cloudwatch, emf
from ops.stack.cloudwatch import MINUTE, Metric
from ops.stack.deployment import Deployment
from tests.e2e.support import eventually, place, until_quiet

ORDERS = 3
ALWAYS = ("--minutes", "180")  # longer than any test run

RunLag = Callable[..., Result]


@pytest.fixture
def run_lag(local_stack: LocalStack) -> RunLag:
    """Run `handoff lag` as a script does."""
    runner = CliRunner(env={"PORT": str(local_stack.port)})
    return lambda *options: runner.invoke(main, ["lag", "--local", *options])


def row(result: Result, consumer: str) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return next(found for found in json.loads(result.stdout)["consumers"] if found["consumer"] == consumer)


def logged(deployment: Deployment, since: int) -> list[float]:
    """Return the lags that the emails function logged."""
    events = emf.events(deployment.logs, deployment.resource("EmailsLogs"), start=since)
    data = [datum for event in events for datum in emf.read(event["message"]) if datum.name == "EventLagDone"]
    return [value for datum in data for value in datum.values]


def percentiles(values: list[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile."""
    return statistics.median(values), statistics.quantiles(values, n=100, method="inclusive")[98]


def count(deployment: Deployment, since: int, metric: Metric) -> float:
    """Return a metric's count or sum over all minutes since then."""
    found = cloudwatch.series(deployment.cloudwatch, {"it": metric}, start=since, end=now_ms(), period=60)
    return sum(value for _, value in found["it"])


def all_counted(deployment: Deployment, since: int) -> None:
    """Wait until CloudWatch has as many lags of emails as the logs."""
    lags = Metric("Handoff", "EventLagDone", (("service", deployment.stack), ("consumer", "emails")), "SampleCount")
    eventually(
        lambda: (count(deployment, since, lags), len(logged(deployment, since))), lambda seen: seen[0] == seen[1]
    )


def test_lag_shows_waiting_events_and_then_their_lag(
    deployment: Deployment, client: ShopClient, run_lag: RunLag, metrics_since: int
) -> None:
    # GIVEN that all handled events are counted, and that emails receives nothing
    until_quiet(deployment)
    all_counted(deployment, metrics_since)
    began = now_ms()
    with paused(deployment, "emails"):
        # WHEN orders are placed
        for _ in range(ORDERS):
            assert place(client).status == 201
        # THEN their number and the age of the oldest are shown
        waiting = eventually(
            lambda: row(run_lag("--json"), "emails"),
            lambda seen: seen["waiting"] + seen["inFlight"] >= ORDERS and (seen["oldestSeconds"] or 0) > 1,
        )
        assert waiting["deadLetters"] == 0
        # AND --fail-over fails
        behind = run_lag("--fail-over", "1s")
        assert behind.exit_code == 1
        assert "emails: the oldest message is" in behind.stderr
        assert run_lag("--fail-over", "1d").exit_code == 0
    # WHEN emails is back, and has handled them
    until_quiet(deployment)
    all_counted(deployment, metrics_since)
    # THEN nothing waits, and the lag is that of all logged events
    done = row(run_lag("--json", *ALWAYS), "emails")
    assert (done["waiting"], done["inFlight"], done["oldestSeconds"], done["drainSeconds"]) == (0, 0, 0, 0)
    assert (done["lagP50Ms"], done["lagP99Ms"]) == pytest.approx(percentiles(logged(deployment, metrics_since)))
    # AND as many messages were sent and deleted as were handled
    effects = len(logged(deployment, began))
    assert effects >= ORDERS
    queue = (("QueueName", deployment.queue_url("emails").rpartition("/")[2]),)
    for name in ("NumberOfMessagesSent", "NumberOfMessagesDeleted"):
        assert count(deployment, began, Metric("AWS/SQS", name, queue, "Sum")) == effects


def test_lag_shows_a_consumer_of_another_stack(
    loyalty: Deployment, client: ShopClient, run_lag: RunLag, metrics_since: int
) -> None:
    assert place(client).status == 201
    done = eventually(
        lambda: row(run_lag("--json", *ALWAYS), "loyalty/points"),
        lambda seen: seen["lagP99Ms"] and not seen["waiting"] + seen["inFlight"],
    )
    assert 0 < done["lagP50Ms"] <= done["lagP99Ms"]
    assert done["deadLetters"] == 0


def test_a_percentile_covers_all_minutes_together(local_stack: LocalStack) -> None:
    # GIVEN a minute with many short lags, and two with a single long one
    client = local_stack.session().client("cloudwatch", endpoint_url=local_stack.endpoint)
    now = now_ms()
    minutes = [[10.0] * 98, [500.0], [20.0]]
    for ago, values in enumerate(minutes):
        at = datetime.fromtimestamp((now - ago * MINUTE) / 1000, UTC)
        client.put_metric_data(Namespace="Test", MetricData=[{"MetricName": "Lag", "Timestamp": at, "Values": values}])
    # WHEN the last minutes are measured, at any alignment
    asked = {stat: Metric("Test", "Lag", (), stat) for stat in ("p50", "p99", "SampleCount")}
    found = [cloudwatch.lately(client, asked, minutes=ago, now=now) for ago in range(2, 12)]
    # THEN the percentile is that of all values
    p50, p99 = percentiles([value for values in minutes for value in values])
    assert found == [{"p50": p50, "p99": pytest.approx(p99), "SampleCount": 100}] * 10
