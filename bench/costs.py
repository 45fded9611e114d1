"""What a million orders cost on AWS, service by service: Handoff, and the chain that it replaces."""

import tomllib
from collections.abc import Callable, Mapping
from math import ceil
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench import profile
from bench.meter import LOG_OVERHEAD
from bench.profile import ASSUMED, Invocation, invocations_of, memory_gb
from bench.tables import table
from tests.support import template

MILLION = 1_000_000
GB = 1024**3
MONTH = 30 * 24 * 3600  # seconds
PRICES: dict[str, Any] = tomllib.loads((Path(__file__).parent / "prices.toml").read_text())

SERVICES = {  # the lines of the table, and the prices that each one sums up
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
WHAT_THE_CHAIN_DOES = ("request", "emails: order_placed", "analytics: order_placed")

# The lines that Lambda and the gateway write themselves, as they look in CloudWatch.
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
_PER_RECEIVE = 10  # messages that one request to SQS takes or deletes
_POLLERS = 5  # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
_POLL_SECONDS = 20  # a long poll

# Told apart by everybody (Okabe and Ito).
_COLOURS = ("#E69F00", "#0072B2", "#D55E00", "#CC79A7", "#009E73", "#56B4E9", "#999999")

Usage = dict[str, float]  # quantities by the name of their price


def measure(progress: Callable[[str], None], *, quick: bool) -> dict[str, Any]:
    """Run one order through Handoff and through the chain, and price what either takes."""
    found = profile.measure(progress)
    return {"profile": found, "usage": usages(found, ASSUMED["load"]["orders_per_second"]), "fixed": fixed(found)}


def usages(found: Mapping[str, Any], orders_per_second: float) -> dict[str, Usage]:
    """What one order takes: of the chain, of Handoff for the same work, and of all that Handoff does."""
    steps = invocations_of(found)
    same = [steps[name] for name in WHAT_THE_CHAIN_DOES]
    chain = found["chain"]
    rate = orders_per_second
    alone = [Invocation("chain", chain["function"], 1, chain["counts"])]
    return {
        "chain": usage(alone, rate),
        "same work": usage(same, rate, targets=2),
        "everything": usage(list(steps.values()), rate, targets=5, audited=found["event_bytes"]),
    }


def usage(steps: list[Invocation], rate: float, *, targets: int = 0, audited: int = 0) -> Usage:
    """Quantities of one order. ``targets``: queues that its events are put into; ``audited``: bytes of its events."""
    behind = [step for step in steps if step.name.partition(":")[2]]
    invocations = sum(step.share for step in steps)
    lines = sum((_size(*_PLATFORM_LINES) + step.counts["log_bytes"]) * step.share for step in steps)
    return {
        "http_api_request": 1,
        "lambda_request": invocations,
        "lambda_gb_second": sum(step.milliseconds / 1000 * _memory_gb(step.function) * step.share for step in steps),
        "dynamodb_write": sum(step.units("write_units") * step.share for step in steps),
        "dynamodb_read": sum(step.units("read_units") * step.share for step in steps),
        "eventbridge_event": sum(step.counts["events"] * step.share for step in steps),
        "eventbridge_archive_gb": audited / GB,
        # EventBridge puts a message in, Lambda takes a batch and deletes it.
        "sqs_request": targets + 2 * sum(ceil(step.batch / _PER_RECEIVE) / step.batch for step in behind),
        "ses_mail": sum(step.counts["operations"].get("sesv2.SendEmail", 0) * step.share for step in steps),
        "logs_gb": (lines + _size(_ACCESS_LINE) + audited) / GB,
        "xray_trace": invocations * sampled(rate),
    }


def sampled(orders_per_second: float) -> float:
    """The share of requests that X-Ray records by its default rule; what follows a request is recorded with it."""
    tracing = ASSUMED["tracing"]
    beyond = max(0.0, orders_per_second - tracing["per_second"])
    return float((orders_per_second - beyond + beyond * tracing["share"]) / orders_per_second)


def fixed(found: Mapping[str, Any]) -> Usage:
    """What a month takes of Handoff even if nobody orders anything."""
    queues = len(template.of_type("AWS::Lambda::EventSourceMapping"))
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
        "alarm": len(template.of_type("AWS::CloudWatch::Alarm")),
    }


def price(used: Mapping[str, float], name: str) -> float:
    """What this quantity costs, in dollars."""
    return used.get(name, 0.0) * float(PRICES[name]["usd"]) / float(PRICES[name]["per"])


def total(used: Mapping[str, float]) -> float:
    """What all of it costs, in dollars."""
    return sum(price(used, name) for name in used)


def _memory_gb(function: str) -> float:
    """The chain's function is given as much as the one that answers customers."""
    return memory_gb("OrdersFunction" if function == "ChainFunction" else function)


def _size(*lines: str) -> int:
    return sum(len(line) + LOG_OVERHEAD for line in lines)


