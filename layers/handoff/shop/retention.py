"""Retention: the personal data of orders that ended long ago is erased; the amounts stay.

Once a day a pass reads all orders, a part in each sweep, because no index has the orders by age: an index would cost a
write for each order, and lack the orders of earlier releases.
"""

from handoff import aws
from handoff.clock import Deadline, now_ms, to_iso
from handoff.errors import ConcurrentUpdate, TransientError
from handoff.telemetry import logger
from shop.erasing import OrderEraser
from shop.order_store import OrderStore
from shop.retention_cursor import RetentionCursor

_DAY = 86_400_000  # ms
_SECONDS = 5.0  # of a sweep
_READ = 200  # orders in one call


class Retention:
    """Erases orders whose last step is more than ``days`` ago, during one sweep. With 0 days, orders are kept."""

    def __init__(self, orders: OrderStore, eraser: OrderEraser, cursor: RetentionCursor, days: int) -> None:
        self._orders = orders
        self._eraser = eraser
        self._cursor = cursor
        self._days = days
        self.erased = 0
        self.failed = 0

    def run(self) -> None:
        """Continue the pass, if it is due. What fails is logged, and the next pass tries it again."""
        now, deadline = now_ms(), Deadline(_SECONDS)
        position = self._cursor.claim(now) if self._days else None
        if position is None:
            return
        until = to_iso(now - self._days * _DAY)
        while position is not None and deadline.remaining() > 0:
            order_ids, next_position = self._orders.scan_old(until, _READ, position)
            if not self._erase(order_ids, until, deadline):
                break  # the next sweep reads these orders again
            position = next_position
        self._cursor.keep(position, now)

    def _erase(self, order_ids: list[str], until: str, deadline: Deadline) -> bool:
        """Erase the orders among these whose last step is old enough; return whether there was time for all."""
        for order in self._orders.get_many(order_ids).values():
            if order.history[-1].at >= until:
                continue
            if deadline.remaining() <= 0:
                return False
            try:
                self.erased += not self._eraser.erase(order)
            except (ConcurrentUpdate, TransientError, aws.ConditionFailed, *aws.ERRORS) as error:
                self.failed += 1
                reason = aws.failure_reason(error)
                logger.warning("old order not erased", order_id=order.order_id, reason=reason, exc_info=error)
        return True
