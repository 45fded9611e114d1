"""The capacity page, docs/reference/capacity.md: what 10, 1,000 and 100,000 orders a second need and cost."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench import capacity_model, costs, formulas, profile
from bench.capacity_model import QUOTAS, Load
from bench.profile import ASSUMED, ORDERS
from bench.scenarios import ANALYTICS, EMAILS, FULFILLMENT
from bench.tables import table
from shop.sweeping import PUBLISHING_BUDGET
from tests.support import template

RATES = (10, 1_000, 100_000)
_HOLDS = (5, 10, 20)  # milliseconds
_FUNCTIONS = (ORDERS, EMAILS, ANALYTICS, FULFILLMENT)


def measure(progress: Callable[[str], None], *, quick: bool) -> dict[str, Any]:
    """What one order takes; all the rest is reckoned from it."""
    return profile.measure(progress)


def section(results: Mapping[str, Any], folder: Path) -> str:
    """The section of docs/reference/benchmarks.md; writes docs/reference/capacity.md as well."""
    (folder.parent / "capacity.md").write_text(page(results))
    _draw(folder / "one-product.png")
    loads = [Load(rate, results) for rate in RATES]
    rows = [
        ["instances of Lambda", *(f"{sum(load.instances(name) for name in _FUNCTIONS):,}" for load in loads)],
        ["write units a second", *(f"{sum(load.write_units.values()):,.0f}" for load in loads)],
        ["US dollars a month", *(f"{sum(load.bill().values()):,.0f}" for load in loads)],
    ]
    return _SECTION.format(table=table(_head("orders a second"), rows), most=_number(_most_of_one_product()))


def page(found: Mapping[str, Any]) -> str:
    """docs/reference/capacity.md."""
    loads = [Load(rate, found) for rate in RATES]
    return _PAGE.format(
        lines=found["lines"],
        assumed=_assumptions(loads[0]),
        concurrency=_concurrency(loads),
        writes=_writes(loads),
        settings=_settings(loads),
        quotas=_quotas(loads),
        bill=_bill(loads),
        ends=_ends(found),
        product=_products(),
        hold=ASSUMED["capacity"]["hold_ms"],
        scaling=QUOTAS["lambda_scaling"]["page"],
        utilisation=f"{ASSUMED['capacity']['utilisation']:.0%}",
        quotas_read=QUOTAS["read"],
        prices_read=costs.PRICES["read"],
        region=costs.PRICES["region"],
    )


def _assumptions(load: Load) -> str:
    latency = ASSUMED["latency_ms"]
    rows = [[f"`{name}`", f"{milliseconds} ms"] for name, milliseconds in latency.items()]
    rows += [
        [
            "a function's own work",
            f"{ASSUMED['own_ms']['invocation']} ms, and {ASSUMED['own_ms']['message']} ms a message",
        ],
        ["an item held by a transaction", f"{ASSUMED['capacity']['hold_ms']} ms"],
        *([f"hence {name}", f"{_seconds(load, name)}"] for name in _FUNCTIONS),
    ]
    return table(["what", "assumed"], rows)


def _seconds(load: Load, function: str) -> str:
    size = capacity_model.batch_size(function)
    what = "a request" if size == 1 else f"a full batch of {size}"
    return f"{load.batch_seconds[function] * 1000:,.0f} ms for {what}"


def _concurrency(loads: Sequence[Load]) -> str:
    rows = [
        [name, *(f"{load.concurrency(name):,.1f} ({load.instances(name):,})" for load in loads)] for name in _FUNCTIONS
    ]
    rows.append(["together", *(f"{sum(load.instances(name) for name in _FUNCTIONS):,}" for load in loads)])
    return table(_head("busy on average (needed)"), rows)


def _writes(loads: Sequence[Load]) -> str:
    one = Load(1, loads[0].found)
    rows = [
        [where, f"{one.write_units[where]:g}", *(f"{load.write_units[where]:,.0f}" for load in loads)]
        for where in sorted(one.write_units)
    ]
    return table(["write units", "one order", *_head("")[1:]], rows)


def _settings(loads: Sequence[Load]) -> str:
    defaults = {name: given["Default"] for name, given in template.source()["Parameters"].items() if "Default" in given}
    rows = [
        ["`ThrottleRate`", defaults["ThrottleRate"], *(_number(load.rate * 2) for load in loads)],
        ["`UnfinishedShards`", defaults["UnfinishedShards"], *(_number(load.unfinished_shards) for load in loads)],
        ["`SalesShards`", defaults["SalesShards"], *(_number(load.sales_shards) for load in loads)],
        ["`MailsPerSecond`", defaults["MailsPerSecond"], *(_number(load.mails) for load in loads)],
    ]
    for function in (EMAILS, ANALYTICS, FULFILLMENT):
        setting = f"`MaximumConcurrency` of {function}" + (" and its `MAIL_SENDERS`" if function == EMAILS else "")
        rows.append(
            [
                setting,
                capacity_model.maximum_concurrency(function),
                *(_at_most(load.instances(function)) for load in loads),
            ]
        )
    return table(["setting of template.yaml", "as it is", *_head("")[1:]], rows)


def _quotas(loads: Sequence[Load]) -> str:
    asked: dict[str, list[float]] = {
        "http_api_requests": [load.rate for load in loads],
        "lambda_concurrency": [sum(load.instances(name) for name in _FUNCTIONS) for load in loads],
        "sqs_concurrency": [max(load.instances(name) for name in (EMAILS, ANALYTICS, FULFILLMENT)) for load in loads],
        "sqs_in_flight": [
            max(load.instances(name) * capacity_model.batch_size(name) for name in (EMAILS, ANALYTICS, FULFILLMENT))
            for load in loads
        ],
        "put_events": [load.put_events for load in loads],
        "event_invocations": [load.targets for load in loads],
        "ses_rate": [load.mails for load in loads],
        "table_writes": [max(load.write_units.values()) for load in loads],
        "new_table_writes": [max(load.write_units.values()) for load in loads],
        "table_reads": [max(load.read_units.values()) for load in loads],
        "partition_reads": [load.messages[ANALYTICS] / capacity_model.batch_size(ANALYTICS) for load in loads],
    }
    rows = [
        [
            f"[{QUOTAS[name]['unit']}]({QUOTAS[name]['page']})",
            "yes" if QUOTAS[name]["raise"] else "no",
            f"{QUOTAS[name]['limit']:,}",
            *(_against(value, QUOTAS[name]["limit"]) for value in values),
        ]
        for name, values in asked.items()
    ]
    return table(["quota", "can be raised", "by default", *_head("")[1:]], rows, texts=2)


def _bill(loads: Sequence[Load]) -> str:
    bills = [load.bill() for load in loads]
    rows = [[service, *(f"{bill[service]:,.0f}" for bill in bills)] for service in bills[0]]
    rows.append(["**all**", *(f"**{sum(bill.values()):,.0f}**" for bill in bills)])
    rows.append(["without mails", *(f"{sum(bill.values()) - bill['SES']:,.0f}" for bill in bills)])
    return table(_head("US dollars a month"), rows)


def _products() -> str:
    rows = []
    for hold in _HOLDS:
        most = formulas.most_orders(hold / 1000, ASSUMED["capacity"]["refused"])
        shares = [f"{formulas.refused(rate, hold / 1000):.2%}" for rate in (25, 50, 100)]
        rows.append([f"{hold} ms", _number(most), *shares])
    return table(["a transaction holds an item for", "orders a second", "refused at 25", "at 50", "at 100"], rows)


def _draw(path: Path) -> None:
    """The share of orders that one product refuses, by how many want it."""
    figure = Figure(figsize=(8, 4.5), dpi=110, layout="tight")
    axes = figure.subplots()
    for hold, colour in zip(_HOLDS, ("#009E73", "#0072B2", "#D55E00"), strict=True):
        rates = range(1, 151)
        shares = [100 * formulas.refused(rate, hold / 1000) for rate in rates]
        axes.plot(rates, shares, color=colour, label=f"a transaction holds its items for {hold} ms")
    axes.set(xlabel="orders a second of one product", ylabel="told to come again, %", ylim=0, xlim=0)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _ends(found: Mapping[str, Any]) -> str:
    swept = 1 / capacity_model.seconds_to_sweep_one()
    a_run = PUBLISHING_BUDGET * swept
    loads = [Load(rate, found) for rate in RATES]
    after_an_hour = ", ".join(f"{load.hours_after_a_dead_hour:,.1f} h at {load.rate:,}/s" for load in loads)
    shards = ", ".join(f"{load.sales_shards:,} at {load.rate:,}/s" for load in loads)
    rows = [
        (
            "one product",
            f"{_number(_most_of_one_product())} orders a second",
            (
                "Transactions on one item turn each other away. Eight tries with growing pauses, then 503 with"
                " `Retry-After`; nothing is changed, and other products notice nothing."
            ),
            "Split its stock over several items and reserve from one at random; the last pieces need a look at all.",
        ),
        (
            "mails",
            f"{_number(capacity_model.most_orders_behind(EMAILS, found))} orders a second",
            "An event source runs 1,000 batches at most, and the mails of a batch are sent one after the other.",
            "Several queues, each with its share of the orders; or the mails of one batch sent at once.",
        ),
        (
            "fulfillment",
            f"{_number(capacity_model.most_orders_behind(FULFILLMENT, found))} orders a second",
            "The same; most of its time it waits for the payment provider.",
            "The same, or captures in a queue of their own.",
        ),
        (
            "the sweeper",
            f"{_number(a_run / 60)} events a second, on average",
            (
                f"It has {PUBLISHING_BUDGET:.0f} s of each minute to publish in, about {_number(a_run)} events, ten a"
                " call and one call after the other. What an hour without a bus leaves behind takes it"
                f" {after_an_hour}; new orders publish for themselves meanwhile, and payments have time of their own."
            ),
            "A run for each shard at the same time: shards are independent, and two sweepers do no harm.",
        ),
        (
            "the sales report",
            "no limit, but slower",
            f"A day has `SalesShards` partitions, and a report asks each: {shards}.",
            "Adding the shards up into a day's total once a minute.",
        ),
    ]
    return table(["what", "up to", "why, and what the design does", "what would have to change"], rows, texts=4)


def _most_of_one_product() -> float:
    capacity = ASSUMED["capacity"]
    return formulas.most_orders(capacity["hold_ms"] / 1000, capacity["refused"])


def _head(first: str) -> list[str]:
    return [first, *(f"{rate:,}/s" for rate in RATES)]


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _at_most(instances: int) -> str:
    limit = QUOTAS["sqs_concurrency"]["limit"]
    return f"{instances:,}" if instances <= limit else f"**{instances:,}**, and {limit:,} is the most"


def _against(value: float, limit: float) -> str:
    return f"**{value:,.0f}**" if value > limit else f"{value:,.0f}"


_SECTION = """\
## What a load needs

