"""The report of `make run`."""

from collections import Counter
from statistics import median

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from dev.demo.orders import PlacedOrders
from dev.invariants import Snapshot
from ops.stack.deployment import CONSUMERS
from shop import money


def show(console: Console, placed: PlacedOrders, snapshot: Snapshot) -> None:
    """Print each answer with its time, and the effects behind the queues."""
    console.print(_answers(placed))
    console.print(_orders(snapshot))
    others = Counter(subject for subject, about in snapshot.mails if not about)
    console.print(*(f"Other mails: {subject} ({count})" for subject, count in others.items()), sep="\n")
    console.print(_sales(snapshot))
    console.print(_consumers(snapshot))


def _answers(placed: PlacedOrders) -> Table:
    table = Table("request", "status", "answered in", "summary", title="Answers", title_justify="left")
    for sent in placed.requests:
        body = sent.answer.body
        summary = body.get("detail") or f"{body['status']} {body['orderId']}"
        table.add_row(sent.label, str(sent.answer.status), f"{sent.answer.milliseconds:.0f} ms", escape(summary))
    return table


def _orders(snapshot: Snapshot) -> Table:
    table = Table(
        Column("order", no_wrap=True), "status", "payment", "shipment", "mails", title="Orders", title_justify="left"
    )
    shipments = {shipment["orderId"]: shipment["state"] for shipment in snapshot.shipments}
    for order in snapshot.orders:
        order_id = order["orderId"]
        subjects = Counter(subject for subject, about in snapshot.mails if about == order_id)
        table.add_row(
            order_id,
            order["status"],
            order["payment"]["state"],
            shipments.get(order_id, "-"),
            "\n".join(f"{subject}" + (f" x{count}" if count > 1 else "") for subject, count in subjects.items()) or "-",
        )
    return table


def _sales(snapshot: Snapshot) -> Table:
    table = Table("sales of", "orders", "units", "revenue", title="Sales", title_justify="left")
    names = {product["sku"]: product["name"] for product in snapshot.products}
    currency = next((order["currency"] for order in snapshot.orders), "")
    for entry, count in sorted(snapshot.totals.items()):
        name = names.get(entry.removeprefix("sku#"), "all products")
        table.add_row(escape(name), str(count["orders"]), str(count["units"]), money.shown(count["revenue"], currency))
    return table


def _consumers(snapshot: Snapshot) -> Table:
    table = Table(
        "consumer", "events", "lag, median", "lag, longest", "waiting", "dead letters", title="Consumers",
        title_justify="left",
    )  # fmt: skip
    for name in CONSUMERS:
        lags = snapshot.lags[name]
        table.add_row(
            name,
            str(len(lags)),
            f"{median(lags):.0f} ms" if lags else "-",
            f"{max(lags)} ms" if lags else "-",
            str(snapshot.waiting[name]),
            str(snapshot.dead_letters[name]),
        )
    return table
