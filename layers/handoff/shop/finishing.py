"""The sweeper's work on orders: look whether customers have acted, expire orders, and settle payments that are due.

It also watches holds that near their end without a capture.
"""

from handoff.bus import Bus
from handoff.clock import Deadline, now_ms
from handoff.telemetry import logger
from shop import transitions
from shop.model import Order, Status
from shop.order_store import OrderStore
from shop.payment_alarms import new_alarms
from shop.payments import Payments
from shop.placing import LOOK_AFTER
from shop.reconciling import reconcile
from shop.settlement import refusal, settle

STUCK_AFTER = 23 * 3_600_000  # ms: from here on nothing new is held under the old keys, and an operator should look
_WRITE_SECONDS = 10.0


class OrderFinisher:
    """Finishes orders during one sweep; `finish` is the callback of `handoff.sweep.Swept`."""

    def __init__(self, orders: OrderStore, payments: Payments, bus: Bus) -> None:
        self._orders = orders
        self._payments = payments
        self._bus = bus
        self.expired = 0
        self.settled = 0
        self.refused = 0
        self.disputed = 0
        self.stuck = 0
        self.expiring = 0

    def finish(self, order: Order) -> None:
        """Expire a PENDING order whose time has come, and settle a payment that is due.

        Raises
        ------
        ConcurrentUpdate, TransientError
            If another writer was faster, or the provider gave no definite answer.
        """
        if order.waits_for_customer:
            order = self._look(order)
        if order.status is Status.PENDING:
            expired = self._expire(order)
            if expired is None:
                return
            order = expired
        if order.payment_due:
            self._settle(order)

    def report(self) -> dict[str, int]:
        """Return the counts by the names of their metrics."""
        return {
            "OrdersExpired": self.expired,
            "PaymentsSettled": self.settled,
            "PaymentsFailed": self.refused,
            "PaymentsDisputed": self.disputed,
            "PaymentsStuck": self.stuck,
            "HoldsExpiring": self.expiring,
        }

    def _look(self, order: Order) -> Order:
        """Return the order as it is after its customer's action, if there was one.

        Without an answer of the provider it does not expire: the customer may have paid.
        """
        found = self._payments.look_up(order.payment.reference or "")
        if found is None:
            return order
        looked_at = reconcile(self._orders, self._bus, order, found, Deadline(_WRITE_SECONDS))
        alarms = new_alarms(order, looked_at)
        self.refused += alarms["PaymentsFailed"]
        self.disputed += alarms["PaymentsDisputed"]
        return looked_at

    def _expire(self, order: Order) -> Order | None:
        """Expire a PENDING order if its time has come; otherwise reschedule it for then, or for the next look."""
        now = now_ms()
        due = max(order.expires_at, order.lease_until)
        if now < due:
            next_look = now + LOOK_AFTER if order.waits_for_customer else due
            self._orders.keep_pending(order, min(next_look, due), Deadline(_WRITE_SECONDS))
            return None
        expired = self._orders.transition(transitions.expired(order, now), Deadline(_WRITE_SECONDS))
        self.expired += 1
        logger.info("order expired", outcome="expired")
        return expired

    def _settle(self, order: Order) -> None:
        due = order.payment_due
        waits_for_provider = due and due.action == "refund" and not order.due_refunds  # normal for days
        if due and now_ms() - due.since > STUCK_AFTER and not waits_for_provider:
            self.stuck += 1
            logger.error("payment due for 23 hours")
        if due and due.action == "capture" and order.hold_is_half_over(now_ms()):
            self.expiring += 1
            logger.error("payment hold past half its life and not captured")
        settled = settle(self._orders, self._payments, order, Deadline(_WRITE_SECONDS))
        self.settled += 1
        reason = refusal(order, settled)
        if reason:
            self.refused += 1
            logger.error("payment refused", outcome="refused", reason=reason)
        else:
            logger.info("payment settled", outcome="settled", payment=settled.payment.state)