[The capacity page](capacity.md) reckons from the counts above, and from assumed latencies, what Handoff needs and costs
at 10, 1,000 and, on paper, 100,000 orders a second; its formulae are compared with simulations
([test_capacity.py](../../tests/unit/test_capacity.py)).

{table}

One product takes about {most} orders a second before one order in a thousand is told to come again.
"""

_PAGE = """\
# Capacity

What Handoff needs and costs at 10, 1,000 and 100,000 orders a second, which quotas have to be raised, which parameters
set, and where the design ends. `make bench` writes this page: calls, capacity units and bytes are counted
in moto, times are assumed, prices and quotas are AWS's documented ones. Nothing of it was measured on AWS, and 100,000
orders a second are arithmetic.

## Assumptions

- Each order has {lines} lines, of products from a large catalog without favourites; it is placed, shipped and paid.
  Nobody cancels, repeats or browses. Cancelling costs about as much as shipping; a repeat costs one call.
- The load is even. What is bounded is reckoned to be busy for {utilisation} of its time; a peak of twice the average
  needs twice as much.
- Batches are full where concurrency is reckoned, and small where money is; money is so rather too high.
- Latencies ([assumptions.toml](../../bench/assumptions.toml)), in the same region, connections open:

{assumed}

## Functions

Little's law: as many are busy as requests (or batches) come in a second, times the seconds that each one takes.

