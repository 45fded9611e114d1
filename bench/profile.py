"""The invocations that one order causes: counted in moto, timed with the latencies of `assumptions.toml`."""

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.meter import CallLog
from bench.scenarios import ANALYTICS, EMAILS, FULFILLMENT, SETTLEMENT, MeteredShop, fresh_world
from dev.template import template_with

LINES = 3  # per order
ORDERS = "OrdersFunction"
SETTLES = "settlement: shipment_prepared"
ASSUMED: dict[str, Any] = tomllib.loads((Path(__file__).parent / "assumptions.toml").read_text())


@dataclass(frozen=True, slots=True)
class Invocation:
    """One measured invocation with a batch of ``batch`` messages, each of another order; 1 for a request."""

    name: str
    function: str
    batch: int
    counts: Mapping[str, Any]

    @property
    def share(self) -> float:
        """The share of one order in this invocation."""
        return 1 / self.batch

    @property
    def milliseconds(self) -> float:
        """Duration with the assumed latencies: sequential calls and the function's processing."""
        return duration_ms(self.counts["operations"], self.batch, memory_gb(self.function))

    def units(self, kind: str) -> float:
        """Total units over all tables and indexes; ``kind`` is ``write_units`` or ``read_units``."""
        return float(sum(self.counts[kind].values()))


def duration_ms(
    operations: Mapping[str, int], batch: int, memory: float = 1.0, assumed: Mapping[str, Any] = ASSUMED
) -> float:
    """Return the duration of sequential calls and the processing of a function with so many GB of memory."""
    waiting = sum(count * assumed["latency_ms"][name] for name, count in operations.items())
    return float(waiting + own_ms(batch, memory, assumed))


def own_ms(batch: int, memory: float, assumed: Mapping[str, Any] = ASSUMED) -> float:
    """Return the time that a function processes a batch: its share of a processor grows with its memory.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
    """
    return float(assumed["own_ms"]["invocation"] + assumed["own_ms"]["message"] * batch) / memory


def memory_gb(function: str) -> float:
    """Return a function's memory in template.yaml. The chain gets as much as the orders function."""
    name = ORDERS if function == "ChainFunction" else function
    return float(template_with().of_type("AWS::Lambda::Function")[name]["MemorySize"]) / 1024


def batch_of(function: str) -> int:
    """Return how many messages a poller gathers within the batching window of a function's queue, at the assumed load.

    At least one, and at most the batch size.
    """
    (mapping,) = (consumer.mapping for consumer in template_with().consumers() if consumer.function_id == function)
    messages = ASSUMED["load"]["orders_per_second"] * sum(name == function for name in _CONSUMERS.values())
    gathered = messages * mapping["MaximumBatchingWindowInSeconds"] / ASSUMED["load"]["pollers"]
    return max(1, min(mapping["BatchSize"], int(gathered)))


def measure(progress: Callable[[str], None], lines: int = LINES) -> dict[str, Any]:
    """Send orders through Handoff and through the chain, and count each invocation; the result is JSON."""
    with fresh_world() as world:
        shop = MeteredShop(world)
        progress("one order through Handoff")
        request, order_id = shop.new_order(lines)
        printed = [request]
        invocations = {"request": _json(ORDERS, request)}
        alone = {}
        for name, function in _CONSUMERS.items():
            log = shop.deliver(function)
            printed.append(log)
            alone[name] = _json(function, log)
        shop.drain()
        progress("batches of the consumers")
        for name, function in _CONSUMERS.items():
            invocations[name] = _json(function, _batch(shop, name, lines), batch_of(function))
        for _ in range(batch_of(SETTLEMENT)):
            shop.cancel(shop.new_order(lines)[1])
        settles_nothing = _json(SETTLEMENT, shop.deliver(SETTLEMENT), batch_of(SETTLEMENT))
        shop.drain()
        progress("one order through the chain")
        events = [{**_FRAME, **event} for event in world.events() if _is_of(event, order_id)]
        chain = _json("ChainFunction", shop.chain_order(lines))
        idle = shop.sweep()
        return {
            "lines": lines,
            "invocations": invocations,
            "alone": alone,
            "settles nothing": settles_nothing,
            "chain": chain,
            "idle sweep": _json("SweeperFunction", idle),
            "events": [event["DetailType"] for event in events],
            "event_bytes": sum(len(json.dumps(event).encode()) for event in events),
            "custom_metrics": _metrics([*printed, idle]),
        }


def invocations_of(profile: Mapping[str, Any]) -> dict[str, Invocation]:
    """Return the measured invocations of one order by name."""
    return {
        name: Invocation(name, invocation["function"], invocation["batch"], invocation["counts"])
        for name, invocation in profile["invocations"].items()
    }


# In the order in which an order's events arrive.
_CONSUMERS = {
    "emails: order_placed": EMAILS,
    "fulfillment: order_placed": FULFILLMENT,
    SETTLES: SETTLEMENT,
    "emails: shipment_released": EMAILS,
    "analytics: order_placed": ANALYTICS,
}
# Added to each event by EventBridge.
_FRAME = {
    "version": "0",
    "id": "11111111-2222-3333-4444-555555555555",
    "account": "123456789012",
    "time": "2026-11-23T10:00:00Z",
    "region": "us-east-1",
    "resources": [],
}


def _batch(shop: MeteredShop, name: str, lines: int) -> CallLog:
    """Deliver a batch of messages, each of another order, to a consumer that an order's events arrive at."""
    for _ in range(batch_of(_CONSUMERS[name])):
        shop.new_order(lines)
    if _CONSUMERS[name] == ANALYTICS:  # waits for no other consumer
        log = shop.deliver(ANALYTICS)
    else:
        for step, function in _CONSUMERS.items():
            log = shop.deliver(function)
            if step == name:
                break
    shop.drain()
    return log


def _is_of(event: Mapping[str, Any], order_id: str) -> bool:
    return bool(event["Detail"]["data"].get("orderId") == order_id)


def _json(function: str, log: CallLog, batch: int = 1) -> dict[str, Any]:
    return {"function": function, "batch": batch, "counts": log.counts()}


def _metrics(logs: Iterable[CallLog]) -> int:
    """Count the custom metrics: CloudWatch bills each name with each combination of dimensions."""
    found = set()
    for line in "".join(log.printed for log in logs).splitlines():
        document = json.loads(line)
        for directive in document.get("_aws", {}).get("CloudWatchMetrics", []):
            dimensions = tuple(sorted((name, document[name]) for names in directive["Dimensions"] for name in names))
            found |= {(metric["Name"], dimensions) for metric in directive["Metrics"]}
    return len(found)
