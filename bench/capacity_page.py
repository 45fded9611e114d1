"""The capacity page."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench import capacity_model, costs, formulas
from bench.capacity_model import QUOTAS, Load
from bench.markdown import plot, table
from bench.profile import ASSUMED, ORDERS
from bench.scenarios import ANALYTICS, EMAILS, FULFILLMENT, SETTLEMENT
from dev.template import source
from handoff.sweep import PUBLISHING_BUDGET

RATES = (10, 1_000, 100_000)
HOLDS = (5, 10, 20)  # milliseconds
CONSUMERS = (EMAILS, ANALYTICS, FULFILLMENT, SETTLEMENT)
FUNCTIONS = (ORDERS, *CONSUMERS)


def loads_of(found: Mapping[str, Any]) -> list[Load]:
    """Return a load for each rate of the page."""
    return [Load(rate, found) for rate in RATES]


def page(found: Mapping[str, Any]) -> str:
    """Return the text of the page."""
    loads = loads_of(found)
    return _PAGE.format(
        lines=found["lines"],
        assumed=_assumptions(loads[0]),
        concurrency=_concurrency(loads),
        writes=_writes(loads),
        settings=_settings(loads),
        quotas=_quotas(loads),
        bill=_bill(loads),
        limits=_limits(loads),
        products=_products(),
        plot=plot("one-product.png", "Failed orders of one product"),
        hold=ASSUMED["capacity"]["hold_ms"],
        scaling=QUOTAS["lambda_scaling"]["page"],
        utilization=f"{ASSUMED['capacity']['utilization']:.0%}",
        quotas_read=QUOTAS["read"],
        prices_read=costs.PRICES["read"],
        region=costs.PRICES["region"],
    )


def _assumptions(load: Load) -> str:
    latency = ASSUMED["latency_ms"]
    rows = [[f"`{name}`", f"{milliseconds} ms"] for name, milliseconds in latency.items()]
    rows += [
        [
            "a function's processing, with 1,024 MB",
            f"{ASSUMED['own_ms']['invocation']} ms, and {ASSUMED['own_ms']['message']} ms per message",
        ],
        ["a transaction's lock of an item", f"{ASSUMED['capacity']['hold_ms']} ms"],
        *([f"computed: {name}", f"{_seconds(load, name)}"] for name in FUNCTIONS),
    ]
    return table(["latency", "assumed"], rows)


def _seconds(load: Load, function: str) -> str:
    size = capacity_model.batch_size(function)
    unit = "request" if size == 1 else f"full batch of {size}"
    return f"{load.batch_seconds[function] * 1000:,.0f} ms per {unit}"


def _concurrency(loads: Sequence[Load]) -> str:
    rows = [
        [name, *(f"{load.concurrency(name):,.1f} ({load.instances(name):,})" for load in loads)] for name in FUNCTIONS
    ]
    rows.append(["all", *(f"{sum(load.instances(name) for name in FUNCTIONS):,}" for load in loads)])
    return table(rates("busy on average (instances needed)"), rows)


def _writes(loads: Sequence[Load]) -> str:
    one = Load(1, loads[0].found)
    rows = [
        [where, f"{one.write_units[where]:g}", *(f"{load.write_units[where]:,.0f}" for load in loads)]
        for where in sorted(one.write_units)
    ]
    return table(["write units per second", "per order", *rates("")[1:]], rows)


def _settings(loads: Sequence[Load]) -> str:
    defaults = {name: given["Default"] for name, given in source()["Parameters"].items() if "Default" in given}
    rows = [
        ["`ThrottleRate`", defaults["ThrottleRate"], *(number(load.rate * 2) for load in loads)],
        ["`UnfinishedShards`", defaults["UnfinishedShards"], *(number(load.unfinished_shards) for load in loads)],
        ["`SalesShards`", defaults["SalesShards"], *(number(load.sales_shards) for load in loads)],
        ["`MailsPerSecond`", defaults["MailsPerSecond"], *(number(load.mails) for load in loads)],
    ]
    for function in CONSUMERS:
        setting = f"`MaximumConcurrency` of {function}" + (" and its `MAIL_SENDERS`" if function == EMAILS else "")
        rows.append(
            [
                setting,
                capacity_model.maximum_concurrency(function),
                *(_at_most(load.instances(function)) for load in loads),
            ]
        )
    return table(["parameter or property", "default", *rates("")[1:]], rows)


def _quotas(loads: Sequence[Load]) -> str:
    asked: dict[str, list[float]] = {
        "http_api_requests": [load.rate for load in loads],
        "lambda_concurrency": [sum(load.instances(name) for name in FUNCTIONS) for load in loads],
        "sqs_concurrency": [max(load.instances(name) for name in CONSUMERS) for load in loads],
        "sqs_in_flight": [
            max(load.instances(name) * capacity_model.batch_size(name) for name in CONSUMERS) for load in loads
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
    return table(["quota", "adjustable", "default", *rates("")[1:]], rows, texts=2)


def _bill(loads: Sequence[Load]) -> str:
    bills = [load.bill() for load in loads]
    rows = [[service, *(f"{bill[service]:,.0f}" for bill in bills)] for service in bills[0]]
    rows.append(["**all**", *(f"**{sum(bill.values()):,.0f}**" for bill in bills)])
    rows.append(["without e-mail", *(f"{sum(bill.values()) - bill['SES']:,.0f}" for bill in bills)])
    return table(rates("US dollars per month"), rows)


def _products() -> str:
    rows = []
    for hold in HOLDS:
        most = formulas.max_rate(hold / 1000, ASSUMED["capacity"]["refused"])
        shares = [f"{formulas.refused(rate, hold / 1000):.2%}" for rate in (25, 50, 100)]
        rows.append([f"{hold} ms", number(most), *shares])
    return table(["lock of an item", "orders per second", "failed at 25/s", "at 50/s", "at 100/s"], rows)


def _limits(loads: Sequence[Load]) -> str:
    events_per_run = PUBLISHING_BUDGET / capacity_model.seconds_to_sweep_one()
    hours = ", ".join(f"{load.hours_to_catch_up:,.1f} h at {load.rate:,}/s" for load in loads)
    shards = ", ".join(f"{load.sales_shards:,} at {load.rate:,}/s" for load in loads)
    rows = [
        (
            "one product",
            f"{number(hot_product_rate())} orders/s",
            (
                "Transactions on the same item conflict. Handoff tries eight times with exponential backoff and then"
                " returns 503 with `Retry-After`. Nothing has changed then, and other products are not affected."
            ),
            "Split its stock into shards: [one hot product](docs/how-to/scale.md#one-hot-product).",
        ),
        (
            "e-mail",
            f"{number(capacity_model.max_orders(EMAILS, loads[0].found))} orders/s",
            "An event source runs at most 1,000 batches at a time, and the mails of a batch are sent sequentially.",
            "Use several queues, each with a share of the orders, or send the mails of a batch concurrently.",
        ),
        (
            "settlement",
            f"{number(capacity_model.max_orders(SETTLEMENT, loads[0].found))} orders/s",
            "The same limit; most of the time is spent waiting for the payment provider.",
            "The same changes.",
        ),
        (
            "the sweeper",
            f"{number(events_per_run / 60)} events/s on average",
            (
                f"It publishes for {PUBLISHING_BUDGET:.0f} s of each minute, about {number(events_per_run)} events, in"
                f" calls of ten events from {capacity_model.sweeper_threads()} threads. It catches up with a one-hour"
                f" outage of the bus in {hours}. New orders publish their own events meanwhile, and payments have a"
                " separate time budget."
            ),
            (
                "Raise `SweeperThreads` and `UnfinishedShards`, up to the work that one processor does; then run"
                " one sweeper per shard. Shards are independent, and two sweepers do no harm."
            ),
        ),
        (
            "the sales report",
            "no limit, but slower",
            f"A day has `SalesShards` partitions, and a report queries each: {shards}.",
            "Add up the shards of a day once a minute.",
        ),
    ]
    return table(["part", "limit", "reason", "change for more"], rows, texts=4)


def hot_product_rate() -> float:
    """Return the orders per second of one product at which the assumed share of them fails."""
    capacity = ASSUMED["capacity"]
    return formulas.max_rate(capacity["hold_ms"] / 1000, capacity["refused"])


def rates(first: str) -> list[str]:
    """Return a table head with a column for each rate."""
    return [first, *(f"{rate:,}/s" for rate in RATES)]


def number(value: float) -> str:
    """Format a whole number."""
    return f"{value:,.0f}"


def _at_most(instances: int) -> str:
    limit = QUOTAS["sqs_concurrency"]["limit"]
    return f"{instances:,}" if instances <= limit else f"**{instances:,}**; the maximum is {limit:,}"


def _against(value: float, limit: float) -> str:
    return f"**{value:,.0f}**" if value > limit else f"{value:,.0f}"


_PAGE = """\
# Capacity

