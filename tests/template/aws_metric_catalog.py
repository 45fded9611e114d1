"""Metrics: the dimensions under which AWS publishes its own, and the statistics that are meaningful for each."""

import tomllib
from typing import Any

from dev.template import ROOT, Template, logical_id
from tests.support.cloudwatch import Metric

_AWS = tomllib.loads((ROOT / "tests/template/aws_metric_catalog.toml").read_text())
_STATISTICS = {
    "Count": {"Sum"},
    "None": {"Sum"},
    "Milliseconds": {"p50", "p95", "p99", "Maximum"},
    "Seconds": {"Maximum"},
}
_GAUGES = {"PaymentsStuck", "HoldsExpiring"}  # gauges: each run of the sweeper reports the current number


def statistics(metric: Metric, unit: str) -> set[str]:
    """Return the meaningful statistics of a Handoff metric."""
    return {"Maximum"} if metric.name in _GAUGES else _STATISTICS[unit]


def parts_before_name(template: Template, rule: str) -> int:
    """Return the number of parts before the name in a rule's ARN, which includes the bus if it is a custom one."""
    return 1 if template.resources[rule]["Properties"]["EventBusName"] == "default" else 2


def by_aws(metric: Metric, template: Template) -> dict[str, Any]:
    """Return the catalog's entry of an AWS metric; fail if the dimensions don't exist or are not of this template."""
    names = sorted(name for name, _ in metric.dimensions)
    (found,) = [
        described
        for described in _AWS["metric"]
        if (described["namespace"], described["name"]) == (metric.namespace, metric.name)
        and names in described["dimensions"]
    ]
    for name, value in metric.dimensions:
        kind = _AWS["dimensions"][name]
        reference, _, part = value.partition("[")
        resource = logical_id(reference)
        assert template.resources[resource]["Type"] == kind["type"]
        assert reference == (f"${{{resource}.{kind['attribute']}}}" if "attribute" in kind else f"${{{resource}}}")
        assert part == (f"{parts_before_name(template, resource)}]" if name == "RuleName" else "")
    assert found["source"] in _AWS["sources"]
    return dict(found)
