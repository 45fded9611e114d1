"""Metrics that a function prints: lines in the embedded metric format."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric with its dimensions and values."""

    name: str
    unit: str
    dimensions: dict[str, str]
    values: list[float]


def printed(output: str) -> dict[str, Metric]:
    """Return the metrics in an output by name, with the values of all lines."""
    found: dict[str, Metric] = {}
    for line in output.splitlines():
        document: dict[str, Any] = json.loads(line)
        for directive in document.get("_aws", {}).get("CloudWatchMetrics", []):
            assert directive["Namespace"] == "Handoff"
            dimensions = {name: document[name] for names in directive["Dimensions"] for name in names}
            for metric in directive["Metrics"]:
                name, earlier = metric["Name"], found.get(metric["Name"])
                values = [*(earlier.values if earlier else []), *document[name]]
                found[name] = Metric(name, metric["Unit"], dimensions, values)
    return found
