"""How lag is computed and shown."""

import json
import math
from datetime import UTC, datetime

import boto3
import pytest
from botocore.stub import Stubber
from click.testing import CliRunner
from rich.console import Console

from dev.local.metrics import Flow, infer_flow
from ops.cli import lag as cli_lag
from ops.cli import main as cli
from ops.cli.options import Target
from ops.lag import report as lag_report
from ops.lag.measure import MINUTE, Lag, departures, drain, due, rate
from ops.stack import cloudwatch
from ops.stack.cloudwatch import Metric, MetricsError
from ops.stack.emf import read


def a_lag(**values):
    known = {"waiting": 0, "in_flight": 0, "oldest": 0.0, "p50": 80.0, "p99": 1500.0, "rate_in": 1.0, "rate_out": 1.0}
    return Lag(**{"consumer": "emails", **known, "drain": 0.0, "dead_letters": 0, **values})


@pytest.mark.parametrize(
    ("backlog", "rate_in", "rate_out", "expected"),
    [
        (0, 5.0, 1.0, 0),
        (0, None, None, 0),
        (300, 1.0, 4.0, 100),
        (300, 4.0, 1.0, math.inf),
        (300, 1.0, 1.0, math.inf),
        (300, 1.0, 0.0, math.inf),
        (300, 0.0, 0.0, math.inf),
        (300, None, 1.0, None),
        (300, 1.0, None, None),
    ],
)
def test_a_backlog_drains_at_the_rate_out_minus_the_rate_in(backlog, rate_in, rate_out, expected):
    assert drain(backlog, 90, rate_in, rate_out) == expected


@pytest.mark.parametrize(("rate_in", "rate_out"), [(2.0, 2.0), (2.1, 2.0), (1.9, 2.0)])
def test_events_handled_within_a_minute_are_not_a_backlog(rate_in, rate_out):
    assert drain(6, 3, rate_in, rate_out) == 3
    assert drain(1, None, 1 / 60, 1 / 60) == 60


@pytest.mark.parametrize("oldest", [None, 0.0, 59.0])
def test_the_first_event_after_a_quiet_time_has_an_unknown_drain_time(oldest):
    assert drain(1, oldest, 0.0, 0.0) is None


def test_a_rate_covers_the_last_minutes_with_data():
    points = [(minute * MINUTE, 60.0 * minute) for minute in range(10)]
    assert rate(points, 2, now=10 * MINUTE) == 8.5
    assert rate(points, 2, now=13 * MINUTE) == 8.5
    assert rate([], 2, now=0) is None


def test_departures_are_done_and_failed_events_in_minutes_with_arrivals():
    sent, finished, failed = [(0, 9.0), (1, 9.0), (2, 9.0)], [(0, 30.0), (2, 5.0), (3, 7.0)], [(0, 3.0)]
    assert departures(sent, finished, failed) == [(0, 33), (1, 0), (2, 5)]


@pytest.mark.parametrize(
    ("delay", "expected"),
    [
        (0, [(0, 1.0), (MINUTE, 2.0), (2 * MINUTE, 3.0)]),
        (10, [(0, 1.0), (MINUTE, 2.0), (2 * MINUTE, 3.0)]),  # within the resolution of the metrics
        (60, [(MINUTE, 1.0)]),  # the present minute is not over
        (600, []),
    ],
)
def test_events_come_due_after_the_delay_of_their_queue(delay, expected):
    assert due([(0, 1.0), (MINUTE, 2.0), (2 * MINUTE, 3.0)], delay, now=2 * MINUTE + 30_000) == expected


def test_events_that_are_not_due_are_noted():
    text = shown(120, a_lag(consumer="fulfillment", delayed=12, delay=600))
    assert "fulfillment: 12 events are not due yet. Each is delayed for 10m" in text
    assert "not due" not in shown(120, a_lag(delay=600))


def test_only_the_elapsed_part_of_the_current_minute_counts():
    assert rate([(0, 60.0), (MINUTE, 30.0)], 5, now=MINUTE + 30_000) == 1.0
    assert rate([(MINUTE, 30.0)], 5, now=MINUTE) is None


