"""What the demonstration prints."""

from collections import Counter
from statistics import median

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from dev.demo.orders import Outcome, Story, mail_summary
from ops.stack.deployment import CONSUMERS
from shop import money


def show(console: Console, story: Story, outcome: Outcome) -> None:
    """Print each answer with its time, and what happened behind the queues."""
    console.print(_answers(story))
    console.print(_orders(outcome))
    others = Counter(subject for subject, about in map(mail_summary, outcome.mails) if not about)
    console.print(*(f"Mailed besides: {subject} ({count})" for subject, count in others.items()), sep="\n")
    console.print(_sales(outcome))
    console.print(_consumers(outcome))


def _answers(story: Story) -> Table:
    table = Table("request", "status", "answered in", "it said", title="Answers", title_justify="left")
    for step in story.steps:
        body = step.answer.body
        said = body.get("detail") or f"{body['status']} {body['orderId']}"
        table.add_row(step.what, str(step.answer.status), f"{step.answer.milliseconds:.0f} ms", escape(said))
    return table


def _orders(outcome: Outcome) -> Table:
    table = Table(
        Column("order", no_wrap=True), "status", "payment", "shipment", "mails", title="Orders", title_justify="left"
    )
    shipments = {shipment["orderId"]: shipment["state"] for shipment in outcome.shipments}
    mails = [mail_summary(mail) for mail in outcome.mails]
    for order in outcome.orders:
        order_id = order["orderId"]
        subjects = Counter(subject for subject, about in mails if about == order_id)
        table.add_row(
            order_id,
            order["status"],
            order["payment"]["state"],
            shipments.get(order_id, "-"),
            "\n".join(f"{subject}" + (f" x{count}" if count > 1 else "") for subject, count in subjects.items()) or "-",
        )
    return table


def _sales(outcome: Outcome) -> Table:
    table = Table("sales of", "orders", "units", "revenue", title="Sales", title_justify="left")
    names = {product["sku"]: product["name"] for product in outcome.products}
    currency = next((order["currency"] for order in outcome.orders), "")
    for entry, count in sorted(outcome.sales.items()):
        name = names.get(entry.removeprefix("sku#"), "all products")
        table.add_row(escape(name), str(count["orders"]), str(count["units"]), money.shown(count["revenue"], currency))
    return table


def _consumers(outcome: Outcome) -> Table:
    table = Table(
        "consumer", "events", "lag, median", "lag, longest", "waiting", "dead letters", title="Consumers",
        title_justify="left",
    )  # fmt: skip
    for name in CONSUMERS:
        lags = outcome.lags[name]
        table.add_row(
            name,
            str(len(lags)),
            f"{median(lags):.0f} ms" if lags else "-",
            f"{max(lags)} ms" if lags else "-",
            str(outcome.waiting[name]),
            str(outcome.dead_letters[name]),
        )
    return table
