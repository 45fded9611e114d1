"""The AWS bill of a million orders by service, for Handoff and for the request-driven chain."""

import tomllib
from collections.abc import Callable, Mapping
from math import ceil
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench import profile, whole_life
from bench.markdown import plot, table
from bench.meter import LOG_OVERHEAD
from bench.profile import ASSUMED, Invocation, invocations_of, memory_gb
from dev.template import WITH_PARTNER, template_with

MILLION = 1_000_000
GB = 1024**3
MONTH = 30 * 24 * 3600  # seconds
PRICES: dict[str, Any] = tomllib.loads((Path(__file__).parent / "prices.toml").read_text())

SERVICES = {  # rows of the table, with the prices that each one adds up
    "HTTP API": ("http_api_request",),
    "Lambda, requests": ("lambda_request",),
    "Lambda, time": ("lambda_gb_second",),
    "DynamoDB, writes": ("dynamodb_write",),
    "DynamoDB, reads": ("dynamodb_read",),
    "EventBridge": ("eventbridge_event", "eventbridge_archive_gb"),
    "SQS": ("sqs_request",),
    "SES": ("ses_mail",),
    "CloudWatch Logs": ("logs_gb",),
    "X-Ray": ("xray_trace",),
}
SAME_WORK = ("request", "emails: order_placed", "analytics: order_placed")

# Log lines that Lambda and API Gateway write.
_ID = "11111111-2222-3333-4444-555555555555"
_PLATFORM_LINES = (
    f"START RequestId: {_ID} Version: $LATEST",
    f"END RequestId: {_ID}",
    f"REPORT RequestId: {_ID} Duration: 352.11 ms Billed Duration: 353 ms Memory Size: 1024 MB Max Memory Used: 112 MB",
)
_ACCESS_LINE = (
    '{"requestId":"abcdefghijklmno=","time":"23/Nov/2026:10:00:00 +0000","route":"POST /orders",'
    '"status":"201","latency":"371","error":"-"}'
)
_PER_DELETE = 10  # messages that one SQS request deletes
_POLLERS = 5  # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
_POLL_SECONDS = 20  # a long poll

_COLORS = ("#E69F00", "#0072B2", "#D55E00", "#CC79A7", "#009E73", "#56B4E9", "#999999")

ACCESS_LOG_GB = (len(_ACCESS_LINE) + LOG_OVERHEAD) / GB

Usage = dict[str, float]  # quantities by name of the price


def measure(progress: Callable[[str], None], *, quick: bool) -> dict[str, Any]:
    """Run one order through Handoff and through the chain, and compute the billed quantities."""
    found = profile.measure(progress)
    return {"profile": found, "usage": usages(found, ASSUMED["load"]["orders_per_second"]), "fixed": fixed(found)}


def usages(found: Mapping[str, Any], orders_per_second: float) -> dict[str, Usage]:
    """Return the billed quantities of one order: by the chain, by Handoff for the same work, and by all of Handoff."""
    invocations = invocations_of(found)
    same = [invocations[name] for name in SAME_WORK]
    chain = found["chain"]
    rate = orders_per_second
    alone = [Invocation("chain", chain["function"], 1, chain["counts"])]
    return {
        "chain": usage(alone, rate),
        "same work": usage(same, rate, targets=len(same) - 1),
        "everything": usage(
            list(invocations.values()), rate, targets=len(invocations) - 1, audited=found["event_bytes"]
        ),
    }


def usage(invocations: list[Invocation], rate: float, *, targets: int = 0, audited: int = 0) -> Usage:
    """Return the billed quantities of one order.

    ``targets``: messages that EventBridge sends to queues; ``audited``: bytes of the order's events.
    """

    def per_order(quantity: Callable[[Invocation], float]) -> float:
        return sum(quantity(one) * one.share for one in invocations)

    count = per_order(lambda _: 1)
    logged = per_order(lambda one: _size(*_PLATFORM_LINES) + one.counts["log_bytes"])
    from_queues = [one for one in invocations if one.name.partition(":")[2]]
    return {
        "http_api_request": 1,
        "lambda_request": count,
        "lambda_gb_second": per_order(lambda one: one.milliseconds / 1000 * memory_gb(one.function)),
        "dynamodb_write": per_order(lambda one: one.units("write_units")),
        "dynamodb_read": per_order(lambda one: one.units("read_units")),
        "eventbridge_event": per_order(lambda one: one.counts["events"]),
        "eventbridge_archive_gb": audited / GB,
        # EventBridge sends a message. Lambda receives it, at worst alone (a long poll ends with the first message), and
        # deletes a batch.
        "sqs_request": targets + sum(1 + ceil(one.batch / _PER_DELETE) / one.batch for one in from_queues),
        "ses_mail": per_order(lambda one: one.counts["operations"].get("sesv2.SendEmail", 0)),
        "logs_gb": (logged + audited) / GB + ACCESS_LOG_GB,
        "xray_trace": count * sampled(rate),
    }