@pytest.mark.parametrize(
    ("looks", "sent", "deleted"),
    [
        ([(0, 3), (0, 0)], 3, 0),  # they wait
        ([(0, 3), (3, -3), (0, 0)], 3, 3),  # one look after the other
        ([(4, 0), (0, 0)], 4, 4),  # they came and went between two looks
        ([(0, 2), (0, -2), (2, 0), (0, 0)], 2, 2),  # seen to be gone before their lines
        ([(0, 2), (0, -2), (0, 0), (0, 0)], 2, 2),  # deleted by hand
        ([(0, 2), (1, -2), (1, 3), (0, 0)], 5, 2),
    ],
)
def test_what_was_sent_and_deleted_adds_up(looks, sent, deleted):
    unaccounted, flows = 0, []
    for done, change in looks:
        flows.append(infer_flow(done, change, unaccounted))
        unaccounted = flows[-1].unaccounted
    assert (sum(flow.sent for flow in flows), sum(flow.deleted for flow in flows), unaccounted) == (sent, deleted, 0)
    assert all(flow.sent >= 0 for flow in flows)


def test_what_is_gone_waits_one_look_for_its_line():
    assert infer_flow(0, -2, 0) == Flow(0, 0, 2)
    assert infer_flow(1, 0, 2) == Flow(0, 2, 0)
    assert infer_flow(0, -1, 2) == Flow(0, 2, 1)


LINE = (
    '{"_aws": {"Timestamp": 7, "CloudWatchMetrics": [{"Namespace": "N", "Dimensions": [["a"], ["a", "b"]], '
    '"Metrics": [{"Name": "X", "Unit": "Count"}, {"Name": "Y"}]}]}, "a": "1", "b": "2", "X": [3, 4], "Y": 5}'
)


def test_a_line_has_each_metric_for_each_set_of_its_dimensions():
    seen = [(d.namespace, d.name, d.dimensions, d.unit, d.at, d.values) for d in read(f"2026 INFO {LINE}")]
    one, two = (("a", "1"),), (("a", "1"), ("b", "2"))
    assert seen == [
        ("N", "X", one, "Count", 7, (3.0, 4.0)),
        ("N", "X", two, "Count", 7, (3.0, 4.0)),
        ("N", "Y", one, "None", 7, (5.0,)),
        ("N", "Y", two, "None", 7, (5.0,)),
    ]


@pytest.mark.parametrize("line", ["", "START", '{"message": "done"}', LINE[:-1], LINE.replace('"Y": 5', '"Z": 5')])
def test_other_lines_have_no_metrics(line):
    assert read(line) == []


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        ({"p99": 60_001.0}, ["emails: the p99 lag is 1m, over 1m"]),
        ({"oldest": 61.0}, ["emails: the oldest message is 1m1s, over 1m"]),
        ({"p99": 60_000.0, "oldest": 60.0}, []),
        ({"p50": 70_000.0, "dead_letters": 9, "waiting": 1000, "drain": math.inf}, []),
        ({"p99": None, "oldest": None}, []),
    ],
)
def test_only_age_and_p99_lag_are_compared_with_the_limit(values, lines):
    assert lag_report.over([a_lag(**values)], 60_000) == lines


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [(None, "-"), (0, "0ms"), (999, "999ms"), (1234, "1.2s"), (9949, "9.9s"), (9951, "9s"), (65_000, "1m5s")],
)
def test_lags_are_shown_for_people(milliseconds, shown):
    assert lag_report.milliseconds(milliseconds) == shown


def result(id_, status, *points, **more):
    times = [datetime.fromtimestamp(at, UTC) for at, _ in points]
    return {"Id": id_, "Timestamps": times, "Values": [value for _, value in points], "StatusCode": status, **more}