The instances, capacity units, quotas, parameters and money that Handoff needs for 10, 1,000 and 100,000 orders per
second, and the limits of the design.

Nothing on this page was measured on AWS. Calls, capacity units and bytes are counted in moto, latencies are assumed,
and prices and quotas are AWS's documented ones. `make bench PARTS=capacity` computes the figures again and writes
this page. The figures for 100,000 orders per second are arithmetic only.

## Assumptions

- Each order has {lines} lines, of products from a large catalog without bestsellers. It is placed, shipped and paid.
  There are no cancellations, refunds, repeats or lookups. A cancellation costs about as much as shipping, a repeat
  costs one call.
- The cancel window changes nothing: a delayed message is neither received nor in flight.
- The load is even. Limited resources are used at {utilization} on average. A peak of twice the average needs twice as
  much.
- Batches are full where concurrency is computed, and small where costs are. Costs are therefore overestimated.
- Latencies ([assumptions.toml](bench/assumptions.toml)) are for the same region, with open connections:

{assumed}

## Functions

Little's law: the average number of busy instances is the number of requests (or batches) per second times the seconds
that each one takes.

{concurrency}

## Tables

{writes}

A partition takes 1,000 write units per second. Orders, shipments and mail records are spread over partitions by their
ids. Two kinds of writes are not: entries of the index `unfinished`, which has `UnfinishedShards` partitions, and the
sales counters of a day, which have `SalesShards`. A throttled index throttles the writes of its table. A new table
takes 4,000 write units per second and doubles its peak within 30 minutes, so warm it up before a sale.

