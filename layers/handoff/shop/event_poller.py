"""Polling: ask the payment provider for its events, and publish those that no webhook has brought."""

from handoff.bus import ENTRIES_PER_CALL, Bus
from handoff.clock import now_ms, to_iso
from handoff.model import OutboxEntry
from handoff.sweep import Budget
from handoff.telemetry import logger
from shop import provider_events
from shop.event_cursor import EventCursor
from shop.payments import Payments, ProviderError, ProviderEvent

OVERLAP = 60_000  # ms: events of the same moment can be listed in any order, and late
POLLING_BUDGET = 10.0  # seconds a run, besides the call that is running when they are spent


class EventPoller:
    """Publishes the provider's events since the last run. ``published`` and ``failed`` count.

    ``age`` is how many seconds ago the events end that are published; None if this run did not ask.
    """

    def __init__(self, payments: Payments, cursor: EventCursor, bus: Bus) -> None:
        self._payments = payments
        self._cursor = cursor
        self._bus = bus
        self.published = 0
        self.failed = 0
        self.age: float | None = None

    def run(self) -> None:
        """Ask and publish until there are no more events, or the budget is spent.

        The cursor moves only over events that the bus has accepted. A run that ends anywhere else leaves it, and a
        later one publishes the same events again, with the same ids.

        Raises
        ------
        aws.ERRORS
            If the cursor can't be read or moved.
        """
        cursor = self._cursor.claim(now_ms())
        if cursor is None:
            return
        since = cursor - OVERLAP
        with Budget(POLLING_BUDGET) as budget:
            while not budget.spent:
                until = self._publish_from(since, budget)
                if until is None or until <= since:
                    break
                if until > cursor:
                    self._cursor.move(cursor, until)
                    cursor = until
                since = until
                if now_ms() - until < OVERLAP:  # the rest is for the next run
                    break
        self.age = (now_ms() - cursor) / 1000

    def _publish_from(self, since: int, budget: Budget) -> int | None:
        """Publish the next events from here on; return where they end, or None if not all are published."""
        try:
            happened = self._payments.happened(since)
        except ProviderError as error:
            self.failed += 1
            logger.warning(
                "provider's events not read", reason=type(error).__name__, since=to_iso(since), exc_info=error
            )
            return None
        entries = [made for event in happened.events if (made := _entry_or_log(event))]
        for start in range(0, len(entries), ENTRIES_PER_CALL):
            if budget.spent or not self._publish(entries[start : start + ENTRIES_PER_CALL]):
                return None
        return happened.until

    def _publish(self, entries: list[OutboxEntry]) -> bool:
        taken = self._bus.publish(entries)
        self.published += sum(taken)
        if all(taken):
            return True
        self.failed += 1
        logger.warning("provider's events not published", missing=len(taken) - sum(taken))
        return False


def _entry_or_log(event: ProviderEvent) -> OutboxEntry | None:
    """Return the event as an entry. One that can't be published is logged and skipped: it must not hold up others."""
    try:
        return provider_events.entry(event)
    except ValueError:
        logger.error("provider's event with a malformed id", outcome="ignored")
        return None
