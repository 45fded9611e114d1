"""The relay: publishes the rows of the outbox at least once, and those of one order in sequence.

A row is removed after the bus has accepted its event. If the process dies in between, the event is published again,
under the same event id, which consumers recognize. Any number of relays may run:

- A database with ``SKIP LOCKED`` (PostgreSQL, MySQL 8) gives each relay other rows. They stay locked until the relay
  commits or dies.
- SQLite locks no rows. There, a lease lets one relay work at a time; another one takes over once it has expired.
"""

import time
from collections.abc import Callable, Sequence

from sqlalchemy import Engine, Select, delete, exists, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from handoff import ids
from handoff.bus import ENTRIES_PER_CALL, LONGEST_PATIENT_PUBLISH, Bus
from handoff.clock import now_ms
from handoff.model import OutboxEntry
from relational_orders.tables import Lease, OutboxRow

LEASE_MS = 30_000  # much longer than one pass, which publishes once
assert LEASE_MS > 2000 * LONGEST_PATIENT_PUBLISH  # noqa: S101  # a constant, checked at import
_NAME = "outbox"
_PAUSE = 0.5  # seconds between two looks at an empty outbox


class Relay:
    """One relay of a database's outbox."""

    def __init__(self, engine: Engine, bus: Bus) -> None:
        self._engine = engine
        self._bus = bus
        self._id = ids.unique()
        self._locks_rows = engine.dialect.name != "sqlite"

    def run(self, running: Callable[[], bool]) -> None:
        """Publish events as they come, while ``running``."""
        while running():
            if not self.run_once():
                time.sleep(_PAUSE)

    def run_once(self) -> int:
        """Publish the oldest event of up to ten orders; return how many events the bus accepted."""
        if not self._locks_rows and not self._has_lease():
            return 0
        with Session(self._engine) as session, session.begin():
            rows = session.scalars(oldest_of_each_order()).all()
            if not rows:
                return 0
            accepted = self._publish(rows)
            key = tuple_(OutboxRow.aggregate_id, OutboxRow.sequence)
            session.execute(delete(OutboxRow).where(key.in_([(row.aggregate_id, row.sequence) for row in accepted])))
        return len(accepted)

    def _publish(self, rows: Sequence[OutboxRow]) -> list[OutboxRow]:
        entries = [
            OutboxEntry(source=row.source, detail_type=row.detail_type, detail=row.detail, trace=row.trace)
            for row in rows
        ]
        return [row for row, taken in zip(rows, self._bus.publish(entries), strict=True) if taken]

    def _has_lease(self) -> bool:
        """Take or extend the lease; return whether it is ours."""
        now = now_ms()
        ours = {"owner": self._id, "until": now + LEASE_MS}
        free = (Lease.until < now) | (Lease.owner == self._id)
        with Session(self._engine) as session, session.begin():
            if session.get(Lease, _NAME) is not None:
                taken = session.connection().execute(update(Lease).where(Lease.name == _NAME, free).values(**ours))
                return taken.rowcount == 1
        try:
            with Session(self._engine) as session, session.begin():
                session.execute(insert(Lease).values(name=_NAME, **ours))
        except IntegrityError:  # another relay was first
            return False
        return True


def oldest_of_each_order() -> Select[OutboxRow]:
    """Select the oldest row of up to ten orders, which this transaction locks.

    The younger rows of an order wait until its oldest is removed, so no other relay overtakes it.
    """
    older = aliased(OutboxRow)
    is_younger = exists().where(older.aggregate_id == OutboxRow.aggregate_id, older.sequence < OutboxRow.sequence)
    chosen = select(OutboxRow).where(~is_younger).order_by(OutboxRow.written_at).limit(ENTRIES_PER_CALL)
    return chosen.with_for_update(skip_locked=True)