## One product

Every order of a product writes the product's item in a transaction, and DynamoDB cancels a transaction that conflicts
with another one on the same item. The table shows the orders per second of one product at which one order in a thousand
fails, and the share of failed orders at 25, 50 and 100 orders per second:

{products}

{plot}

AWS does not document how long a transaction locks its items. This page assumes {hold} ms. The limit of 1,000 write
units of a partition is higher: 500 orders per second. A canceled order writes its products once more.

## Settings

{settings}

`ThrottleRate` is twice the average. `UnfinishedShards` can be raised at any time, and lowered when nothing is
unfinished. `SalesShards` can only be raised.

## Quotas

As documented on {quotas_read}. **Bold** figures are above the default: raise the quota, or it limits the design.

{quotas}

Lambda adds [1,000 instances in 10 s]({scaling}) per function, so the highest of these loads is reached in minutes.

Signing up is limited apart from orders: Cognito's own sender sends
[50 mails a day](https://docs.aws.amazon.com/cognito/latest/developerguide/quotas.html). With `MailFrom` and
`SignUpMails=ses`, SES's quotas count instead.

## Limits of the design

{limits}

## Money

List prices in {region} of {prices_read}, first tier, in US dollars for a month of 30 days at the full rate. Large
accounts pay less, because all of these prices have tiers or discounts. The payment provider's fees, storage, backups
and Cognito's users are left out.

{bill}
"""
