"""The contracts as files: generated from the code, and kept as they were released.

functions/orders and functions/partners must be on the path: the contracts are generated from the code that answers and
sends.
"""

import json
import shutil
from pathlib import Path

from dev.contracts import asyncapi, openapi
from dev.contracts import events as contracts_events
from dev.contracts import page as contracts_page
from dev.contracts.compatibility import broken_by_api, broken_by_event
from dev.contracts.schema import Json, Schema, excess
from dev.local.stack import ROOT
from shop.events import DetailType

EVENTS = ROOT / "contracts/events"
RELEASED = ROOT / "contracts/released"


def documents() -> dict[Path, str]:
    """Return the text of every generated file."""
    schemas = {
        **{EVENTS / f"{name}.json": contracts_events.delivered(name) for name in DetailType},
        **{EVENTS / f"{name}.detail.json": contracts_events.produced(name) for name in DetailType},
    }
    generated = {openapi.FILE: openapi.document(), asyncapi.FILE: asyncapi.document(), **schemas}
    texts = {file: json.dumps(document, indent=2, ensure_ascii=False) + "\n" for file, document in generated.items()}
    return {**texts, contracts_page.FILE: contracts_page.page()}


def write() -> None:
    """Write all generated files."""
    for file, text in documents().items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def breaks(released: Path = RELEASED) -> list[str]:
    """Return the breaking changes between the released contracts and the code."""
    old = {name: read(released / f"events/{name}.json") for name in _names(released)}
    new: dict[str, Json] = {str(name): contracts_events.delivered(name) for name in DetailType}
    return [
        *broken_by_api(read(released / "openapi.json"), openapi.document()),
        *broken_by_event(old, new),
        *_unreadable(released),
    ]


def unreleased(released: Path = RELEASED) -> list[str]:
    """Return the generated files that differ from their released versions."""
    return [
        str(file.relative_to(ROOT))
        for file, copy in _copies(released).items()
        if not copy.exists() or copy.read_bytes() != file.read_bytes()
    ]


def release(released: Path = RELEASED) -> None:
    """Record the generated contracts as released."""
    for file, copy in _copies(released).items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)


def read(file: Path) -> Json:
    """Return the content of a JSON file."""
    document: Json = json.loads(file.read_text(encoding="utf-8"))
    return document


def _copies(released: Path) -> dict[Path, Path]:
    """Return each generated file with the path of its released version."""
    events = {file: released / "events" / file.relative_to(EVENTS) for file in sorted(EVENTS.rglob("*.json"))}
    return {**events, openapi.FILE: released / "openapi.json"}


def _names(released: Path) -> list[str]:
    return sorted(file.stem for file in (released / "events").glob("*.json") if not file.stem.endswith(".detail"))


def _unreadable(released: Path) -> list[str]:
    """Return what today's consumers reject in events of a released contract. The archive can replay such events."""
    found = []
    for name in set(_names(released)) & set(DetailType):
        old, new = read(released / f"events/{name}.detail.json"), contracts_events.accepted(DetailType(name))
        found += [f"{name}, replayed: {change}" for change in excess(Schema(old, old), Schema(new, new))]
    return sorted(found)
