"""Call counts: which calls each function makes, how many follow one another, and what they take of DynamoDB."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.scenarios import ANALYTICS, EMAILS, FULFILLMENT, MeteredShop, fresh_world
from bench.tables import table

LINES = (1, 3, 10, 50)
USUAL_LINES = 3  # of an order, where one number is wanted
BATCHES = (1, 10, 100)
_BACKLOG = 100


def measure(progress: Callable[[str], None], *, quick: bool) -> dict[str, Any]:
    """Run every flow once in moto and count what went over the wire."""
    with fresh_world() as world:
        steps: dict[str, Any] = {}
        shop = MeteredShop(world)
        progress("requests")
        for lines in LINES:
            steps[f"new order, {lines} {'line' if lines == 1 else 'lines'}"] = shop.new_order(lines)[0].counts()
        _, order_id = shop.new_order(USUAL_LINES, key="again")
        steps["repeat"] = shop.new_order(USUAL_LINES, key="again")[0].counts()
        steps["declined"] = shop.new_order(USUAL_LINES, token="tok_decline")[0].counts()  # noqa: S106
        steps["out of stock"] = shop.out_of_stock().counts()
        steps["look up"] = shop.look_up(order_id).counts()
        steps["list"] = shop.list_orders().counts()
        progress("consumers")
        shop.drain()
        steps |= _consumers(shop)
        progress("batches of analytics")
        for batch in BATCHES[:2] if quick else BATCHES:
            for _ in range(batch):
                shop.new_order(USUAL_LINES)
            steps[f"analytics: a batch of {batch}"] = shop.deliver(ANALYTICS).counts() | {"batch": batch}
        steps["feedback: bounce"] = shop.bounce().counts()
        progress("sweeper")
        steps["sweeper: idle"] = shop.sweep().counts()
        shop.leave_unpublished(10 if quick else _BACKLOG)
        steps["sweeper: backlog"] = shop.sweep().counts() | {"batch": 10 if quick else _BACKLOG}
    return {"steps": steps, "lines": USUAL_LINES}


def _consumers(shop: MeteredShop) -> dict[str, Any]:
    """Each consumer's calls for each event, one event a batch."""
    shop.new_order(USUAL_LINES)
    steps = {
        "emails: order_placed": shop.deliver(EMAILS),
        "analytics: order_placed": shop.deliver(ANALYTICS),
        "fulfillment: order_placed": shop.deliver(FULFILLMENT),
        "fulfillment: shipment_prepared": shop.deliver(FULFILLMENT),
        "emails: shipment_prepared": shop.deliver(EMAILS),
    }
    _, order_id = shop.new_order(USUAL_LINES)
    steps["cancel"] = shop.cancel(order_id)
    for function in (EMAILS, ANALYTICS, FULFILLMENT):
        with shop.meter.record():
            records = shop.world.queues.receive(function)
        cancelled = [record for record in records if "order_cancelled" in record["body"]]
        with shop.meter.record() as log:
            shop.world.queues.hand_over(function, cancelled)
        steps[f"{function.removesuffix('Function').lower()}: order_cancelled"] = log
    return {name: log.counts() for name, log in steps.items()}


def section(results: Mapping[str, Any], folder: Path) -> str:
    """The section of docs/reference/benchmarks.md."""
    steps: Mapping[str, Any] = results["steps"]
    rows = [
        [
            name,
            step["aws_calls"],
            step["provider_calls"],
            step["sequential_calls"],
            f"{sum(step['write_units'].values()):g}",
            f"{sum(step['read_units'].values()):g}",
        ]
        for name, step in steps.items()
    ]
    units = [
        [where, *(f"{steps[name]['write_units'].get(where, 0):g}" for name in _UNITS_OF)]
        for where in sorted({where for name in _UNITS_OF for where in steps[name]["write_units"]})
    ]
    return _TEXT.format(
        table=table(
            ["invocation", "AWS calls", "provider calls", "one after the other", "write units", "read units"], rows
        ),
        ways="\n".join(f"- **{name}**: {_way(steps[name])}" for name in _WAYS),
        units=table(["write units of", *_UNITS_OF], units),
        verdict=_verdict(steps),
    )


_WAYS = (
    "new order, 3 lines",
    "repeat",
    "cancel",
    "emails: order_placed",
    "analytics: order_placed",
    "fulfillment: order_placed",
    "fulfillment: shipment_prepared",
    "sweeper: backlog",
)
_UNITS_OF = ("new order, 1 line", "new order, 10 lines", "new order, 50 lines", "fulfillment: order_placed", "cancel")

_TEXT = """\
## Call counts

Each flow was run once in moto, with warm functions, and every call was counted where botocore sends it: a retry would
be a call of its own. Capacity units are reckoned from the items before and after each write by DynamoDB's documented
rules, indexes included; they are the same that AWS's own engine, DynamoDB Local, reports for these calls
([test_capacity_units.py](../../tests/dynamodb_local/test_capacity_units.py)). Calls to the sandbox's ledger stand for
calls to the payment provider; what they take of DynamoDB is not counted. For transactions that are cancelled (a repeat,
out of stock) AWS reports no units; they are counted in full.

{table}

**Gates.** {verdict} The counts are held by [test_call_count.py](../../tests/integration/test_call_count.py).

What is called, in this order:

{ways}

Where the write units go. A write in a transaction counts twice; an order is just above 1 KB once its event is in it,
which makes two units of each of its writes.

{units}
"""


def _way(step: Mapping[str, Any]) -> str:
    """The calls in their order, repeated ones together."""
    counts = Counter(step["sequence"])
    if len(step["sequence"]) <= 6:
        return " → ".join(step["sequence"])
    return ", ".join(f"{count} x {text}" for text, count in counts.items())


def _verdict(steps: Mapping[str, Any]) -> str:
    new = [step for name, step in steps.items() if name.startswith("new order")]
    calls, provider = max(step["aws_calls"] for step in new), max(step["provider_calls"] for step in new)
    repeat = steps["repeat"]["aws_calls"]
    reached = "reached" if calls <= 4 and provider <= 1 and repeat <= 1 else "**not reached**"
    return (
        f"A new order takes {calls} AWS calls (at most 4) and {provider} provider call (at most 1), however many lines "
        f"it has; a repeat takes {repeat} AWS call (at most 1): {reached}."
    )
