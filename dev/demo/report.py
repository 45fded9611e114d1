"""The report of `make run`."""

from collections import Counter
from collections.abc import Mapping
from statistics import median
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from dev.demo.orders import PlacedOrders
from dev.invariants import Snapshot
from shop import money


def show(console: Console, placed: PlacedOrders, snapshot: Snapshot) -> None:
    """Print each answer with its time, and the effects behind the queues."""
    console.print(_answers(placed))
    console.print(_orders(snapshot))
    others = Counter(mail.subject for mail in snapshot.mails if not mail.about)
    console.print(*(f"Other mails: {subject} ({count})" for subject, count in others.items()), sep="\n")
    console.print(_sales(snapshot))
    console.print(_consumers(snapshot))


def _answers(placed: PlacedOrders) -> Table:
    table = Table("request", "status", "answered in", "summary", title="Answers", title_justify="left")
    for sent in placed.requests:
        answer = sent.answer
        table.add_row(sent.label, str(answer.status), f"{answer.milliseconds:.0f} ms", escape(_summary(answer.body)))
    return table


def _summary(body: Mapping[str, Any]) -> str:
    """Return the detail of a problem, or else what became of a refund, an order or a payment in the sandbox."""
    what = body.get("refundId") or body.get("status") or f"the payment is {body.get('state')}"
    return str(body.get("detail") or f"{what} {body.get('orderId', '')}".strip())


def _orders(snapshot: Snapshot) -> Table:
    table = Table(
        Column("order", no_wrap=True), "status", "payment", "shipment", "refunded", "mails", title="Orders",
        title_justify="left",
    )  # fmt: skip
    shipments = {shipment["orderId"]: shipment["state"] for shipment in snapshot.shipments}
    for order in snapshot.orders:
        order_id = order["orderId"]
        subjects = Counter(mail.subject for mail in snapshot.mails if mail.about == order_id)
        table.add_row(
            order_id,
            order["status"],
            order["payment"]["state"],
            shipments.get(order_id, "-"),
            _refunded(order),
            "\n".join(f"{subject}" + (f" x{count}" if count > 1 else "") for subject, count in subjects.items()) or "-",
        )
    return table


def _refunded(order: Mapping[str, Any]) -> str:
    """Return the refunded amount, and whether units are back in stock."""
    done = [refund for refund in order.get("refunds", {}).values() if refund["state"] == "refunded"]
    if not done:
        return "-"
    amount = money.shown(sum(refund["amount"] for refund in done), order["currency"])
    return f"{amount}, back in stock" if any(refund.get("restock") for refund in done) else amount


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
    for name, lags in snapshot.lags.items():
        table.add_row(
            name,
            str(len(lags)),
            f"{median(lags):.0f} ms" if lags else "-",
            f"{max(lags)} ms" if lags else "-",
            str(snapshot.waiting[name]),
            str(snapshot.dead_letters[name]),
        )
    return table
