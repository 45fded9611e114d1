"""The sweeper's work on orders: expire orders that were not completed in time, and settle payments that are due."""

from handoff.clock import Deadline, now_ms
from handoff.telemetry import logger
from shop import transitions
from shop.model import Order, PaymentState, Status
from shop.order_store import OrderStore
from shop.payments import Payments
from shop.settlement import settle

STUCK_AFTER = 23 * 3_600_000  # ms: from here on nothing new is held under the old keys, and an operator should look
_WRITE_SECONDS = 10.0


class OrderFinisher:
    """Finishes orders during one sweep; `finish` is the callback of `handoff.sweep.Swept`."""

    def __init__(self, orders: OrderStore, payments: Payments) -> None:
        self._orders = orders
        self._payments = payments
        self.expired = 0
        self.settled = 0
        self.refused = 0
        self.stuck = 0
        self.expiring = 0

    def finish(self, order: Order) -> None:
        """Expire a PENDING order whose time has come, and settle a payment that is due.

        Raises
        ------
        ConcurrentUpdate, TransientError
            If another writer was faster, or the provider gave no definite answer.
        """
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
            "PaymentsStuck": self.stuck,
            "HoldsExpiring": self.expiring,
        }

    def _expire(self, order: Order) -> Order | None:
        """Expire a PENDING order if its time has come; otherwise reschedule it for then."""
        now = now_ms()
        due = max(order.expires_at, order.lease_until)
        if now < due:
            self._orders.unfinished.reschedule(order.order_id, due)
            return None
        expired = self._orders.transition(transitions.expired(order, now), Deadline(_WRITE_SECONDS))
        self.expired += 1
        logger.info("order expired", outcome="expired")
        return expired

    def _settle(self, order: Order) -> None:
        due = order.payment_due
        if due and now_ms() - due.since > STUCK_AFTER:
            self.stuck += 1
            logger.error("payment due for 23 hours")
        if due and due.action == "capture" and order.hold_is_half_over(now_ms()):
            self.expiring += 1
            logger.error("payment hold past half its life and not captured")
        settled = settle(self._orders, self._payments, order, Deadline(_WRITE_SECONDS))
        self.settled += 1
        if settled.payment.state is PaymentState.FAILED:
            self.refused += 1
            logger.error("payment refused", outcome="refused", reason=settled.payment.reason)
        else:
            logger.info("payment settled", outcome="settled", payment=settled.payment.state)