def sampled(orders_per_second: float) -> float:
    """Return the share of orders that X-Ray traces by its default rule, which samples whole traces."""
    tracing = ASSUMED["tracing"]
    beyond = max(0.0, orders_per_second - tracing["per_second"])
    return float((orders_per_second - beyond + beyond * tracing["share"]) / orders_per_second)


def fixed(found: Mapping[str, Any]) -> Usage:
    """Return the billed quantities of a month without orders."""
    queues = len(template_with().of_type("AWS::Lambda::EventSourceMapping"))
    runs = MONTH / 60
    idle = found["idle sweep"]
    sweep = Invocation("sweep", idle["function"], 1, idle["counts"])
    return {
        "sqs_request": queues * _POLLERS * MONTH / _POLL_SECONDS,
        "lambda_request": runs,
        "lambda_gb_second": runs * sweep.milliseconds / 1000 * memory_gb(sweep.function),
        "scheduler_invocation": runs,
        "dynamodb_read": runs * sweep.units("read_units"),
        "logs_gb": runs * (sweep.counts["log_bytes"] + _size(*_PLATFORM_LINES)) / GB,
        "custom_metric": found["custom_metrics"],
        "alarm": len(template_with(**WITH_PARTNER).of_type("AWS::CloudWatch::Alarm")),
        "program_client": sum(
            "client_credentials" in client.get("AllowedOAuthFlows", [])
            for client in template_with().of_type("AWS::Cognito::UserPoolClient").values()
        ),
    }


def price(used: Mapping[str, float], name: str) -> float:
    """Return the price of this quantity in US dollars."""
    return used.get(name, 0.0) * float(PRICES[name]["usd"]) / float(PRICES[name]["per"])


def total(used: Mapping[str, float]) -> float:
    """Return the price of all quantities in US dollars."""
    return sum(price(used, name) for name in used)


def _size(*lines: str) -> int:
    return sum(len(line) + LOG_OVERHEAD for line in lines)


def summary(results: Mapping[str, Any]) -> list[list[str]]:
    """Return the rows for the page's first table."""
    used = {column: results["usage"][column] for column in ("chain", "same work")}
    bills = {"US dollars per million orders, for the same work": [total(usage) for usage in used.values()]}
    bills["e-mail in this"] = [price(usage, "ses_mail") for usage in used.values()]
    return [[name, *(f"{value * MILLION:,.2f}" for value in values)] for name, values in bills.items()]


def section(results: Mapping[str, Any], folder: Path) -> str:
    """Return the section of the benchmarks page."""
    used = results["usage"]
    columns = ("chain", "same work", "everything")
    _draw(used, folder / "costs.png")
    rows = [
        [service, *(f"{sum(price(used[column], name) for name in names) * MILLION:,.2f}" for column in columns)]
        for service, names in SERVICES.items()
    ]
    sums = [total(used[column]) * MILLION for column in columns]
    rows.append(["**all**", *(f"**{value:,.2f}**" for value in sums)])
    quantities = [
        [PRICES[name]["unit"], *(f"{used[column].get(name, 0):,.6g}" for column in columns), _price(name)]
        for names in SERVICES.values()
        for name in names
    ]
    monthly = [
        [PRICES[name]["unit"], f"{count:,.6g}", _price(name), f"{price(results['fixed'], name):,.2f}"]
        for name, count in results["fixed"].items()
    ]
    monthly.append(["**all**", "", "", f"**{total(results['fixed']):,.2f}**"])
    lines = results["profile"]["lines"]
    return _TEXT.format(
        lines=lines,
        plot=plot("costs.png", "US dollars per million orders, without mails"),
        read=PRICES["read"],
        region=PRICES["region"],
        rate=ASSUMED["load"]["orders_per_second"],
        bill=table(["service", "chain", "Handoff, same work", "Handoff, everything"], rows),
        quantities=table(["per order", "chain", "same work", "everything", "price"], quantities),
        life=whole_life.section(results["profile"]),
        fixed=table(["per month", "quantity", "price", "USD"], monthly),
        **_verdict(used, sums),
    )


