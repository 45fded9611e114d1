"""functions/orders/openapi.json: the API's description, generated from the operations and models of the function."""

import inspect
import tomllib
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter
from pydantic.alias_generators import to_camel

from bodies import MAX_BODY_BYTES
from dev import samples
from dev.contracts import openapi_problems
from dev.contracts.openapi_problems import BY_NAME, MEMBERS
from dev.contracts.schema import Json, untitled
from dev.local.stack import ROOT
from handoff.events import CorrelationId
from order_requests import OrderIn
from parameters import Parameter
from problems import Problem
from routes import OPERATIONS, Operation

FILE = ROOT / "functions/orders/openapi.json"
_DESCRIPTION = f"""\
Errors are problem documents (RFC 9457). Decide by `type`; for an unknown `type`, decide by the status. Ignore unknown
members in responses: new ones will be added. The maximum size of a request body is {MAX_BODY_BYTES // 1024} KB.

API Gateway answers some requests itself, with `{{"message": ...}}` instead of a problem document: requests without a
valid token (401) or without the required scope (403), bodies over 10 MB (413), requests over the rate limit (429), and
requests that the API fails to answer in time (500, 503).
"""
_SCHEME = "token"
_PROBLEM, _JSON = "application/problem+json", "application/json"
_ANY_OPERATION = ("internal", "unavailable")
_BY_GATEWAY = {429, 500, 503}  # statuses that API Gateway can answer any operation with
_TRACE = "x-correlation-id"
_HEADERS: dict[str, Json] = {
    _TRACE: {
        "description": "The correlation id of this request and of everything that results from it.",
        "schema": TypeAdapter(CorrelationId).json_schema(),
    },
    "location": {"description": "The path of the order.", "schema": {"type": "string"}},
    "retry-after": {
        "description": "The number of seconds to wait before a retry.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "cache-control": {
        "description": "Whether and for how many seconds caches may keep the response.",
        "schema": {"type": "string"},
    },
    "etag": {
        "description": "The version of the response, for `If-None-Match`.",
        "schema": {"type": "string"},
    },
    "allow": {"description": "The methods that the path supports.", "schema": {"type": "string"}},
    "accept-encoding": {"description": "The content encodings of a body.", "schema": {"type": "string"}},
    "www-authenticate": {"description": "The scope that the token lacks.", "schema": {"type": "string"}},
}
_CACHED = {"cache-control", "etag"}
_CORRELATION = Parameter(
    "X-Correlation-Id",
    "header",
    {"type": "string"},
    "The correlation id of the request: 1-64 letters, digits or any of `._:=-`. Any other value is replaced.",
)


