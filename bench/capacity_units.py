"""DynamoDB's capacity units, by its documented rules.

Sources: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html (sizes),
read-write-operations.html (units), GSI.html (what a write costs an index), transaction-apis.html (twice in a
transaction), all in the same guide.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

WRITE_BYTES = 1024  # one write unit
READ_BYTES = 4096  # one consistent read unit; an eventually consistent read takes half of one

Item = Mapping[str, Mapping[str, Any]]  # in DynamoDB's notation


@dataclass(frozen=True, slots=True)
class Index:
    """A global secondary index; ``attributes`` is all that an entry holds: its keys, the table's, what is projected."""

    name: str
    keys: frozenset[str]
    attributes: frozenset[str]

    def entry(self, item: Item | None) -> dict[str, Any] | None:
        """An item as the index holds it; None if it is not in there."""
        if item is None or not self.keys <= item.keys():
            return None
        return {name: value for name, value in item.items() if name in self.attributes}

    def write_units(self, before: Item | None, after: Item | None) -> int:
        """What a write of an item costs the index: nothing if its entry stays as it is, double if its key changes."""
        old, new = self.entry(before), self.entry(after)
        if old == new:
            return 0
        if old and new and any(old[key] != new[key] for key in self.keys):
            return _writes(item_size(old)) + _writes(item_size(new))
        return _writes(max(item_size(old), item_size(new)))


def item_size(item: Item | None) -> int:
    """An item's size in bytes, names included."""
    return sum(len(name.encode()) + value_size(value) for name, value in (item or {}).items())


def value_size(value: Mapping[str, Any]) -> int:
    """A value's size in bytes."""
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(str(content).encode())
        case "N":
            digits = str(content).lstrip("-").replace(".", "").strip("0")
            return ceil(len(digits or "0") / 2) + 1 + str(content).startswith("-")
        case "BOOL" | "NULL":
            return 1
        case "L":
            return 3 + sum(1 + value_size(part) for part in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + value_size(part) for name, part in content.items())
    raise NotImplementedError(f"the size of DynamoDB's type {kind}")


def write_units(before: Item | None, after: Item | None, *, transaction: bool) -> int:
    """What a write costs its table: the larger image counts, also if its condition did not hold."""
    return _writes(max(item_size(before), item_size(after))) * (2 if transaction else 1)


def read_units(size: int, *, consistent: bool) -> float:
    """What reading so many bytes costs; one item by itself, or all items of one page of a query together."""
    return max(1, ceil(size / READ_BYTES)) * (1.0 if consistent else 0.5)


def _writes(size: int) -> int:
    return max(1, ceil(size / WRITE_BYTES))
