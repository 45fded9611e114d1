"""The comparison of shadow records: what one side did, and what the other would have done. See `handoff.shadow`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """One subject, such as an order, whose two sides differ. ``kind`` is missing, surplus, doubled or different."""

    subject: str
    kind: str
    what: str


@dataclass(slots=True)
class Comparison:
    """The number of subjects that were compared, and of those with one side only that are too young to judge."""

    compared: int = 0
    waiting: int = 0
    differences: list[Difference] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the comparison for people: one line for each difference, then the counts."""
        waiting = f", {self.waiting} waiting for the other side" if self.waiting else ""
        found = [f"{difference.subject}  {difference.kind}  {difference.what}" for difference in self.differences]
        return [*found, f"{self.compared} compared{waiting}, {len(self.differences)} differences."]


def compare(records: Iterable[Record], settled_before: int) -> Comparison:
    """Compare the records of each subject.

    A subject with one side only is a difference once its first record is older than ``settled_before`` (epoch
    milliseconds): until then, the other side may be on its way.
    """
    result = Comparison()
    for subject, group in groupby(sorted(records, key=_subject), key=_subject):
        found = list(group)
        made = [record for record in found if record.get("made")]
        composed = [record for record in found if not record.get("made")]
        times = sum(record["made"] for record in made)
        if times > 1:
            who = ", ".join(f"{record['writer']} {record['made']}" for record in made)
            result.differences.append(Difference(subject, "doubled", f"made {times} times: {who}"))
        if made and composed:
            result.compared += 1
            result.differences += _differing_parts(subject, made[0], composed[0])
        elif min(record["at"] for record in found) >= settled_before:
            result.waiting += 1
        elif not made:
            what = f"composed by {composed[0]['writer']}, never made"
            result.differences.append(Difference(subject, "missing", what))
        elif times == 1:
            what = f"made by {made[0]['writer']}, not composed by the other side"
            result.differences.append(Difference(subject, "surplus", what))
    return result


def _differing_parts(subject: str, made: Record, composed: Record) -> Iterable[Difference]:
    """Yield a difference for each part that one side lacks or that has another text. The texts are not recorded."""
    ours, theirs = made["parts"], composed["parts"]
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            sides = [f"{_length(side['parts'].get(name))} by {side['writer']}" for side in (made, composed)]
            yield Difference(subject, "different", f"{name}: {', '.join(sides)}")


def _length(part: Mapping[str, Any] | None) -> str:
    return f"{part['length']} characters" if part else "nothing"


def _subject(record: Record) -> str:
    return str(record["subject"])