def document() -> Json:
    """Return the whole document (OpenAPI 3.1)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    schemas, components = _schemas()
    paths: dict[str, Json] = {}
    for operation in OPERATIONS.values():
        method, path = operation.route.split()
        paths.setdefault(path, {})[method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Handoff",
            "version": project["version"],
            "summary": project["description"],
            "description": _DESCRIPTION,
            "license": {"name": project["license"], "identifier": project["license"]},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {_SCHEME: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _schemas() -> tuple[dict[Any, Json], dict[str, Json]]:
    """Return a schema for each response, body and member of a problem, and the components that they refer to."""
    operations = OPERATIONS.values()
    bodies = {_name(operation): operation.body for operation in operations if operation.body}
    wanted: list[tuple[Any, Any, TypeAdapter[Any]]] = [
        *((_name(operation), "serialization", TypeAdapter(operation.response)) for operation in operations),
        *(
            (_also(operation, status), "serialization", TypeAdapter(response))
            for operation in operations
            for status, response in operation.also.items()
        ),
        *((name, "validation", TypeAdapter(body)) for name, body in bodies.items()),
        *((name, "serialization", TypeAdapter(member)) for name, member in MEMBERS.items()),
    ]
    by_key, definitions = TypeAdapter.json_schemas(wanted, ref_template="#/components/schemas/{model}")
    components = untitled(definitions["$defs"])
    members = {name: by_key[name, "serialization"] for name in MEMBERS}
    for problem in BY_NAME.values():
        components[openapi_problems.component(problem)] = openapi_problems.schema(problem, members)
    components["GatewayMessage"] = {
        "description": "A response from API Gateway itself.",
        "type": "object",
        "properties": {"message": {"type": "string"}},
        "required": ["message"],
    }
    return untitled(dict(by_key)), dict(sorted(components.items()))


def _name(operation: Operation) -> str:
    return to_camel(operation.handler.__name__)


def _also(operation: Operation, status: int) -> str:
    return f"{_name(operation)} {status}"


def _summary_and_description(operation: Operation) -> tuple[str, str]:
    summary, _, description = (inspect.getdoc(operation.handler) or "").partition("\n\n")
    return summary.removesuffix("."), description.replace("\n", " ")


def _operation(operation: Operation, schemas: dict[Any, Json]) -> Json:
    name = _name(operation)
    summary, description = _summary_and_description(operation)
    described: Json = {
        "operationId": name,
        "summary": summary,
        "description": description,
        "parameters": [_parameter(parameter) for parameter in (*operation.parameters, _CORRELATION)],
    }
    if operation.body:
        content: Json = {"schema": schemas[name, "validation"]}
        if operation.body is OrderIn:
            content["examples"] = {name: {"value": order.request()} for name, order in samples.orders().items()}
        described["requestBody"] = {"required": operation.is_body_required, "content": {_JSON: content}}
    successes = {operation.status: schemas[name, "serialization"]}
    successes |= {status: schemas[_also(operation, status), "serialization"] for status in operation.also}
    described["responses"] = _responses(operation, successes)
    if not operation.is_public:
        described["security"] = [{_SCHEME: [operation.scope] if operation.scope else []}]
    return described


def _parameter(parameter: Parameter) -> Json:
    return {
        "name": parameter.name,
        "in": parameter.location,
        "required": parameter.required,
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _responses(operation: Operation, successes: dict[int, Json]) -> Json:
    headers = {_TRACE, *operation.headers}
    headers |= _CACHED if operation.is_cacheable else set()
    further = {_TRACE, *operation.also_headers}
    responses: dict[int, Json] = {
        status: {
            "description": f"{HTTPStatus(status).phrase}.",
            "headers": _headers([further if status in operation.also else headers], by_gateway=False),
            "content": {_JSON: {"schema": schema}},
            **({"links": operation.links} if operation.links else {}),
        }
        for status, schema in successes.items()
    }
    if operation.is_cacheable:
        unchanged = {"description": "Not Modified.", "headers": _headers([headers], by_gateway=False), "content": {}}
        responses[HTTPStatus.NOT_MODIFIED] = unchanged
    found = [BY_NAME[name] for name in (*operation.problems, *_ANY_OPERATION)]
    by_gateway = _gateway_statuses(operation)
    for status in {problem.status for problem in found} | by_gateway:
        here = [problem for problem in found if problem.status == status]
        responses[status] = _error_response(status, here, by_gateway=status in by_gateway)
    return {f"{status:d}": responses[status] for status in sorted(responses)}


def _gateway_statuses(operation: Operation) -> set[int]:
    secured = set() if operation.is_public else {401}
    return _BY_GATEWAY | secured | ({403} if operation.scope else set()) | ({413} if operation.body else set())


def _error_response(status: int, found: Sequence[Problem], *, by_gateway: bool) -> Json:
    """Return the response for a status: one of the function's problems, or API Gateway's message."""
    content: Json = {}
    if found:
        references = [{"$ref": f"#/components/schemas/{openapi_problems.component(problem)}"} for problem in found]
        content[_PROBLEM] = {"schema": references[0] if len(references) == 1 else {"oneOf": references}}
    if by_gateway:
        content[_JSON] = {"schema": {"$ref": "#/components/schemas/GatewayMessage"}}
    phrases = [problem.document["title"] for problem in found] or [HTTPStatus(status).phrase]
    described: Json = {"description": " ".join(f"{phrase}." for phrase in phrases)}
    if found:
        described["headers"] = _headers([{_TRACE, *problem.headers} for problem in found], by_gateway=by_gateway)
    return {**described, "content": content}


def _headers(sets: Sequence[set[str]], *, by_gateway: bool) -> Json:
    """Return the headers of responses that each have one of these sets; those in every set are required."""
    always = set() if by_gateway else set.intersection(*sets)
    return {name: {**_HEADERS[name], "required": name in always} for name in sorted(set.union(*sets))}
