"""Invariants of the hourly limits of users."""

from collections import Counter

from dev.invariants.snapshot import Item, Snapshot, Violation, lost, wrong


def limits_are_fair(snapshot: Snapshot) -> list[Violation]:
    """P9: no user is charged with more orders, cancellations or declines than there were.

    Counts expire after hours, so in an older system there may be fewer.
    """
    return [wrong(what) for what, counted, done in _compared(snapshot) if counted > done]


def limits_are_complete(snapshot: Snapshot) -> list[Violation]:
    """P9: every order, cancellation and decline was counted. Only true as long as no count has expired."""
    return [lost(what) for what, counted, done in _compared(snapshot) if counted < done]


def _compared(snapshot: Snapshot) -> list[tuple[str, int, int]]:
    """Return a description, the count and what there was, for each user and kind."""
    counted: Counter[tuple[str, str]] = Counter()
    for item in snapshot.limits:
        user = item["id"].partition("#")[2]
        counted.update({(user, name): int(item[name]) for name in ("orders", "declines") if name in item})
    done: Counter[tuple[str, str]] = Counter()
    for order in snapshot.orders:
        if "erasedAt" in order:
            continue  # its user's counts are erased too
        done.update({(order["userId"], name): count for name, count in _counts(order).items()})
    return [
        (f"{user}: {counted[user, name]} {name} counted of {done[user, name]}", counted[user, name], done[user, name])
        for user, name in sorted(counted.keys() | done.keys())
    ]


def _counts(order: Item) -> Counter[str]:
    """Return what an order counts: itself, its cancellation, as another mail, and its decline.

    A cancellation because the hold was lost is nothing that the user has done.
    """
    counts = Counter(orders=1)
    for entry in order["history"]:
        counts["orders"] += entry["status"] == "CANCELLED" and "payment" not in entry and _first(order, entry)
        counts["declines"] += entry["status"] == "REJECTED" and entry.get("reason") == "declined"
    return counts


def _first(order: Item, entry: Item) -> bool:
    """Return whether a step is the one to its status."""
    return bool(entry == next(one for one in order["history"] if one["status"] == entry["status"]))
