"""Compute DynamoDB capacity units by the documented rules.

Sources: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html (sizes),
read-write-operations.html (units), GSI.html (writes to an index), transaction-apis.html (double units in a
transaction), all in the same guide. A condition check in a transaction takes read units, twice those of a consistent
read, on DynamoDB Local; AWS documents no number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

WRITE_BYTES = 1024  # one write unit
READ_BYTES = 4096  # one consistent read unit; an eventually consistent read takes half a unit

Item = Mapping[str, Mapping[str, Any]]  # in DynamoDB JSON


@dataclass(frozen=True, slots=True)
class Index:
    """A global secondary index; ``attributes`` are its keys, the table's keys and the projected attributes."""

    name: str
    keys: frozenset[str]
    attributes: frozenset[str]

    def entry(self, item: Item | None) -> dict[str, Any] | None:
        """Return the index entry of an item; None if the item has none."""
        if item is None or not self.keys <= item.keys():
            return None
        return {name: value for name, value in item.items() if name in self.attributes}

    def write_units(self, before: Item | None, after: Item | None) -> int:
        """Return the units of an item's write: 0 if the entry stays the same, double if its key changes."""
        old, new = self.entry(before), self.entry(after)
        if old == new:
            return 0
        if old and new and any(old[key] != new[key] for key in self.keys):
            return _writes(item_size(old)) + _writes(item_size(new))
        return _writes(max(item_size(old), item_size(new)))


def item_size(item: Item | None) -> int:
    """Return an item's size in bytes, including attribute names."""
    return sum(len(name.encode()) + value_size(value) for name, value in (item or {}).items())


def value_size(value: Mapping[str, Any]) -> int:
    """Return a value's size in bytes."""
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(str(content).encode())
        case "N":
            digits = str(content).lstrip("-").replace(".", "").strip("0")
            return ceil(len(digits or "0") / 2) + 1 + str(content).startswith("-")
        case "BOOL" | "NULL":
            return 1
        case "SS":
            return sum(len(str(part).encode()) for part in content)
        case "L":
            return 3 + sum(1 + value_size(part) for part in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + value_size(part) for name, part in content.items())
    raise NotImplementedError(f"Sizes of the DynamoDB type {kind} are not implemented")


def write_units(before: Item | None, after: Item | None, *, transaction: bool) -> int:
    """Return the units of a write: by the larger image, also when the condition fails."""
    return _writes(max(item_size(before), item_size(after))) * (2 if transaction else 1)


def read_units(size: int, *, consistent: bool) -> float:
    """Return the units of a read of ``size`` bytes: one item, or all items of a query's page."""
    return max(1, ceil(size / READ_BYTES)) * (1.0 if consistent else 0.5)


def _writes(size: int) -> int:
    return max(1, ceil(size / WRITE_BYTES))
