"""An order's whole life: its calls, write units and dollars, against the gates.

What later features added is shown apart: the release of a shipment (an event, its clearing, the shipment's row) and the
limits per user. The release is what a settlement takes beyond one that releases nothing, as of a canceled order.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from bench import costs
from bench.markdown import table
from bench.profile import ASSUMED, SETTLES, Invocation, invocations_of

CALLS, UNITS, DOLLARS = 19, 36, 45.0  # the gates; the last one per million orders, without mails


class Cost(NamedTuple):
    """What a part of an order's life takes; dollars per million orders, without mails."""

    calls: float
    provider_calls: float
    units: float
    dollars: float

    def less(self, other: "Cost") -> "Cost":
        """Return the difference."""
        return Cost(*(mine - its for mine, its in zip(self, other, strict=True)))


def of(found: Mapping[str, Any], *, batched: bool) -> dict[str, Cost]:
    """Return the parts by name; ``batched``: consumers get the batches of their windows, otherwise each event alone."""
    invocations = invocations_of(found)
    if not batched:
        alone = {**found, "invocations": found["alone"]}
        invocations |= invocations_of(alone)
    audited = {"request": found["event_bytes"]}  # the order's events are counted once
    return {name: _cost(one, audited.get(name, 0)) for name, one in invocations.items()}


def later(found: Mapping[str, Any]) -> dict[str, Cost]:
    """Return what the later features take, by name."""
    settles = _cost(invocations_of(found)[SETTLES])
    plain = _cost(Invocation(SETTLES, *(found["settles nothing"][name] for name in ("function", "batch", "counts"))))
    limits = found["invocations"]["request"]["counts"]["write_units"].get("LimitsTable", 0.0)
    return {
        "the release": settles.less(plain),
        "limits per user": Cost(
            0, 0, limits, costs.price({"dynamodb_write": limits}, "dynamodb_write") * costs.MILLION
        ),
    }


def total(parts: Mapping[str, Cost]) -> Cost:
    """Return the sum of all parts."""
    return Cost(*map(sum, zip(*parts.values(), strict=True)))


def counted(found: Mapping[str, Any], *, batched: bool) -> Cost:
    """Return what the gates are about: everything without what later features added."""
    return total(of(found, batched=batched)).less(total(later(found)))


def section(found: Mapping[str, Any]) -> str:
    """Return the part of the cost section."""
    parts, added = of(found, batched=True), later(found)
    alone = total(of(found, batched=False))
    batches = {name: str(one.batch) for name, one in invocations_of(found).items()}
    rows = [[name, batches[name], *_cells(cost)] for name, cost in parts.items()]
    rows += [["**all**", "", *_cells(total(parts))], ["all, event by event", "1", *_cells(alone)]]
    rows += [[f"of these, {name}", "", *_cells(cost)] for name, cost in added.items()]
    return _TEXT.format(
        parts=table(["", "batch", "AWS calls", "provider calls", "write units", "USD per million"], rows),
        rate=ASSUMED["load"]["orders_per_second"],
        gates=table(["gate", "in batches", "event by event"], list(_gates(found)), texts=3),
    )


_TEXT = """\
### An order's whole life

Without mails' 0.10 USD per thousand. *Batch* is the number of events in an invocation: at {rate} orders/s, those that
Lambda gathers in the queue's batching window.

{parts}

Gates, without the release and the limits, which came later and are shown apart. *Event by event* is a shop with few
orders. It shares nothing, such as the sales counters that analytics writes once for a batch:

{gates}
"""


def _gates(found: Mapping[str, Any]) -> "list[list[str]]":
    in_batches, alone = counted(found, batched=True), counted(found, batched=False)
    gates = [
        (f"at most {CALLS} AWS calls", CALLS, in_batches.calls, alone.calls, ",.1f"),
        (f"at most {UNITS} write units", UNITS, in_batches.units, alone.units, ",.1f"),
        (f"at most {DOLLARS:.0f} USD per million orders", DOLLARS, in_batches.dollars, alone.dollars, ",.2f"),
    ]
    return [
        [name, *(f"{value:{form}}, {'reached' if value <= gate else '**missed**'}" for value in values)]
        for name, gate, *values, form in gates
    ]


def _cost(one: Invocation, audited: int = 0) -> Cost:
    share, counts = one.share, one.counts
    return Cost(
        calls=counts["aws_calls"] * share,
        provider_calls=counts["provider_calls"] * share,
        units=one.units("write_units") * share,
        dollars=_dollars(one, audited),
    )


def _dollars(one: Invocation, audited: int) -> float:
    """Return the price of an invocation's share of a million orders, without mails."""
    from_queue = ":" in one.name
    used = costs.usage([one], ASSUMED["load"]["orders_per_second"], targets=int(from_queue), audited=audited)
    if from_queue:  # only the request comes through the API
        used = {**used, "http_api_request": 0.0, "logs_gb": used["logs_gb"] - costs.ACCESS_LOG_GB}
    return costs.total({**used, "ses_mail": 0.0}) * costs.MILLION


def _cells(cost: Cost) -> list[str]:
    return [f"{cost.calls:,.1f}", f"{cost.provider_calls:,.0f}", f"{cost.units:,.1f}", f"{cost.dollars:,.2f}"]