{concurrency}

## Tables

{writes}

A partition takes 1,000 write units a second. Orders, shipments and the records of mails are spread by their own ids.
What is not: the index `unfinished` (its entries go into `UnfinishedShards` partitions, and a throttled index throttles
its table's writes), and the counters of a day's sales (`SalesShards`). A table that is new takes 4,000 write units a
second at once and doubles its peak within 30 minutes: warm it up before a great day.

## One product

Every order of a product writes the product's item in a transaction, and DynamoDB cancels a transaction that meets
another one on the same item. How many orders a second one product takes before one in a thousand is refused, and the
share refused at 25, 50 and 100 orders a second:

{product}

![Orders refused because of one product](benchmarks/one-product.png)

AWS does not document how long a transaction holds its items; {hold} ms is assumed elsewhere on this page. Its
partition's 1,000 write units would end it at 500 orders a second. A cancelled order writes its products once more.

## Settings

{settings}

`ThrottleRate` has room for twice the average. `UnfinishedShards` may be raised at any time, and lowered when nothing is
unfinished; `SalesShards` may only be raised.

## Quotas

As documented, read on {quotas_read}. What is **bold** is above the default: it has to be raised, or the design ends
there.

{quotas}

Lambda adds [1,000 instances in 10 s]({scaling}) to each function, so even the highest of these is reached in minutes.

## Where the design ends

{ends}

## Money

List prices in {region} of {prices_read}, first tier, in dollars for a month of 30 days at the full rate. Large accounts
pay less: all of these prices have tiers or discounts. The provider's own fees are not in here, and neither are storage,
backups and Cognito.

{bill}
"""
