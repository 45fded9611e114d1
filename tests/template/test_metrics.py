"""Alarms, the dashboard and docs/reference/metrics.md use metrics that the functions emit, and all of them."""

import re
from typing import Any

import pytest

from dev.template import ROOT, WITH_PARTNER, template_with
from tests.support.cloudwatch import CloudWatch, Metric, metrics_of, statistic_of, widgets
from tests.template import aws_metric_catalog

_TEMPLATE = template_with(**WITH_PARTNER)
_ALARMS = _TEMPLATE.of_type("AWS::CloudWatch::Alarm")


@pytest.fixture(
    params=[widget for widget in widgets(_TEMPLATE) if widget["type"] == "metric"],
    ids=lambda it: it["properties"]["title"],
)
def plot(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Every widget that shows metrics."""
    return request.param


@pytest.mark.parametrize("alarm_id", _ALARMS)
def test_an_alarm_on_a_handoff_metric_uses_a_meaningful_statistic(alarm_id: str, emitted: CloudWatch) -> None:
    metric = Metric.watched_by(_ALARMS[alarm_id])
    if metric.namespace == "Handoff":
        assert statistic_of(_ALARMS[alarm_id]) in aws_metric_catalog.statistics(metric, emitted.units[metric])


def test_every_shown_metric_exists_with_its_dimensions_and_statistic(plot: dict[str, Any], emitted: CloudWatch) -> None:
    assert plot["properties"]["region"] == "${AWS::Region}"
    assert plot["properties"]["metrics"]
    for metric, statistic in metrics_of(plot):
        if metric.namespace == "Handoff":
            assert metric in emitted.metrics
            assert statistic in aws_metric_catalog.statistics(metric, emitted.units[metric])
        else:
            assert statistic in aws_metric_catalog.by_aws(metric, _TEMPLATE)["statistics"]


def test_the_docs_list_every_metric_with_its_dimensions(emitted: CloudWatch) -> None:
    # GIVEN the page on metrics
    page = (ROOT / "docs/reference/metrics.md").read_text()
    documented = {
        (name, tuple(sorted(dimensions.replace("`", "").split(", "))))
        for names, dimensions in re.findall(r"^\| (`[A-Z][^|]*`) \| (`service[^|]*`) \|", page, flags=re.MULTILINE)
        for name in names.replace("`", "").split(", ")
    }
    # THEN it lists all metrics that the functions emit
    ours = [metric for metric in emitted.metrics if metric.namespace == "Handoff"]
    # AND those of the webhook, which only a deployment with Stripe has: see tests/payments/test_webhook.py
    webhook = {(f"PaymentEvents{result}", ("service",)) for result in ("", "Refused", "Failed")}
    assert documented - webhook == {
        (metric.name, tuple(sorted(name for name, _ in metric.dimensions))) for metric in ours
    }
