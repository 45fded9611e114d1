"""What a change of a contract would break, for the clients of the API or for the readers of events."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dev.contracts.schema import Json, Schema, excess

_SAYS_NOTHING = {"description", "bearerFormat"}  # of a security scheme: clients send the same
_Way = dict[str, tuple[Json, list[str]]]


def broken_by_api(old: Json, new: Json) -> list[str]:
    """What would fail for the clients of an API (two OpenAPI documents): a request that is refused, an odd answer."""
    found = []
    for path, methods in old["paths"].items():
        for method, operation in methods.items():
            changed = new["paths"].get(path, {}).get(method)
            route = f"{method.upper()} {path}"
            if changed is None:
                found.append(f"{route}: is gone")
            else:
                breaks = _Operation(old, new, operation, changed).breaks()
                found += [f"{route}: {what}" for what in breaks]
    return found


@dataclass(frozen=True)
class _Operation:
    """One operation of an API, before and after."""

    old_document: Json
    new_document: Json
    old: Json
    new: Json

    def breaks(self) -> Iterator[str]:
        yield from self._name()
        yield from self._security()
        yield from self._parameters()
        yield from self._body()
        yield from self._answers()

    def _name(self) -> Iterator[str]:
        """Generated clients call the operation by its id."""
        before, after = self.old.get("operationId"), self.new.get("operationId")
        if before and after != before:
            yield f"is called {after}, not {before}"

    def _security(self) -> Iterator[str]:
        before, after = _ways_in(self.old_document, self.old), _ways_in(self.new_document, self.new)
        for way in before:
            if not any(_asks_no_more(other, way) for other in after):
                yield f"asks for {after}, not {way}"

    def _parameters(self) -> Iterator[str]:
        before, after = (
            {(parameter["in"], parameter["name"].lower()): parameter for parameter in operation.get("parameters", [])}
            for operation in (self.old, self.new)
        )
        for key in [key for key in before if key not in after]:
            yield f"the parameter {key[1]} is gone"
        for key, parameter in after.items():
            if parameter["required"] and not (key in before and before[key]["required"]):
                yield f"the parameter {key[1]} is required"
            if key in before:
                yield from self._taken(before[key]["schema"], parameter["schema"], f"the parameter {key[1]}")

    def _body(self) -> Iterator[str]:
        before, after = (operation.get("requestBody", {}) for operation in (self.old, self.new))
        if after.get("required") and not before.get("required"):
            yield "a body is required"
        for media_type, content in before.get("content", {}).items():
            if media_type not in after.get("content", {}):
                yield f"a body of {media_type} is not taken"
            else:
                yield from self._taken(content["schema"], after["content"][media_type]["schema"], "the body")

    def _taken(self, before: Json, after: Json, what: str) -> Iterator[str]:
        """What clients may send today and no longer could."""
        for change in excess(Schema(self.old_document, before), Schema(self.new_document, after)):
            yield f"{what}: today {change}"

    def _answers(self) -> Iterator[str]:
        before, after = self.old["responses"], self.new["responses"]
        yield from (f"answers {status}" for status in after if status not in before and status.startswith("2"))
        for status, answer in before.items():
            if status not in after:
                yield f"does not answer {status}"
                continue
            yield from self._headers(answer, after[status], status)
            for media_type, content in answer.get("content", {}).items():
                changed = after[status].get("content", {}).get(media_type)
                if changed is None:
                    yield f"{status} is not of {media_type}"
                else:
                    yield from self._understood(content["schema"], changed["schema"], f"{status} {media_type}")

    def _headers(self, before: Json, after: Json, status: str) -> Iterator[str]:
        required = {name for name, header in before.get("headers", {}).items() if header["required"]}
        still = {name for name, header in after.get("headers", {}).items() if header["required"]}
        yield from (f"{status} may be without the header {name}" for name in sorted(required - still))

    def _understood(self, before: Json, after: Json, what: str) -> Iterator[str]:
        """What clients could meet that they do not expect. A new type of problem is none: they go by the status."""
        old_problems = _problems(Schema(self.old_document, before))
        new_problems = _problems(Schema(self.new_document, after))
        if not old_problems:
            for change in excess(Schema(self.new_document, after), Schema(self.old_document, before)):
                yield f"{what}: {change}"
        for name, problem in old_problems.items():
            if name not in new_problems:
                yield f"{what}: {name} is gone"
            else:
                yield from (f"{what}: {name}: {change}" for change in excess(new_problems[name], problem))


def _ways_in(document: Json, operation: Json) -> list[_Way]:
    """What a client has to send, any one of these: security schemes by name, as they are, with the scopes asked for."""
    return [
        {name: (_sent(document["components"]["securitySchemes"][name]), scopes) for name, scopes in way.items()}
        for way in operation.get("security") or [{}]
    ]


def _sent(scheme: Json) -> Json:
    return {name: value for name, value in scheme.items() if name not in _SAYS_NOTHING}


def _asks_no_more(way: _Way, than: _Way) -> bool:
    """Whether whoever sends the one is let in by the other."""
    return all(
        name in than and scheme == than[name][0] and set(scopes) <= set(than[name][1])
        for name, (scheme, scopes) in way.items()
    )


def _problems(schema: Schema) -> dict[str, Schema]:
    """The problem documents that a schema describes, by type; empty if it is of something else."""
    branches = [branch.resolved() for branch in schema.resolved().branches()]
    types = [branch.node.get("properties", {}).get("type", {}).get("const") for branch in branches]
    return dict(zip(types, branches, strict=True)) if all(types) else {}


def broken_by_event(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[str]:
    """What would fail for the readers of events (schemas of delivered events, by detail-type)."""
    gone = [f"{name}: is gone" for name in old if name not in new]
    return gone + [
        f"{name}: {change}"
        for name in old
        if name in new
        for change in excess(Schema(new[name], new[name]), Schema(old[name], old[name]))
    ]
