"""Call counts: the AWS calls of each function, how many are sequential, and their DynamoDB capacity units."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.markdown import table
from bench.scenarios import ANALYTICS, EMAILS, FULFILLMENT, SETTLEMENT, MeteredShop, fresh_world

LINES = (1, 3, 10, 50)
TYPICAL_LINES = 3  # per order, where the number of lines does not matter
BATCHES = (1, 10, 100)
_BACKLOG = 100


def measure(progress: Callable[[str], None], *, quick: bool) -> dict[str, Any]:
    """Run every scenario once in moto and count its calls."""
    with fresh_world() as world:
        invocations: dict[str, Any] = {}
        shop = MeteredShop(world)
        progress("requests")
        for lines in LINES:
            invocations[f"new order, {lines} {'line' if lines == 1 else 'lines'}"] = shop.new_order(lines)[0].counts()
        _, order_id = shop.new_order(TYPICAL_LINES, key="again")
        invocations["repeat"] = shop.new_order(TYPICAL_LINES, key="again")[0].counts()
        invocations["declined"] = shop.new_order(TYPICAL_LINES, token="tok_decline")[0].counts()  # noqa: S106
        invocations["out of stock"] = shop.out_of_stock().counts()
        invocations["look up"] = shop.look_up(order_id).counts()
        invocations["list"] = shop.list_orders().counts()
        progress("consumers")
        shop.drain()
        invocations |= _consumers(shop)
        progress("batches of analytics")
        for batch in BATCHES[:2] if quick else BATCHES:
            for _ in range(batch):
                shop.new_order(TYPICAL_LINES)
            invocations[f"analytics: a batch of {batch}"] = shop.deliver(ANALYTICS).counts() | {"batch": batch}
        progress("sweeper")
        invocations["sweeper: idle"] = shop.sweep().counts()
        shop.leave_unpublished(10 if quick else _BACKLOG)
        invocations["sweeper: backlog"] = shop.sweep().counts() | {"batch": 10 if quick else _BACKLOG}
        invocations["feedback: bounce"] = shop.bounce().counts()  # last: its customer can't order anymore
    return {"invocations": invocations, "lines": TYPICAL_LINES}


def _consumers(shop: MeteredShop) -> dict[str, Any]:
    """Return each consumer's calls for each event, in batches of one."""
    _, order_id = shop.new_order(TYPICAL_LINES)
    invocations = {
        "emails: order_placed": shop.deliver(EMAILS),
        "analytics: order_placed": shop.deliver(ANALYTICS),
        "fulfillment: order_placed": shop.deliver(FULFILLMENT),
        "settlement: shipment_prepared": shop.deliver(SETTLEMENT),
        "emails: shipment_released": shop.deliver(EMAILS),
        "return": shop.request_return(order_id),
        "emails: return_requested": shop.deliver(EMAILS),
        "refund": shop.refund(order_id, restock=True),
        "settlement: refund_requested": shop.deliver(SETTLEMENT),
        "emails: order_refunded": shop.deliver(EMAILS),
        "analytics: order_refunded": shop.deliver(ANALYTICS),
    }
    _, order_id = shop.new_order(TYPICAL_LINES)
    invocations["cancel"] = shop.cancel(order_id)
    for function in (EMAILS, ANALYTICS, SETTLEMENT):
        with shop.meter.record():
            records = shop.world.queues.receive(function)
        cancelled = [record for record in records if "order_cancelled" in record["body"]]
        with shop.meter.record() as log:
            shop.world.queues.hand_over(function, cancelled)
        invocations[f"{function.removesuffix('Function').lower()}: order_cancelled"] = log
    return {name: log.counts() for name, log in invocations.items()}


def section(results: Mapping[str, Any], folder: Path) -> str:
    """Return the section of the benchmarks page."""
    invocations: Mapping[str, Any] = results["invocations"]
    rows = [
        [
            name,
            invocation["aws_calls"],
            invocation["provider_calls"],
            invocation["sequential_calls"],
            f"{sum(invocation['write_units'].values()):g}",
            f"{sum(invocation['read_units'].values()):g}",
        ]
        for name, invocation in invocations.items()
    ]
    units = [
        [where, *(f"{invocations[name]['write_units'].get(where, 0):g}" for name in _UNITS_OF)]
        for where in sorted({where for name in _UNITS_OF for where in invocations[name]["write_units"]})
    ]
    return _TEXT.format(
        table=table(["invocation", "AWS calls", "provider calls", "sequential", "write units", "read units"], rows),
        sequences="\n".join(f"- **{name}**: {_sequence(invocations[name])}" for name in _SEQUENCES_OF),
        units=table(["write units", *_UNITS_OF], units),
        verdict=_verdict(invocations),
    )


_SEQUENCES_OF = (
    "new order, 3 lines",
    "repeat",
    "cancel",
    "emails: order_placed",
    "analytics: order_placed",
    "fulfillment: order_placed",
    "settlement: shipment_prepared",
    "refund",
    "settlement: refund_requested",
    "sweeper: backlog",
)
_UNITS_OF = (
    "new order, 1 line",
    "new order, 10 lines",
    "new order, 50 lines",
    "fulfillment: order_placed",
    "settlement: shipment_prepared",
    "cancel",
    "refund",
    "settlement: refund_requested",
)

_TEXT = """\
## Call counts

How many calls an order needs, and how many of them the customer waits for.

{table}

*Sequential* calls start after the previous call has ended, so they add to the duration.

**Gates**: {verdict} [test_call_count.py](tests/integration/test_call_count.py) asserts these counts.

The calls, in order:

{sequences}

Write units by table and index. A write in a transaction takes double units. An order of 3 lines has between 1 and 2 KB,
so each of its writes takes two units.

{units}

**How it was measured.** Each scenario ran once in moto, with warm functions. User id, names, address and payment token
are as long as in a real shop ([scenarios.py](bench/scenarios.py)). Every call was counted where botocore sends it, so a
retry counts as a call. Capacity units are computed from the items before and after each write by
DynamoDB's documented rules, indexes included. They match those that AWS's own engine, DynamoDB Local, reports for the
same calls ([test_capacity_units.py](tests/dynamodb_local/test_capacity_units.py)). A call to the sandbox payment ledger
counts as a call to the payment provider, and its capacity units are left out. AWS reports no units for canceled
transactions (a repeat, out of stock); they are counted in full.
"""


def _sequence(invocation: Mapping[str, Any]) -> str:
    """Return the calls in order; a long sequence as the count of each call."""
    counts = Counter(invocation["sequence"])
    if len(invocation["sequence"]) <= 6:
        return " → ".join(invocation["sequence"])
    return ", ".join(f"{count} x {text}" for text, count in counts.items())


def _verdict(invocations: Mapping[str, Any]) -> str:
    new = [invocation for name, invocation in invocations.items() if name.startswith("new order")]
    calls, provider = (max(invocation[kind] for invocation in new) for kind in ("aws_calls", "provider_calls"))
    repeat = invocations["repeat"]["aws_calls"]
    met = "met" if calls <= 4 and provider <= 1 and repeat <= 1 else "**missed**"
    return (
        f"{met}. A new order takes {calls} AWS calls (at most 4) and {provider} provider call (at most 1), for any "
        f"number of lines. A repeat takes {repeat} AWS call (at most 1)."
    )
