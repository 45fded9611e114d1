"""`handoff lag` on the deployed stack, whose CloudWatch the metrics bridge feeds."""

import json
import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dev.demo import orders as demo
from dev.local.stack import LocalStack
from handoff.clock import now_ms
from ops.cli.main import main
from ops.shop_client import ShopClient
from ops.stack import cloudwatch, emf
from ops.stack.cloudwatch import MINUTE, Metric
from ops.stack.deployment import Deployment
from tests.e2e.support import eventually, paused, place

ORDERS = 3
ALWAYS = ("--minutes", "180")  # longer than any test run

Look = Callable[..., Result]


@pytest.fixture
def look(local_stack: LocalStack) -> Look:
    """Runs `handoff lag` as a script would."""
    runner = CliRunner(env={"PORT": str(local_stack.port)})
    return lambda *options: runner.invoke(main, ["lag", "--local", *options])


def row(result: Result, consumer: str) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return next(found for found in json.loads(result.stdout)["consumers"] if found["consumer"] == consumer)


def logged(deployment: Deployment, since: int) -> list[float]:
    """The lags of e-mail that its function has logged."""
    events = emf.events(deployment.logs, deployment.resource("EmailsLogs"), start=since)
    data = [datum for event in events for datum in emf.read(event["message"]) if datum.name == "EventLagDone"]
    return [value for datum in data for value in datum.values]


def percentiles(values: list[float]) -> tuple[float, float]:
    """The median, and what 99 of 100 are below."""
    return statistics.median(values), statistics.quantiles(values, n=100, method="inclusive")[98]


def count(deployment: Deployment, since: int, metric: Metric) -> float:
    """A metric's count or sum over all minutes since then."""
    found = cloudwatch.series(deployment.cloudwatch, {"it": metric}, start=since, end=now_ms(), period=60)
    return sum(value for _, value in found["it"])


def all_counted(deployment: Deployment, since: int) -> None:
    """Wait until CloudWatch has as many lags of e-mail as the logs."""
    lags = Metric("Handoff", "EventLagDone", (("service", deployment.stack), ("consumer", "emails")), "SampleCount")
    eventually(
        lambda: (count(deployment, since, lags), len(logged(deployment, since))), lambda seen: seen[0] == seen[1]
    )


def test_lag_shows_what_waits_and_then_how_late_it_was_done(
    deployment: Deployment, client: ShopClient, look: Look, metrics_since: int
) -> None:
    # GIVEN that all that was done has been counted, and that nobody takes e-mail's events
    demo.wait_until_quiet(deployment, lambda _: None)
    all_counted(deployment, metrics_since)
    began = now_ms()
    with paused(deployment, "emails"):
        # WHEN orders are placed
        for _ in range(ORDERS):
            assert place(client).status == 201
        # THEN they are seen to wait, by their number and by the age of the oldest
        waiting = eventually(
            lambda: row(look("--json"), "emails"),
            lambda seen: seen["waiting"] + seen["inFlight"] >= ORDERS and (seen["oldestSeconds"] or 0) > 1,
        )
        assert waiting["deadLetters"] == 0
        # AND a script can tell
        behind = look("--fail-over", "1s")
        assert behind.exit_code == 1
        assert "emails: the oldest message is" in behind.stderr
        assert look("--fail-over", "1d").exit_code == 0
    # WHEN e-mail is back, and done
    demo.wait_until_quiet(deployment, lambda _: None)
    all_counted(deployment, metrics_since)
    # THEN nothing waits, and the lag is that of all that the function has logged
    done = row(look("--json", *ALWAYS), "emails")
    assert (done["waiting"], done["inFlight"], done["oldestSeconds"], done["drainSeconds"]) == (0, 0, 0, 0)
    assert (done["lagP50Ms"], done["lagP99Ms"]) == pytest.approx(percentiles(logged(deployment, metrics_since)))
    # AND as many messages were sent and deleted as it was done with
    effects = len(logged(deployment, began))
    assert effects >= ORDERS
    queue = (("QueueName", deployment.queue_url("emails").rpartition("/")[2]),)
    for name in ("NumberOfMessagesSent", "NumberOfMessagesDeleted"):
        assert count(deployment, began, Metric("AWS/SQS", name, queue, "Sum")) == effects


def test_a_percentile_is_of_all_minutes_and_not_of_their_percentiles(local_stack: LocalStack) -> None:
    # GIVEN a minute with many short lags, and two with a single long one
    client = local_stack.session().client("cloudwatch", endpoint_url=local_stack.endpoint)
    now = now_ms()
    minutes = [[10.0] * 98, [500.0], [20.0]]
    for ago, values in enumerate(minutes):
        at = datetime.fromtimestamp((now - ago * MINUTE) / 1000, UTC)
        client.put_metric_data(Namespace="Test", MetricData=[{"MetricName": "Lag", "Timestamp": at, "Values": values}])
    # WHEN it is asked for the last minutes, whenever they begin
    asked = {stat: Metric("Test", "Lag", (), stat) for stat in ("p50", "p99", "SampleCount")}
    found = [cloudwatch.lately(client, asked, minutes=ago, now=now) for ago in range(2, 12)]
    # THEN it is that of all of them
    p50, p99 = percentiles([value for values in minutes for value in values])
    assert found == [{"p50": p50, "p99": pytest.approx(p99), "SampleCount": 100}] * 10