def section(results: Mapping[str, Any], folder: Path) -> str:
    """The section of docs/reference/benchmarks.md."""
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
        read=PRICES["read"],
        region=PRICES["region"],
        rate=ASSUMED["load"]["orders_per_second"],
        bill=table(["service", "the chain", "Handoff, the same work", "Handoff, everything"], rows),
        quantities=table(["of one order", "the chain", "the same work", "everything", "price"], quantities),
        fixed=table(["of one month", "quantity", "price", "USD"], monthly),
        verdict=_verdict(used, sums),
    )


_TEXT = """\
## What a million orders cost

One order of {lines} lines was run in moto through Handoff and through the chain that it replaces, which is made of the
same parts ([request_chain.py](../../bench/baseline/request_chain.py)), and every call that went over the wire was
counted with its DynamoDB units, as were the bytes that were logged.
Times are not measured here: they are the calls one after the other, with the
latencies of [assumptions.toml](../../bench/assumptions.toml). Prices are list prices
in {region}, read on {read}, without free tiers and without what a provider takes for a payment
([prices.toml](../../bench/prices.toml) names the page of each).

US dollars for a million orders:

{bill}

![What a million orders cost, without mails](benchmarks/costs.png)

*The same work* is what the chain does as well: placing, paying, stock, one mail, sales. *Everything* adds the shipment,
its payment, a second mail, the archive and the audit log. {verdict}

Where that comes from, for one order (X-Ray at {rate} orders a second):

{quantities}

What costs money even if nobody orders anything, in US dollars a month:

{fixed}

Custom metrics are those of one order's way and of the sweeper. Storage, backups and Cognito grow with customers and
years, not with the order, and are left out on both sides.
"""


def _verdict(used: Mapping[str, Usage], sums: list[float]) -> str:
    chain, same, everything = sums
    beyond = {
        service: sum(price(used["same work"], name) - price(used["chain"], name) for name in names) * MILLION
        for service, names in SERVICES.items()
    }
    dearest = sorted(beyond, key=lambda service: -beyond[service])[:3]
    cheaper = min(beyond, key=lambda service: beyond[service])
    story = ASSUMED["chain"]
    seconds = {"lambda_gb_second": story["story_ms"] / 1000 * _memory_gb("ChainFunction")}
    slower = (total(seconds) - price(used["chain"], "lambda_gb_second")) * MILLION
    mail = {column: price(used[column], "ses_mail") / total(used[column]) for column in used}
    relation = "more" if same > chain else "less"
    return (
        f"For the same work Handoff costs {abs(same / chain - 1):.0%} {relation} than the chain "
        f"({same - chain:+,.2f} USD): it saves {-beyond[cheaper]:,.2f} USD of *{cheaper}*, because the mail is waited "
        f"for in a smaller function, and pays for its durability with "
        + ", ".join(f"{beyond[service]:,.2f} USD of *{service}*" for service in dearest)
        + f". All that it does costs {everything / chain:.2f} times the chain. Of the chain's bill {mail['chain']:.0%} "
        f"are mails, of Handoff's {mail['everything']:.0%}. Both are timed by the same latencies; with the "
        f"{story['story_ms']:,} ms that the chain takes in its own story it would cost {slower:,.2f} USD more."
    )


def _draw(used: Mapping[str, Usage], path: Path) -> None:
    """The bills without their mails, which would hide the rest."""
    figure = Figure(figsize=(8, 4.5), dpi=110, layout="tight")
    axes = figure.subplots()
    names = {"chain": "the chain", "same work": "Handoff,\nthe same work", "everything": "Handoff,\neverything"}
    left = dict.fromkeys(names, 0.0)
    for (service, prices), colour in zip(_drawn().items(), _COLOURS, strict=True):
        widths = {column: sum(price(used[column], name) for name in prices) * MILLION for column in names}
        axes.barh(list(names.values()), list(widths.values()), left=list(left.values()), label=service, color=colour)
        left = {column: left[column] + width for column, width in widths.items()}
    axes.set(xlabel="US dollars for a million orders, without mails")
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=4, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _drawn() -> dict[str, tuple[str, ...]]:
    """The services of the plot: few enough to tell apart."""
    together = {
        "Lambda": ("Lambda, requests", "Lambda, time"),
        "DynamoDB": ("DynamoDB, writes", "DynamoDB, reads"),
        "EventBridge": ("EventBridge",),
        "SQS": ("SQS",),
        "logs": ("CloudWatch Logs",),
        "traces": ("X-Ray",),
        "HTTP API": ("HTTP API",),
    }
    return {
        name: tuple(part for service in services for part in SERVICES[service]) for name, services in together.items()
    }


def _price(name: str) -> str:
    entry = PRICES[name]
    per = "" if entry["per"] == 1 else f" for {entry['per']:,}"
    return f"{entry['usd']:g} USD{per}"
