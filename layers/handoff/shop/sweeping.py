"""Finishing what was left half done: unpublished events, open reservations, payments due.

The index is a hint, so every order is read again before anything is done about it. Two sweeps at once do no harm: each
write insists on what was read, events may come twice, and the provider knows its keys.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from handoff import aws, ids
from handoff.aws import TransactionConflict
from handoff.bus import ENTRIES_PER_CALL, Bus
from handoff.clock import Deadline, now_ms, to_iso
from handoff.telemetry import logger
from handoff.unfinished import A, IndexEntry, UnfinishedStore
from shop import transitions
from shop.customers import CustomerStore
from shop.model import Order, PaymentState, Status
from shop.order_store import ConcurrentUpdate, OrderStore
from shop.payments import Payments, ProviderError
from shop.settlement import settle

PUBLISHING_BUDGET = 40.0  # seconds a run
SETTLING_BUDGET = 20.0  # seconds a run, of its own, so that a dead provider does not hold up events
STUCK_AFTER = 23 * 3_600_000  # ms: from here on nothing new is held under the old keys, and a human had better look
_SHORTEST_PAUSE = 60_000  # ms
# ms: it ends within a run, so the run after that is the one that tries again, four minutes on. Alarms look at five.
_LONGEST_PAUSE = 180_000
_WRITE_SECONDS = 10.0
CLEARED_TOGETHER = aws.ITEMS_PER_WRITE


class Sweep:
    """One run. ``oldest_age`` is in seconds, 0 if nothing is unfinished."""

    def __init__(self, orders: OrderStore, customers: CustomerStore, payments: Payments, bus: Bus) -> None:
        self._orders = orders
        self._customers = customers
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
        self.expiring = 0

    def run(self, shards: Iterable[int]) -> None:
        """Look at everything unfinished in these shards, and finish what is due."""
        for shard in shards:
            for hints in self._orders.unfinished.hints(shard):
                self._look_at_orders(hints)
            for hints in self._customers.unfinished.hints(shard):
                self._look_at_customers(hints)

    def report(self) -> dict[str, int]:
        """What was done, by the names of its metrics."""
        return {
            "EventsSwept": self.published,
            "OrdersExpired": self.expired,
            "PaymentsSettled": self.settled,
            "PaymentsFailed": self.refused,
            "PaymentsStuck": self.stuck,
            "HoldsExpiring": self.expiring,
            "SweepFailures": self.failed,
        }

    def _look_at_orders(self, hints: Sequence[IndexEntry]) -> None:
        if self._publishing.spent and self._settling.spent:
            return
        due = self._publish_due(self._orders.unfinished, hints, self._orders.get_many)
        with self._settling:
            for order in due.values():
                if not self._settling.spent:
                    with logger.append_context_keys(**order.log_keys):
                        self._finish(order)

    def _look_at_customers(self, hints: Sequence[IndexEntry]) -> None:
        if not self._publishing.spent:
            due = self._publish_due(self._customers.unfinished, hints, self._customers.get_many)
            for user_id, customer in due.items():
                if not customer.outbox:
                    self._customers.unfinished.remove_from_index(user_id)

    def _publish_due(
        self, store: UnfinishedStore, hints: Sequence[IndexEntry], get_many: Callable[[Iterable[str]], dict[str, A]]
    ) -> dict[str, A]:
        """Publish the events of what is due, and return it as it was read."""
        now = now_ms()
        self.oldest_age = max([self.oldest_age, *((now - hint.unfinished_since) / 1000 for hint in hints)])
        due_hints = {hint.key: hint for hint in hints if hint.due_at <= now}
        # With its own time over, publishing is left out, and what is read is read for the payments.
        with self._settling if self._publishing.spent else self._publishing:
            due = get_many(due_hints)
            self._publish(store, due)
            for unreadable in due_hints.keys() - due.keys():
                self._put_off(store, unreadable, due_hints[unreadable].unfinished_since)
        return due

    def _publish(self, store: UnfinishedStore, aggregates: Mapping[str, A]) -> None:
        """Publish the outboxes, oldest event first, and take out what the bus took, many at a time."""
        waiting = [(key, sequence) for key, found in aggregates.items() for sequence in sorted(found.outbox, key=int)]
        for start in range(0, len(waiting), CLEARED_TOGETHER):
            published: dict[str, list[str]] = {}
            refused: list[str] = []
            for (key, sequence), taken in self._hand_over(aggregates, waiting[start : start + CLEARED_TOGETHER]):
                if taken:
                    published.setdefault(key, []).append(sequence)
                    keys = {**aggregates[key].log_keys, "event_id": ids.event_id(key, int(sequence))}
                    logger.info("event published", extra=keys, outcome="published")
                else:
                    refused.append(key)
            cleared = self._clear(store, aggregates, published)
            for key in dict.fromkeys([*refused, *(key for key in published if key not in cleared)]):
                with logger.append_context_keys(**aggregates[key].log_keys):
                    self._put_off(store, key, aggregates[key].unfinished_since)

    def _hand_over(
        self, aggregates: Mapping[str, A], waiting: Sequence[tuple[str, str]]
    ) -> Iterator[tuple[tuple[str, str], bool]]:
        """Give events to the bus, ten entries a call; each one that it was asked to take, and whether it did."""
        for start in range(0, len(waiting), ENTRIES_PER_CALL):
            if not self._bus_works or self._publishing.spent:
                return
            batch = waiting[start : start + ENTRIES_PER_CALL]
            taken = self._bus.publish([aggregates[key].outbox[sequence] for key, sequence in batch])
            self._bus_works = any(taken)
            yield from zip(batch, taken, strict=True)

    def _clear(self, store: UnfinishedStore, aggregates: Mapping[str, A], published: dict[str, list[str]]) -> set[str]:
        self.published += sum(map(len, published.values()))
        gone = {key: (aggregates[key], sequences) for key, sequences in published.items()}
        return store.clear_together(gone, Deadline(_WRITE_SECONDS)) if gone else set()

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
                self._orders.unfinished.remove_from_index(order.order_id)
        except ConcurrentUpdate:
            logger.info("order changed by another writer", outcome="conflict")
        except (ProviderError, TransactionConflict, *aws.ERRORS) as error:
            logger.warning("order not finished", reason=aws.failure_reason(error), exc_info=error)
            self._put_off(self._orders.unfinished, order.order_id, order.unfinished_since)

    def _expire(self, order: Order) -> Order | None:
        """Give a PENDING order up if its time has come; otherwise look again then."""
        now = now_ms()
        if now < max(order.expires_at, order.lease_until):
            self._orders.unfinished.reschedule(order.order_id, max(order.expires_at, order.lease_until))
            return None
        expired = self._orders.transition(transitions.expired(order, now), Deadline(_WRITE_SECONDS))
        self.expired += 1
        logger.info("order expired", outcome="expired")
        return expired

    def _settle(self, order: Order) -> None:
        if order.payment_due and now_ms() - order.payment_due.since > STUCK_AFTER:
            self.stuck += 1
            logger.error("payment due for 23 hours")
        if order.payment_due and order.payment_due.action == "capture" and order.hold_is_half_over(now_ms()):
            self.expiring += 1
            logger.error("payment hold past half its life and not captured")
        settled = settle(self._orders, self._payments, order, Deadline(_WRITE_SECONDS))
        self.settled += 1
        if settled.payment.state is PaymentState.FAILED:
            self.refused += 1
            logger.error("payment refused", outcome="refused", reason=settled.payment.reason)
        else:
            logger.info("payment settled", outcome="settled", payment=settled.payment.state)

    def _put_off(self, store: UnfinishedStore, key: str, unfinished_since: int | None) -> None:
        """Try again after as long as it has been unfinished, within bounds; its age goes on counting."""
        self.failed += 1
        now = now_ms()
        pause = min(max(now - (unfinished_since or now), _SHORTEST_PAUSE), _LONGEST_PAUSE)
        try:
            store.reschedule(key, now + pause)
            keys = {**store.log_keys(key), "until": to_iso(now + pause)}
            logger.info("retry rescheduled", extra=keys, outcome="rescheduled")
        except aws.ERRORS as error:
            keys = {**store.log_keys(key), "reason": aws.failure_reason(error)}
            logger.warning("retry not rescheduled; the next sweep tries again", extra=keys, exc_info=error)


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