def asked(*pages):
    """Return the series of two metrics from pages of a response."""
    client = boto3.client("cloudwatch", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(client) as stub:
        for n, page in enumerate(pages):
            token = {"NextToken": str(n)} if n < len(pages) - 1 else {}
            stub.add_response("get_metric_data", {"MetricDataResults": page, **token})
        metrics = {"first": Metric("N", "A", (), "Sum"), "second": Metric("N", "B", (), "p99")}
        return cloudwatch.series(client, metrics, start=0, end=600_000, period=60)


def test_a_response_may_have_several_pages():
    found = asked(
        [result("m0", "PartialData", (60, 1.0)), result("m1", "Complete", (60, 7.0))],
        [result("m0", "Complete", (120, 2.0), (180, 3.0))],
    )
    assert found == {"first": [(60_000, 1.0), (120_000, 2.0), (180_000, 3.0)], "second": [(60_000, 7.0)]}


@pytest.mark.parametrize("status", ["PartialData", "InternalError", "Forbidden"])
def test_an_incomplete_response_is_an_error(status):
    why = [{"Code": "ArithmeticError", "Value": "one of them"}]
    with pytest.raises(MetricsError, match=rf"N B \({status}\): ArithmeticError: one of them"):
        asked([result("m0", "Complete", (60, 1.0)), result("m1", status, (60, 7.0), Messages=why)])
    with pytest.raises(MetricsError, match="N B"):
        asked([result("m0", "Complete", (60, 1.0))])


def shown(width, *lags, others=None):
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        console.print(lag_report.Report(lags, others or {}, 5))
    return captured.get()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_every_value_is_readable_at_any_width(width):
    text = shown(width, a_lag(waiting=123_456, in_flight=789, oldest=3725.0, drain=math.inf, rate_in=1234.0, p50=None))
    for cell in ("emails", "123456", "789", "1h2m", "1.5s", "1234", "never", "-"):
        assert cell in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


def test_the_table_fits_an_80_column_terminal():
    text = shown(80, a_lag(consumer="fulfillment", waiting=12_345, in_flight=100, oldest=3725.0, drain=math.inf))
    assert text.split()[:3] == ["CONSUMER", "WAITING", "IN"]


def test_dead_letters_without_a_consumer_are_noted():
    text = shown(120, a_lag(), others={"unowned": 2, "partner": 0})
    assert "2 dead letters of undelivered events; see handoff dlq list" in text
    assert "partner" not in text


@pytest.fixture
def lag(monkeypatch):
    """Run `handoff lag` with given lags."""

    def run(found, *options):
        monkeypatch.setattr(Target, "deployment", lambda self: None)
        monkeypatch.setattr(cli_lag, "measure", lambda deployment, minutes: found)
        monkeypatch.setattr(cli_lag, "other_dead_letters", lambda deployment: {})
        return CliRunner().invoke(cli.main, ["lag", *options])

    return run


@pytest.mark.parametrize(
    ("values", "status", "message"),
    [
        ({}, 0, ""),
        ({"waiting": 5, "oldest": 59.0, "drain": math.inf, "dead_letters": 3}, 0, ""),
        ({"waiting": 5, "oldest": 61.0}, 1, "emails: the oldest message is 1m1s, over 1m"),
        ({"waiting": 5, "oldest": None}, 2, "emails: 5 events wait; CloudWatch has not published their age yet"),
        ({"waiting": 5, "oldest": None, "p99": 90_000.0}, 1, "emails: the p99 lag is 1m30s, over 1m"),
    ],
)
def test_fail_over_sets_the_exit_status_and_names_late_consumers(lag, values, status, message):
    result = lag([a_lag(**values)], "--fail-over", "60s")
    assert (result.exit_code, message in result.stderr) == (status, True)


def test_json_output_is_valid_for_an_infinite_drain_time(lag):
    def refuse(constant):
        raise AssertionError(constant)

    text = lag([a_lag(drain=math.inf, p50=None)], "--json").stdout
    (found,) = json.loads(text, parse_constant=refuse)["consumers"]
    assert (found["drainSeconds"], found["lagP50Ms"], found["lagP99Ms"]) == ("never", None, 1500)


def test_an_error_has_another_exit_status_than_a_lag():
    result = CliRunner(env={"PORT": "1"}).invoke(cli.main, ["lag", "--local", "--fail-over", "60s"])
    assert result.exit_code == 2
    assert "No local stack is running on port 1" in result.stderr
