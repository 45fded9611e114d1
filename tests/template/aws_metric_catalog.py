"""What is known of metrics: under which dimensions AWS publishes its own, and what one may ask of any."""

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
_GAUGES = {"PaymentsStuck", "HoldsExpiring"}  # each run of the sweeper counts them anew


def statistics(metric: Metric, unit: str) -> set[str]:
    """The statistics that mean something of a metric of ours."""
    return {"Maximum"} if metric.name in _GAUGES else _STATISTICS[unit]


def parts_before_name(template: Template, rule: str) -> int:
    """How many parts a rule's ARN has before its name: only that of a custom bus names the bus."""
    return 1 if template.resources[rule]["Properties"]["EventBusName"] == "default" else 2


def by_aws(metric: Metric, template: Template) -> dict[str, Any]:
    """What AWS says of a metric of its own; fails if it has no such dimensions, or they are not of this template."""
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
