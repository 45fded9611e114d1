"""Something that changes in steps and announces them: what is stored of it, and what is left to be done."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """A value that is stored and shown in camelCase; it ignores fields that a newer version may have added."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        frozen=True,
        hide_input_in_errors=True,  # an error ends up in the log, where nobody is to read names and addresses
    )


class HistoryEntry(Model):
    """One step that an aggregate took. The transition's id tells a repeated write from a stranger's."""

    sequence: int
    status: str
    at: str
    transition_id: str
    reason: str | None = None


class OutboxEntry(Model):
    """An event that was decided on and may not have reached the bus yet; ``detail`` is its JSON text."""

    source: str
    detail_type: str
    detail: str


class Aggregate(Model):
    """Something that changes in steps and announces them: the item and its unpublished events are one.

    While anything is unfinished it carries the keys of the sparse index ``unfinished``: a shard, ``due_at`` (when the
    sweeper looks at it) and ``unfinished_since`` (from which its age is measured), both in epoch milliseconds.
    """

    MORE_WORK: ClassVar[Mapping[str, str]] = {}  # fields besides the outbox that are unfinished work, and their aliases
    WHILE: ClassVar[str] = ""  # the status in which it is unfinished though nothing else is

    sequence: int
    history: tuple[HistoryEntry, ...] = ()
    outbox: Mapping[str, OutboxEntry] = {}
    unfinished: int | None = None
    due_at: int | None = None
    unfinished_since: int | None = None

    @property
    def log_keys(self) -> dict[str, str]:
        """What finds it in the logs."""
        raise NotImplementedError

    @property
    def more_work(self) -> frozenset[str]:
        """The attributes of the item that are unfinished work, besides the outbox."""
        return frozenset(alias for field, alias in self.MORE_WORK.items() if getattr(self, field) is not None)

    def took(self, transition_id: str) -> bool:
        """Whether this transition is already part of the history."""
        return any(entry.transition_id == transition_id for entry in self.history)
