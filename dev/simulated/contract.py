"""Check every response of the simulated API against openapi.json."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

DOCUMENT = Path(__file__).parents[2] / "functions/orders/openapi.json"
_ELSEWHERE = ("NoSuchRouteProblem", "WrongMethodProblem")  # for paths that are not in the document


def check(route: str, status: int, headers: dict[str, str], body: Any) -> None:
    """Raise AssertionError unless the document describes this response of this route completely."""
    media_type = headers.get("content-type")
    assert "x-correlation-id" in headers
    if route == "$default":
        found = [name for name in _ELSEWHERE if not _errors(f"#/components/schemas/{name}", body)]
        assert found, f"{status} {body} is not the response of an unknown path"
        return
    answers = _operation(route)["responses"]
    assert str(status) in answers, f"{route} does not declare {status}: {body}"
    described = answers[str(status)]
    assert media_type in (described["content"] or [None]), f"{route} does not declare {status} with {media_type}"
    required = {name for name, header in described["headers"].items() if header["required"]}
    assert required <= headers.keys() <= described["headers"].keys() | {"content-type"}, (route, status, headers)
    if media_type is None:
        assert not body, f"{route} does not declare a body of {status}"
        return
    method, path = route.split()
    pointer = "/".join(
        part.replace("~", "~0").replace("/", "~1")
        for part in ("#", "paths", path, method.lower(), "responses", str(status), "content", media_type, "schema")
    )
    errors = _errors(pointer, body)
    assert not errors, f"{route} does not declare this {status}: {errors[0]}"


def _operation(route: str) -> dict[str, Any]:
    method, path = route.split()
    operation: dict[str, Any] = _closed_document()["paths"][path][method.lower()]
    return operation


def _errors(pointer: str, body: Any) -> list[str]:
    return [error.message for error in _validator(pointer).iter_errors(body)]


@cache
def _validator(pointer: str) -> Draft202012Validator:
    return Draft202012Validator({**_closed_document(), "$ref": pointer})


@cache
def _closed_document() -> dict[str, Any]:
    """Return the document with additional members forbidden. Clients ignore those, but we must not send any."""
    closed: dict[str, Any] = _closed(json.loads(DOCUMENT.read_text(encoding="utf-8")))
    return closed


def _closed(node: Any) -> Any:
    if isinstance(node, list):
        return [_closed(part) for part in node]
    if not isinstance(node, dict):
        return node
    parts = {name: _closed(part) for name, part in node.items()}
    if node.get("type") == "object" and "properties" in node:
        return {"additionalProperties": False, **parts}
    return parts
