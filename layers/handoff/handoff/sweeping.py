"""Finishing what was left half done: unpublished events, open reservations, payments due.

The index is a hint, so every order is read again before anything is done about it. Two sweeps at once do no harm: each
write insists on what was read, events may come twice, and the provider knows its keys.
"""

import time
from collections.abc import Iterable, Sequence

from handoff import aws, transitions
from handoff.aws import Contended
from handoff.bus import ENTRIES_PER_CALL, Bus
from handoff.clock import Deadline, now_ms
from handoff.model import Order, PaymentState, Status
from handoff.order_store import OrderStore, Overtaken
from handoff.payments import Payments, ProviderError
from handoff.settlement import settle
from handoff.telemetry import logger
from handoff.unfinished import Hint, Remains

PUBLISHING_BUDGET = 20.0  # seconds a run
SETTLING_BUDGET = 20.0  # seconds a run, of its own, so that a dead provider does not hold up events
STUCK_AFTER = 23 * 3_600_000  # ms: providers forget their keys after 24 h; from here on it takes a human
_SHORTEST_PAUSE = 60_000  # ms
_LONGEST_PAUSE = 240_000  # ms: short of the five minutes over which the age alarm looks for the oldest
_WRITE_SECONDS = 10.0


class Sweep:
    """One run. ``oldest_age`` is in seconds, 0 if nothing is unfinished."""

    def __init__(self, orders: OrderStore, payments: Payments, bus: Bus) -> None:
        self._orders = orders
        self._payments = payments
        self._bus = bus
        self._publishing = Budget(PUBLISHING_BUDGET)
        self._settling = Budget(SETTLING_BUDGET)
        self._bus_works = True
        self.oldest_age = 0.0
        self.published = 0
        self.expired = 0
        self.settled = 0
        self.failed = 0
        self.refused = 0
        self.stuck = 0

    def run(self, shards: Iterable[int]) -> None:
        """Look at every unfinished order of these shards, and finish what is due."""
        for shard in shards:
            for hints in self._orders.unfinished.hints(shard):
                if self._publishing.spent and self._settling.spent:
                    return
                self._look_at(hints)

    def report(self) -> dict[str, int]:
        """What was done, by the names of its metrics."""
        return {
            "EventsSwept": self.published,
            "OrdersExpired": self.expired,
            "PaymentsSettled": self.settled,
            "PaymentsFailed": self.refused,
            "PaymentsStuck": self.stuck,
            "SweepFailures": self.failed,
        }

    def _look_at(self, hints: Sequence[Hint]) -> None:
        now = now_ms()
        self.oldest_age = max([self.oldest_age, *((now - hint.unfinished_since) / 1000 for hint in hints)])
        with self._publishing:
            due_hints = {hint.key: hint for hint in hints if hint.due_at <= now}
            due = self._orders.get_many(due_hints)
            self._publish([order for order in due.values() if order.outbox])
        for unreadable in due_hints.keys() - due.keys():
            self._put_off(unreadable, due_hints[unreadable].unfinished_since)
        with self._settling:
            for order in due.values():
                if not self._settling.spent:
                    self._finish(order)

    def _publish(self, orders: Sequence[Order]) -> None:
        """Publish the outboxes, oldest event first, ten entries a call."""
        waiting = [(order, sequence) for order in orders for sequence in sorted(order.outbox, key=int)]
        for start in range(0, len(waiting), ENTRIES_PER_CALL):
            if not self._bus_works or self._publishing.spent:
                return
            batch = waiting[start : start + ENTRIES_PER_CALL]
            taken = self._bus.publish([order.outbox[sequence] for order, sequence in batch])
            self._bus_works = any(taken)
            for order in {order.order_id: order for order, _ in batch}.values():
                mine = [(sequence, ok) for (of, sequence), ok in zip(batch, taken, strict=True) if of is order]
                self._clear(order, [sequence for sequence, ok in mine if ok])
                if not all(ok for _, ok in mine):
                    self._put_off(order.order_id, order.unfinished_since)

    def _clear(self, order: Order, published: list[str]) -> None:
        seen = Remains(frozenset(order.outbox), payment_due=order.payment_due is not None)
        self.published += len(published)
        if not self._orders.unfinished.clear(order.order_id, seen, published, Deadline(_WRITE_SECONDS)):
            self._put_off(order.order_id, order.unfinished_since)

    def _finish(self, order: Order) -> None:
        """Expire the order or settle its payment, if that is what is left to do."""
        try:
            if order.status is Status.PENDING:
                expired = self._expire(order)
                if expired is None:
                    return
                order = expired
            if order.payment_due:
                self._settle(order)
            elif not order.outbox:
                self._orders.unfinished.forget(order.order_id)
        except Overtaken:
            logger.info("Somebody else moved it on", order_id=order.order_id)
        except (ProviderError, Contended, *aws.ERRORS) as error:
            logger.warning("Not finished; tried again later", order_id=order.order_id, exc_info=error)
            self._put_off(order.order_id, order.unfinished_since)

    def _expire(self, order: Order) -> Order | None:
        """Give a PENDING order up if its time has come; otherwise look again then."""
        now = now_ms()
        if now < max(order.expires_at, order.lease_until):
            self._orders.unfinished.postpone(order.order_id, max(order.expires_at, order.lease_until))
            return None
        expired = self._orders.transition(transitions.expired(order, now), Deadline(_WRITE_SECONDS))
        self.expired += 1
        return expired

    def _settle(self, order: Order) -> None:
        if order.payment_due and now_ms() - order.payment_due.since > STUCK_AFTER:
            self.stuck += 1
            logger.error("A payment has been due for 23 hours", order_id=order.order_id)
        settled = settle(self._orders, self._payments, order, Deadline(_WRITE_SECONDS))
        self.settled += 1
        if settled.payment.state is PaymentState.FAILED:
            self.refused += 1
            logger.error("The provider refused to settle a payment", order_id=order.order_id)

    def _put_off(self, order_id: str, unfinished_since: int | None) -> None:
        """Try again after as long as it has been unfinished, within bounds; its age goes on counting."""
        self.failed += 1
        now = now_ms()
        pause = min(max(now - (unfinished_since or now), _SHORTEST_PAUSE), _LONGEST_PAUSE)
        try:
            self._orders.unfinished.postpone(order_id, now + pause)
        except aws.ERRORS as error:
            logger.warning("Not put off either; tried again in the next run", order_id=order_id, exc_info=error)


class Budget:
    """Time that a kind of work may take in all: it runs while the budget is entered."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._entered: float | None = None

    def __enter__(self) -> "Budget":
        self._entered = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._left = self._remaining()
        self._entered = None

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self._remaining() <= 0

    def _remaining(self) -> float:
        return self._left - (time.monotonic() - self._entered if self._entered is not None else 0)
