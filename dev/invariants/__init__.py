"""Invariants of a system that has no work left: the promises P1 to P4, P7 and P9 to P11.

Each check reads a snapshot and returns its violations. `dev.demo.orders.take_snapshot` reads a deployed stack,
`dev.simulated.world.World.snapshot` a simulated one. The checks assume that stock changes by orders only.
"""

from collections.abc import Iterable, Mapping

from dev.invariants.effects import ON_ITS_WAY, mails_are_sent, mails_are_true, sales_are_exact
from dev.invariants.limits import limits_are_complete, limits_are_fair
from dev.invariants.money import (
    amounts_agree,
    money_has_owners,
    payments_are_settled,
    refunds_are_in_the_ledger,
    refunds_are_within_the_capture,
)
from dev.invariants.orders import (
    answers_are_kept,
    every_event_is_published,
    histories_are_sound,
    index_is_empty,
    nothing_is_unfinished,
    placed_orders_are_processed,
    queues_are_empty,
    settled_orders_keep_no_token,
    shipments_are_paid,
    stock_adds_up,
)
from dev.invariants.snapshot import Harm, Item, Mail, Snapshot, Violation, counters, harms, order_in

__all__ = [
    "ON_ITS_WAY",
    "Harm",
    "Mail",
    "Snapshot",
    "Violation",
    "amounts_agree",
    "answers_are_kept",
    "check",
    "check_tables",
    "counters",
    "every_event_is_published",
    "harms",
    "histories_are_sound",
    "index_is_empty",
    "limits_are_complete",
    "limits_are_fair",
    "mails_are_sent",
    "mails_are_true",
    "money_has_owners",
    "nothing_is_unfinished",
    "order_in",
    "payments_are_settled",
    "placed_orders_are_processed",
    "queues_are_empty",
    "refunds_are_in_the_ledger",
    "refunds_are_within_the_capture",
    "sales_are_exact",
    "settled_orders_keep_no_token",
    "shipments_are_paid",
    "stock_adds_up",
]


def check(snapshot: Snapshot, loaded: Mapping[str, int], answered: Iterable[Item] = ()) -> list[Violation]:
    """Return all violations in a quiet system, given each product's initial stock and the answers 201.

    Of the answers only the ``orderId`` is required.
    """
    return [
        *check_tables(snapshot, loaded),
        *answers_are_kept(snapshot, answered),
        *placed_orders_are_processed(snapshot),
        *mails_are_sent(snapshot),
        *mails_are_true(snapshot),
    ]


def check_tables(snapshot: Snapshot, loaded: Mapping[str, int]) -> list[Violation]:
    """Return the violations that do not depend on the consumers having handled every event."""
    return [
        *nothing_is_unfinished(snapshot),
        *histories_are_sound(snapshot),
        *stock_adds_up(snapshot, loaded),
        *money_has_owners(snapshot),
        *amounts_agree(snapshot),
        *payments_are_settled(snapshot),
        *refunds_are_in_the_ledger(snapshot),
        *refunds_are_within_the_capture(snapshot),
        *shipments_are_paid(snapshot),
        *sales_are_exact(snapshot),
        *settled_orders_keep_no_token(snapshot),
        *limits_are_fair(snapshot),
    ]
