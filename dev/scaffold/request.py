"""The request for a consumer, checked before anything is written."""

import importlib.util
import keyword
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dev.template import ROOT, source
from shop.events import EVENTS, DetailType, OrderData

_LONGEST = 20  # characters; with its stack's name in front, the names of its resources stay readable
_KINDS = ("Function", "Rule", "Queue", "DeadLetters", "QueuePolicy", "DeadLettersPolicy", "Logs", "Role", "Table")
ALARMS = ("DeadLetters", "Errors", "Oldest", "Lag", "Lost")
_OWN_PACKAGES = {"bench", "dev", "handoff", "ops", "shop", "tests"}


class InvalidRequest(Exception):
    """The consumer cannot be written; the text says why and what to do."""


@dataclass(frozen=True)
class ConsumerRequest:
    """A consumer of some events of orders. ``name`` is one lowercase word, as in `handoff dlq list NAME`."""

    name: str
    detail_types: tuple[DetailType, ...]

    @property
    def title(self) -> str:
        """The beginning of its resources' logical ids."""
        return self.name.capitalize()

    @property
    def sources(self) -> list[str]:
        """The sources of its events, each once."""
        return list(dict.fromkeys(EVENTS[detail_type].source for detail_type in self.detail_types))

    @property
    def words(self) -> dict[str, str]:
        """The values of the placeholders in texts/."""
        return {
            "name": self.name,
            "Name": self.title,
            "NAME": self.name.upper(),
            "types": ", ".join(self.detail_types),
            "quoted_types": ", ".join(f"`{detail_type}`" for detail_type in self.detail_types),
            "sources": ", ".join(self.sources),
            "first_type": self.detail_types[0],
            "type_list": ", ".join(f'"{detail_type}"' for detail_type in self.detail_types),
        }


def parse(name: str, on: str, *, new: Sequence[str]) -> ConsumerRequest:
    """Return the request described by a name, and by events with spaces or commas between them.

    ``new`` are the files and folders that will be created, with the placeholder ``{name}``.

    Raises
    ------
    InvalidRequest
        If the name cannot be used, or an event is not one of an order.
    """
    problem = next(_problems(name, [path.format(name=name) for path in new]), "")
    if problem:
        raise InvalidRequest(problem)
    return ConsumerRequest(name, _events(on))


def _problems(name: str, new: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with a name."""
    if not re.fullmatch(r"[a-z][a-z0-9]*", name):
        yield f"{name!r} is no name: use one word of lowercase letters and digits, such as loyalty."
        return
    if len(name) > _LONGEST:
        yield f"{name!r} has {len(name)} characters. Use at most {_LONGEST}."
    yield from (
        f"{path} exists already. Choose another name, or change that." for path in new if (ROOT / path).exists()
    )
    modules = (*ROOT.glob(f"functions/*/{name}.py"), *ROOT.glob(f"examples/**/{name}.py"))
    yield from (f"{file.relative_to(ROOT)} is a module of that name. Choose another name." for file in modules)
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        yield f"{name!r} is a word of Python's grammar. Choose another name."
    if name in sys.stdlib_module_names or name in _OWN_PACKAGES or importlib.util.find_spec(name):
        yield f"{name!r} is the name of a Python module that the consumer would hide. Choose another name."
    template = source()
    taken = {taken for section in ("Parameters", "Conditions", "Resources", "Outputs") for taken in template[section]}
    title = name.capitalize()
    wanted = [*(f"{title}{kind}" for kind in _KINDS), *(f"{title}{kind}Alarm" for kind in ALARMS)]
    yield from (f"template.yaml has a {found} already. Choose another name." for found in wanted if found in taken)


def _events(on: str) -> tuple[DetailType, ...]:
    """Return the events that a consumer listens to, each once."""
    known = [event.detail_type for event in EVENTS if event.data is OrderData]
    named = list(dict.fromkeys(re.split(r"[\s,]+", on.strip(" ,"))))
    if named == [""]:
        raise InvalidRequest(f"Name an event, such as ON={known[0]}. Events of orders: {', '.join(known)}.")
    others = [name for name in named if name not in known]
    if others:
        about = " This command writes consumers of orders' events; that one is not about an order."
        why = about if all(name in set(DetailType) for name in others) else ""
        raise InvalidRequest(f"There is no event {', '.join(others)} of an order.{why} Events: {', '.join(known)}.")
    return tuple(DetailType(name) for name in named)
