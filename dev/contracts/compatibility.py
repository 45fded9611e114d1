"""Breaking changes of a contract: for clients of the API, and for consumers of events."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bodies import LINK
from dev.contracts.schema import Json, Schema, excess

_IRRELEVANT = {"description", "bearerFormat"}  # members of a security scheme that clients do not depend on
# Further successes that an operation may gain: a client gets them only if its request asks for them.
_OPTED_IN = {("placeOrder", "202")}  # requests with `customerAction`
# The only values that requests were allowed to have and are not allowed anymore: texts with web addresses, which the
# shop would mail to whoever the user names. To keep accepting them would keep the hole open: see docs/security.md.
_CLOSED_HOLE = f"may be what is not allowed: {{'pattern': {LINK!r}}}"
_Alternative = dict[str, tuple[Json, list[str]]]


def broken_by_api(old: Json, new: Json) -> list[str]:
    """Return the breaking changes between two OpenAPI documents: rejected requests and unexpected responses."""
    found = []
    for path, methods in old["paths"].items():
        for method, operation in methods.items():
            changed = new["paths"].get(path, {}).get(method)
            route = f"{method.upper()} {path}"
            if changed is None:
                found.append(f"{route}: was removed")
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
        yield from self._responses()

    def _name(self) -> Iterator[str]:
        """Compare the operation ids, which are method names in generated clients."""
        before, after = self.old.get("operationId"), self.new.get("operationId")
        if before and after != before:
            yield f"has the operation id {after}, not {before}"

    def _security(self) -> Iterator[str]:
        before, after = _alternatives(self.old_document, self.old), _alternatives(self.new_document, self.new)
        for alternative in before:
            if not any(_accepts(other, alternative) for other in after):
                yield f"requires {after}, not {alternative}"

    def _parameters(self) -> Iterator[str]:
        before, after = (
            {(parameter["in"], parameter["name"].lower()): parameter for parameter in operation.get("parameters", [])}
            for operation in (self.old, self.new)
        )
        for key in [key for key in before if key not in after]:
            yield f"the parameter {key[1]} was removed"
        for key, parameter in after.items():
            if parameter["required"] and not (key in before and before[key]["required"]):
                yield f"the parameter {key[1]} is required"
            if key in before:
                yield from self._accepted(before[key]["schema"], parameter["schema"], f"the parameter {key[1]}")

    def _body(self) -> Iterator[str]:
        before, after = (operation.get("requestBody", {}) for operation in (self.old, self.new))
        if after.get("required") and not before.get("required"):
            yield "a body is required"
        for media_type, content in before.get("content", {}).items():
            if media_type not in after.get("content", {}):
                yield f"a body of {media_type} is not accepted"
            else:
                yield from self._accepted(content["schema"], after["content"][media_type]["schema"], "the body")

    def _accepted(self, before: Json, after: Json, what: str) -> Iterator[str]:
        """Compare what clients may send: the new contract must accept everything that the old one does."""
        for change in excess(Schema(self.old_document, before), Schema(self.new_document, after)):
            if not change.endswith(_CLOSED_HOLE):
                yield f"{what}: in the old contract, {change}"

    def _responses(self) -> Iterator[str]:
        before, after = self.old["responses"], self.new["responses"]
        new = (status for status in after if status not in before and status.startswith("2"))
        yield from (f"returns {status}" for status in new if (self.new["operationId"], status) not in _OPTED_IN)
        for status, answer in before.items():
            if status not in after:
                yield f"does not return {status}"
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
        yield from (f"{status} may lack the header {name}" for name in sorted(required - still))

    def _understood(self, before: Json, after: Json, what: str) -> Iterator[str]:
        """Compare what clients may receive. A new type of problem breaks nothing: clients fall back to the status."""
        old_problems = _problems(Schema(self.old_document, before))
        new_problems = _problems(Schema(self.new_document, after))
        if not old_problems:
            for change in excess(Schema(self.new_document, after), Schema(self.old_document, before)):
                yield f"{what}: {change}"
        for name, problem in old_problems.items():
            if name not in new_problems:
                yield f"{what}: {name} was removed"
            else:
                yield from (f"{what}: {name}: {change}" for change in excess(new_problems[name], problem))


def _alternatives(document: Json, operation: Json) -> list[_Alternative]:
    """Return the alternatives of authorization: security schemes by name, with the required scopes."""
    return [
        {name: (_sent(document["components"]["securitySchemes"][name]), scopes) for name, scopes in alternative.items()}
        for alternative in operation.get("security") or [{}]
    ]


def _sent(scheme: Json) -> Json:
    return {name: value for name, value in scheme.items() if name not in _IRRELEVANT}


def _accepts(alternative: _Alternative, sent: _Alternative) -> bool:
    """Whether a client that satisfies ``sent`` also satisfies ``alternative``."""
    return all(
        name in sent and scheme == sent[name][0] and set(scopes) <= set(sent[name][1])
        for name, (scheme, scopes) in alternative.items()
    )


def _problems(schema: Schema) -> dict[str, Schema]:
    """Return the problem documents that a schema describes, by type; empty for other schemas."""
    branches = [branch.resolved() for branch in schema.resolved().branches()]
    types = [branch.node.get("properties", {}).get("type", {}).get("const") for branch in branches]
    return dict(zip(types, branches, strict=True)) if all(types) else {}


def broken_by_event(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[str]:
    """Return the changes that break consumers of events, given the schemas of delivered events by detail type."""
    gone = [f"{name}: was removed" for name in old if name not in new]
    return gone + [
        f"{name}: {change}"
        for name in old
        if name in new
        for change in excess(Schema(new[name], new[name]), Schema(old[name], old[name]))
    ]
