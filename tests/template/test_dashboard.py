"""The dashboard and the saved query of log lines."""

from itertools import combinations, product
from typing import Any

import pytest

from dev.template import ROOT, WITH_PARTNER, WITH_PAYMENT_EVENTS, Consumer, Template, logical_id, template_with
from tests.support.cloudwatch import Metric, metrics_of, widgets

_TEMPLATE = template_with(**WITH_PARTNER)
COLUMNS = 24


def cells(widget: dict[str, Any]) -> set[tuple[int, int]]:
    """Return the cells of the grid that a widget covers."""
    columns = range(widget["x"], widget["x"] + widget["width"])
    return set(product(columns, range(widget["y"], widget["y"] + widget["height"])))


# --- dashboard --------------------------------------------------------------------------------------------------------


def test_the_dashboard_is_named_after_the_stack() -> None:
    assert _TEMPLATE.resources["Dashboard"]["Properties"]["DashboardName"] == "${AWS::StackName}"


def test_widgets_are_within_the_grid_and_do_not_overlap() -> None:
    for widget in widgets(_TEMPLATE):
        assert 0 <= widget["x"] <= widget["x"] + widget["width"] <= COLUMNS
    for one, other in combinations(widgets(_TEMPLATE), 2):
        assert not cells(one) & cells(other)


@pytest.mark.parametrize("parameters", [WITH_PARTNER, WITH_PAYMENT_EVENTS, {}], ids=["partner", "webhook", "neither"])
def test_the_dashboard_shows_every_alarm(parameters: dict[str, str]) -> None:
    template = template_with(**parameters)
    (states,) = [widget for widget in widgets(template) if widget["type"] == "alarm"]
    alarms = template.of_type("AWS::CloudWatch::Alarm")
    assert sorted(states["properties"]["alarms"]) == sorted(f"${{{alarm}.Arn}}" for alarm in alarms)


def test_the_dashboard_shows_every_consumer(consumer: Consumer) -> None:
    # GIVEN the metrics of a consumer
    queue, dead_letters = f"${{{consumer.queue_id}.QueueName}}", f"${{{consumer.dead_letters_id}.QueueName}}"
    function = consumer.mapping["FunctionName"]
    lag = Metric.of("Handoff", "EventLagDone", service="${AWS::StackName}", consumer=consumer.name)
    wanted = {
        (lag, "p50"),
        (lag, "p99"),
        (Metric.of("AWS/SQS", "ApproximateNumberOfMessagesVisible", QueueName=queue), "Maximum"),
        (Metric.of("AWS/SQS", "ApproximateAgeOfOldestMessage", QueueName=queue), "Maximum"),
        (Metric.of("AWS/SQS", "ApproximateNumberOfMessagesVisible", QueueName=dead_letters), "Maximum"),
        (Metric.of("AWS/Lambda", "Errors", FunctionName=function), "Sum"),
    }
    # THEN the dashboard shows all of them
    plots = [widget for widget in widgets(_TEMPLATE) if widget["type"] == "metric"]
    assert wanted <= {shown for widget in plots for shown in metrics_of(widget)}


def test_the_dashboard_shows_every_dead_letter_queue(dead_letters_id: str) -> None:
    letters = Metric.of("AWS/SQS", "ApproximateNumberOfMessagesVisible", QueueName=f"${{{dead_letters_id}.QueueName}}")
    (plot,) = [widget for widget in widgets(_TEMPLATE) if widget["properties"]["title"] == "Dead letters"]
    assert (letters, "Maximum") in set(metrics_of(plot))


# --- saved query ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("template", [_TEMPLATE, template_with(**WITH_PAYMENT_EVENTS)], ids=["defaults", "webhook"])
def test_the_saved_query_searches_the_logs_of_every_function(template: Template) -> None:
    query = template.of_type("AWS::Logs::QueryDefinition")["OrderLinesQuery"]
    logs = {function["LoggingConfig"]["LogGroup"] for function in template.functions().values()}
    assert sorted(query["LogGroupNames"]) == sorted(logs)
    assert all(template.resources[logical_id(log)]["Type"] == "AWS::Logs::LogGroup" for log in logs)


def test_the_saved_query_is_the_documented_one() -> None:
    query = _TEMPLATE.of_type("AWS::Logs::QueryDefinition")["OrderLinesQuery"]["QueryString"]
    assert 'filter order_id = "ORDER_ID" or correlation_id = "CORRELATION_ID"' in query
    # AND the docs show the same query
    documented = (ROOT / "docs/how-to/monitor.md").read_text()
    assert all(line in documented for line in query.splitlines())


def test_saved_queries_can_be_disabled() -> None:
    assert "OrderLinesQuery" not in template_with(SavedQueries="false").resources