_TEXT = """\
## Cost of a million orders

US dollars per million orders of {lines} lines, in {region}:

{bill}

{plot}

*Same work* is the work that the chain does as well: place, pay, reserve stock, one mail, sales. *Everything* adds the
shipment, the capture, a second mail, the archive and the audit log.

- For the same work Handoff costs {relation} than the chain ({difference:+,.2f} USD). It saves {saved}, because a
  smaller function waits for the mail service. It adds {added} for durability.
- Everything costs {times:.2f} times as much as the chain.
- Mails are {chain_mails:.0%} of the chain's bill, and {mails:.0%} of Handoff's.
- If the chain took {request_ms:,} ms per request (payment 300, inventory 200, e-mail 400, analytics 150, own work 50),
  it would cost {slower:,.2f} USD more.

{life}
Quantities per order (X-Ray at {rate} orders/s):

{quantities}

Fixed costs, in US dollars per month without orders:

{fixed}

The custom metrics are those of an order and of the sweeper. Each token that a program fetches costs 0.00225 USD more.
Storage, backups and Cognito's users are left out on both sides: they grow with customers and years, not with orders.

**How it was measured.** One order ran in moto through Handoff and through the chain, which is made of the same parts
([request_chain.py](bench/baseline/request_chain.py)). Calls, DynamoDB units and log bytes were counted on the wire.
Times were not measured: they are the sequential calls with the latencies of
[assumptions.toml](bench/assumptions.toml). Prices are list prices, read on {read}, without free tiers and without the
payment provider's fees ([prices.toml](bench/prices.toml) has the page of each)."""


def _verdict(used: Mapping[str, Usage], sums: list[float]) -> dict[str, Any]:
    """Return the figures for the comparison of the bills."""
    chain, same, everything = sums
    difference = {
        service: sum(price(used["same work"], name) - price(used["chain"], name) for name in names) * MILLION
        for service, names in SERVICES.items()
    }
    cheapest, *_, third, second, first = sorted(difference, key=lambda service: difference[service])
    request_ms = ASSUMED["chain"]["request_ms"]
    slower = {"lambda_gb_second": request_ms / 1000 * memory_gb("ChainFunction")}
    return {
        "relation": f"{abs(same / chain - 1):.0%} {'more' if same > chain else 'less'}",
        "difference": same - chain,
        "saved": f"{-difference[cheapest]:,.2f} USD of *{cheapest}*",
        "added": ", ".join(f"{difference[service]:,.2f} USD of *{service}*" for service in (first, second, third)),
        "times": everything / chain,
        "chain_mails": price(used["chain"], "ses_mail") / total(used["chain"]),
        "mails": price(used["everything"], "ses_mail") / total(used["everything"]),
        "request_ms": request_ms,
        "slower": (total(slower) - price(used["chain"], "lambda_gb_second")) * MILLION,
    }


def _draw(used: Mapping[str, Usage], path: Path) -> None:
    """Draw the bills without mails, which would hide the rest."""
    figure = Figure(figsize=(8, 4.5), dpi=110, layout="tight")
    axes = figure.subplots()
    names = {"chain": "chain", "same work": "Handoff,\nsame work", "everything": "Handoff,\neverything"}
    left = dict.fromkeys(names, 0.0)
    for (service, prices), color in zip(_drawn().items(), _COLORS, strict=True):
        widths = {column: sum(price(used[column], name) for name in prices) * MILLION for column in names}
        axes.barh(list(names.values()), list(widths.values()), left=list(left.values()), label=service, color=color)
        left = {column: left[column] + width for column, width in widths.items()}
    axes.set(xlabel="US dollars per million orders, without mails")
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=4, frameon=False)
    figure.savefig(path)


def _drawn() -> dict[str, tuple[str, ...]]:
    """Return the services of the plot, grouped so that their colors can be distinguished."""
    groups = {
        "Lambda": ("Lambda, requests", "Lambda, time"),
        "DynamoDB": ("DynamoDB, writes", "DynamoDB, reads"),
        "EventBridge": ("EventBridge",),
        "SQS": ("SQS",),
        "logs": ("CloudWatch Logs",),
        "traces": ("X-Ray",),
        "HTTP API": ("HTTP API",),
    }
    return {
        name: tuple(part for service in services for part in SERVICES[service]) for name, services in groups.items()
    }


def _price(name: str) -> str:
    entry = PRICES[name]
    per = "" if entry["per"] == 1 else f" per {entry['per']:,}"
    return f"{entry['usd']:g} USD{per}"
