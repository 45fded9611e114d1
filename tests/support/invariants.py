"""The invariants of `dev.invariants` as assertions about a simulated world."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from dev import invariants
from dev.invariants import Harm, Snapshot, Violation, harms
from dev.simulated.world import World


class Observed(Protocol):
    """A system that can be read."""

    def snapshot(self) -> Snapshot:
        """Read its present state."""


def check(world: World, loaded: Mapping[str, int]) -> None:
    """Check a world without unpublished events; ``loaded`` is each product's initial stock."""
    assert not _tables(world.snapshot(), loaded)


def check_all(
    world: World, loaded: Mapping[str, int], placed: Iterable[Mapping[str, Any]] = (), mail_repeats: int = 0
) -> None:
    """Check a world whose consumers have handled every event.

    ``placed`` are the bodies of all answers 201. Up to ``mail_repeats`` mails may be doubled: one for each fault in the
    e-mail function.
    """
    dead_letters = {name: len(world.queues.dead_letters(name)) for name in world.queues.names}
    waiting = {name: world.queues.waiting(name) for name in world.queues.names}
    snapshot = replace(world.snapshot(), waiting=waiting, dead_letters=dead_letters)
    violations = [
        *_tables(snapshot, loaded),
        *invariants.answers_are_kept(snapshot, placed),
        *invariants.placed_orders_are_processed(snapshot),
        *invariants.mails_are_sent(snapshot),
        *invariants.mails_are_true(snapshot),
        *invariants.queues_are_empty(snapshot),
    ]
    others = [violation for violation in violations if violation.harm is not Harm.DOUBLED_MAIL]
    assert not others, others
    assert harms(violations)[Harm.DOUBLED_MAIL] <= mail_repeats, violations


def _tables(snapshot: Snapshot, loaded: Mapping[str, int]) -> list[Violation]:
    return [
        *invariants.check_tables(snapshot, loaded),
        *invariants.index_is_empty(snapshot),
        *invariants.every_event_is_published(snapshot),
        *invariants.limits_are_complete(snapshot),
    ]


def stock_adds_up(world: Observed, loaded: Mapping[str, int]) -> None:
    """P3: all loaded stock is either available or in a live order."""
    assert not invariants.stock_adds_up(world.snapshot(), loaded)


def nothing_is_unfinished(world: Observed) -> None:
    """P1 and P4: no work is pending, and none is in the index."""
    snapshot = world.snapshot()
    assert not [*invariants.nothing_is_unfinished(snapshot), *invariants.index_is_empty(snapshot)]


def _assertion(check: Callable[[Snapshot], list[Violation]]) -> Callable[[Observed], None]:
    def assert_it(world: Observed) -> None:
        assert not check(world.snapshot())

    return assert_it


money_has_owners = _assertion(invariants.money_has_owners)
refunds_are_in_the_ledger = _assertion(invariants.refunds_are_in_the_ledger)
refunds_are_within_the_capture = _assertion(invariants.refunds_are_within_the_capture)
histories_are_sound = _assertion(invariants.histories_are_sound)
every_event_is_published = _assertion(invariants.every_event_is_published)
sales_are_exact = _assertion(invariants.sales_are_exact)
shipments_are_paid = _assertion(invariants.shipments_are_paid)
