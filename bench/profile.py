"""What one order takes, function by function: measured in moto, and timed by what `assumptions.toml` assumes."""

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.meter import CallLog
from bench.scenarios import ANALYTICS, EMAILS, FULFILLMENT, MeteredShop, fresh_world
from tests.support import template

LINES = 3  # of the order that is priced
ORDERS = "OrdersFunction"
ASSUMED: dict[str, Any] = tomllib.loads((Path(__file__).parent / "assumptions.toml").read_text())


@dataclass(frozen=True, slots=True)
class Invocation:
    """One invocation, as it was measured, for ``batch`` messages of as many orders (of a request: 1)."""

    name: str
    function: str
    batch: int
    counts: Mapping[str, Any]

    @property
    def share(self) -> float:
        """How much of this invocation is one order's."""
        return 1 / self.batch

    @property
    def milliseconds(self) -> float:
        """How long it takes, by the assumed latencies: one call after the other, and the function's own work."""
        return duration_ms(self.counts["operations"], self.batch)

    def units(self, kind: str) -> float:
        """Read or write units of all tables and indexes (``write_units``, ``read_units``)."""
        return float(sum(self.counts[kind].values()))


def duration_ms(operations: Mapping[str, int], batch: int, assumed: Mapping[str, Any] = ASSUMED) -> float:
    """The time that these calls take, one after the other, with the function's own work."""
    waiting = sum(count * assumed["latency_ms"][name] for name, count in operations.items())
    return float(waiting + assumed["own_ms"]["invocation"] + assumed["own_ms"]["message"] * batch)


def memory_gb(function: str) -> float:
    """A function's memory, as template.yaml has it."""
    return float(template.of_type("AWS::Lambda::Function")[function]["MemorySize"]) / 1024


def measure(progress: Callable[[str], None], lines: int = LINES) -> dict[str, Any]:
    """Send orders through Handoff and through the chain, and meter each invocation; JSON-able."""
    with fresh_world() as world:
        shop = MeteredShop(world)
        progress("one order through Handoff")
        request, _ = shop.new_order(lines)
        printed = [request]
        steps = {"request": _json(ORDERS, request)}
        for name, function in _ORDER_BY_ORDER.items():
            log = shop.deliver(function)
            printed.append(log)
            steps[name] = _json(function, log)
        shop.drain()
        progress("a batch of analytics")
        batch = ASSUMED["batches"][ANALYTICS]
        for _ in range(batch):
            shop.new_order(lines)
        steps["analytics: order_placed"] = _json(ANALYTICS, shop.deliver(ANALYTICS), batch)
        progress("one order through the chain")
        events = [{**_FRAME, **event} for event in world.events()[:2]]
        chain = _json("ChainFunction", shop.chain_order(lines))
        idle = shop.sweep()
        return {
            "lines": lines,
            "steps": steps,
            "chain": chain,
            "idle sweep": _json("SweeperFunction", idle),
            "event_bytes": sum(len(json.dumps(event).encode()) for event in events),
            "custom_metrics": _metrics([*printed, idle]),
        }


def invocations_of(profile: Mapping[str, Any]) -> dict[str, Invocation]:
    """The measured invocations of one order, by name."""
    return {
        name: Invocation(name, step["function"], step["batch"], step["counts"])
        for name, step in profile["steps"].items()
    }


# In the order in which one order's events arrive; analytics is measured with a whole batch, below.
_ORDER_BY_ORDER = {
    "emails: order_placed": EMAILS,
    "fulfillment: order_placed": FULFILLMENT,
    "fulfillment: shipment_prepared": FULFILLMENT,
    "emails: shipment_prepared": EMAILS,
}
# What EventBridge adds to an event.
_FRAME = {
    "version": "0",
    "id": "11111111-2222-3333-4444-555555555555",
    "account": "123456789012",
    "time": "2026-11-23T10:00:00Z",
    "region": "us-east-1",
    "resources": [],
}


def _json(function: str, log: CallLog, batch: int = 1) -> dict[str, Any]:
    return {"function": function, "batch": batch, "counts": log.counts()}


def _metrics(logs: Iterable[CallLog]) -> int:
    """How many metrics were printed: CloudWatch counts each name with each combination of dimensions."""
    found = set()
    for line in "".join(log.printed for log in logs).splitlines():
        document = json.loads(line)
        for directive in document.get("_aws", {}).get("CloudWatchMetrics", []):
            dimensions = tuple(sorted((name, document[name]) for names in directive["Dimensions"] for name in names))
            found |= {(metric["Name"], dimensions) for metric in directive["Metrics"]}
    return len(found)
