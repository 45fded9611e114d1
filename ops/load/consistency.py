"""Whether a stack is consistent after a load test: its orders, stock, sales, queues and dead letters."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from functools import partial
from typing import Any

from handoff import aws
from handoff.clock import Deadline, now_ms, to_iso
from ops import smoke
from ops.load.measure import backlog
from ops.load.stage import PREFIX, Stage
from ops.polling import until
from ops.smoke import Check
from ops.smoke_order import expect
from shop.sales_report import PagePosition, SalesReport

_PAGE = 1_000  # rows of the sales
_READ_SECONDS = 60.0
_EVERY = 2.0  # seconds between two tries
_SHOWN = 3  # of several problems
_ENDED = {"CANCELLED": "voided", "PREPARED": "captured"}  # the payment of an order with this status

Item = Mapping[str, Any]


class Consistency:
    """Checks of the orders of a load test, against the stock, the sales and the dead letters before it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._deployment = stage.deployment
        self._began = _today()
        self._stock = self._available()
        self._sales = self._sold()
        self._dead_letters = smoke.dead_letters(self._deployment)

    def stored(self, order_ids: Iterable[str]) -> dict[str, Item]:
        """Return the orders as they are now, by id, without those that do not exist."""
        found: dict[str, Item] = {
            **aws.batch_get(self._deployment.dynamodb, self._deployment.resource("OrdersTable"), "orderId", order_ids)
        }
        return found

    def check(
        self, sent: Iterable[str], answered: Iterable[str], within: float, show: Callable[[str], None]
    ) -> list[Check]:
        """Return the checks; repeat them until all pass, or ``within`` seconds are over.

        ``sent`` are the ids of all orders, ``answered`` of those whose answer was that they are placed. ``show`` gets
        what does not pass yet.
        """
        wanted, kept = list(sent), set(answered)
        ended: dict[str, Item] = {}
        shown = ""

        def checks() -> list[Check]:
            now = self.stored(order_id for order_id in wanted if order_id not in ended)
            ended.update({order_id: order for order_id, order in now.items() if not _open_because(order)})
            found = self._checks({**now, **ended}, kept)
            nonlocal shown
            waits_for = next((check.what for check in found if not check.passed), "")
            if waits_for not in {shown, ""}:
                show(f"Not yet: {waits_for}")
            shown = waits_for
            return found

        return until(checks, lambda found: all(check.passed for check in found), within, every=_EVERY)

    def _checks(self, orders: Mapping[str, Item], answered: set[str]) -> list[Check]:
        logs = "handoff order ORDER_ID, and the log of the sweeper"
        return [
            smoke.check(
                "answered orders are stored", "the log of the orders function", partial(_kept, orders, answered)
            ),
            smoke.check("no order is unfinished", logs, partial(_all_ended, orders)),
            smoke.check("the stock adds up", f"the products {PREFIX}*", partial(self._stock_adds_up, orders)),
            smoke.check("the sales add up", "handoff dlq list analytics", partial(self._sales_add_up, orders)),
            smoke.check("the consumers have handled every event that is due", "handoff lag", self._no_backlog),
            smoke.check(
                "no new dead letters", "handoff dlq list", lambda: smoke.none_new(self._dead_letters, self._deployment)
            ),
        ]

    def _stock_adds_up(self, orders: Mapping[str, Item]) -> str:
        """Units of orders that keep their stock are missing, and no others."""
        taken, now = _units(orders.values()), self._available()
        wrong = [
            f"{sku} has {now.get(sku)}, not {before - taken[sku]}"
            for sku, before in self._stock.items()
            if now.get(sku) != before - taken[sku]
        ]
        expect(not wrong, _several(wrong))
        return f"{taken.total()} units are sold, the others are back" if taken else "all units are back"

    def _sales_add_up(self, orders: Mapping[str, Item]) -> str:
        """The counters of the test's products have grown by the orders that are not cancelled."""
        sold, now = _units(order for order in orders.values() if "placedAt" in order), self._sold()
        wrong = [
            f"{now[sku] - self._sales[sku]} units of {sku} were counted, {sold[sku]} sold"
            for sku in self._stage.skus
            if now[sku] - self._sales[sku] != sold[sku]
        ]
        expect(not wrong, _several(wrong))
        return f"{sold.total()} units are counted"

    def _no_backlog(self) -> str:
        waiting = backlog(self._deployment)
        expect(not waiting, f"{waiting} events are due")
        return "no queue holds an event that is due"

    def _available(self) -> dict[str, int]:
        table = self._deployment.resource("ProductsTable")
        found = aws.batch_get(self._deployment.dynamodb, table, "sku", self._stage.skus)
        return {sku: int(product["available"]) for sku, product in found.items()}

    def _sold(self) -> Counter[str]:
        """Return the units of each of the test's products that the sales count, since the day of the test."""
        report = SalesReport(
            self._deployment.dynamodb,
            self._deployment.resource("SalesTable"),
            int(self._deployment.parameters["SalesShards"]),
        )
        units: Counter[str] = Counter()
        day = date.fromisoformat(self._began)
        while day.isoformat() <= _today():
            position: PagePosition | None = PagePosition(day.isoformat(), PREFIX)
            while position and position.sku.startswith(PREFIX):
                page = report.page(
                    position.day, position.day, limit=_PAGE, after=position, deadline=Deadline(_READ_SECONDS)
                )
                units.update({row.sku: row.units for row in page.rows if row.sku.startswith(PREFIX)})
                position = page.next_position
            day += timedelta(days=1)
        return units


def _kept(orders: Mapping[str, Item], answered: set[str]) -> str:
    missing = sorted(answered - orders.keys())
    expect(not missing, f"{len(missing)} were answered with 201 and do not exist: {_several(missing)}")
    return f"{len(answered)} of {len(answered)}"


def _all_ended(orders: Mapping[str, Item]) -> str:
    unfinished = [f"{order_id} {reason}" for order_id, order in orders.items() if (reason := _open_because(order))]
    expect(not unfinished, f"{len(unfinished)} of {len(orders)}: {_several(unfinished)}")
    counts = Counter(order["status"] for order in orders.values())
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "no orders"


def _open_because(order: Item) -> str:
    """Return what an order still waits for; empty if it has ended and its payment with it."""
    payment = order["payment"]["state"]
    if order.get("outbox"):
        return "has an event to publish"
    if "paymentDue" in order:
        return f"has a payment to settle ({order['paymentDue']['action']})"
    if order["status"] in {"PENDING", "PLACED"} or payment != _ENDED.get(order["status"], payment):
        return f"is {order['status']}, its payment {payment}"
    return ""


def _units(orders: Iterable[Item]) -> Counter[str]:
    """Return the units of each product in orders that keep them."""
    units: Counter[str] = Counter()
    for order in orders:
        if order["status"] not in {"CANCELLED", "REJECTED"}:
            units.update({line["sku"]: line["quantity"] for line in order["lines"]})
    return units


def _several(problems: list[str]) -> str:
    more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return "; ".join(problems[:_SHOWN]) + more


def _today() -> str:
    return to_iso(now_ms())[:10]
