"""functions/orders/openapi.json: the API's description, generated from the code that answers."""

import tomllib
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter

from dev import samples
from dev.contracts import openapi_problems
from dev.contracts.openapi_operations import OPERATIONS, Operation, Parameter
from dev.contracts.openapi_problems import BY_NAME, MEMBERS
from dev.contracts.schema import Json, untitled
from dev.local.stack import ROOT
from handoff.events import CorrelationId
from order_requests import MAX_BODY_BYTES, OrderIn
from problems import Problem

FILE = ROOT / "functions/orders/openapi.json"
_DESCRIPTION = f"""\
Errors are problem documents (RFC 9457): go by `type`, and by the status for a type that you do not know. Ignore members
that you do not know: there will be more. A body has at most {MAX_BODY_BYTES // 1024} KB.

What the gateway answers by itself is no problem document but `{{"message": ...}}`: it lets nobody in without a valid
token (401) or the scope that a route asks for (403), takes no body of more than 10 MB (413), limits the rate (429), and
says so when the function fails or does not answer in time (500, 503).
"""
_SCHEME = "token"
_PROBLEM, _JSON = "application/problem+json", "application/json"
_ANY_ROUTES = ("internal", "unavailable")
_OF_GATEWAY = {429, 500, 503}  # what it can answer by itself, whatever the route
_TRACE = "x-correlation-id"
_HEADERS: dict[str, Json] = {
    _TRACE: {
        "description": "What finds this request, and all that comes of it, in the logs.",
        "schema": TypeAdapter(CorrelationId).json_schema(),
    },
    "location": {"description": "Where the order is.", "schema": {"type": "string"}},
    "retry-after": {"description": "In seconds.", "schema": {"type": "string", "pattern": "^[0-9]+$"}},
    "allow": {"description": "The methods that the path takes.", "schema": {"type": "string"}},
    "www-authenticate": {"description": "What the token lacks.", "schema": {"type": "string"}},
}
_CORRELATION = Parameter(
    "X-Correlation-Id",
    "header",
    {"type": "string"},
    "Taken over if it is 1 to 64 letters, digits or any of `._:=-`; otherwise there will be a new one.",
)


def document() -> Json:
    """The whole document (OpenAPI 3.1)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    schemas, components = _schemas()
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
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
    """A schema for each answer, body and member of a problem, by what it is of; and the components they refer to."""
    bodies = {operation.name: operation.body for operation in OPERATIONS if operation.body}
    wanted: list[tuple[Any, Any, TypeAdapter[Any]]] = [
        *((operation.name, "serialization", TypeAdapter(operation.answer)) for operation in OPERATIONS),
        *((name, "validation", TypeAdapter(body)) for name, body in bodies.items()),
        *((name, "serialization", TypeAdapter(member)) for name, member in MEMBERS.items()),
    ]
    by_key, definitions = TypeAdapter.json_schemas(wanted, ref_template="#/components/schemas/{model}")
    components = untitled(definitions["$defs"])
    members = {name: by_key[name, "serialization"] for name in MEMBERS}
    for problem in BY_NAME.values():
        components[openapi_problems.component(problem)] = openapi_problems.schema(problem, members)
    components["GatewayMessage"] = {
        "description": "An answer of the gateway's own.",
        "type": "object",
        "properties": {"message": {"type": "string"}},
        "required": ["message"],
    }
    return untitled(dict(by_key)), dict(sorted(components.items()))


def _operation(operation: Operation, schemas: dict[Any, Json]) -> Json:
    described: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": operation.description,
        "parameters": [_parameter(parameter) for parameter in (*operation.parameters, _CORRELATION)],
    }
    if operation.body:
        content: Json = {"schema": schemas[operation.name, "validation"]}
        if operation.body is OrderIn:
            content["examples"] = {name: {"value": order.request()} for name, order in samples.orders().items()}
        described["requestBody"] = {"required": True, "content": {_JSON: content}}
    described["responses"] = _responses(operation, schemas[operation.name, "serialization"])
    if not operation.is_open:
        described["security"] = [{_SCHEME: [operation.scope] if operation.scope else []}]
    return described


def _parameter(parameter: Parameter) -> Json:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _responses(operation: Operation, answer: Json) -> Json:
    headers = {_TRACE, "location"} if operation.status == HTTPStatus.CREATED else {_TRACE}
    success: Json = {
        "description": operation.summary,
        "headers": _headers([headers], of_gateway=False),
        "content": {_JSON: {"schema": answer}},
    }
    if operation.links:
        success["links"] = operation.links
    responses = {operation.status: success}
    found = [BY_NAME[name] for name in (*operation.problems, *_ANY_ROUTES)]
    of_gateway = _gateway_statuses(operation)
    for status in {problem.status for problem in found} | of_gateway:
        here = [problem for problem in found if problem.status == status]
        responses[status] = _refusal(status, here, of_gateway=status in of_gateway)
    return {str(status): responses[status] for status in sorted(responses)}


def _gateway_statuses(operation: Operation) -> set[int]:
    secured = set() if operation.is_open else {401}
    return _OF_GATEWAY | secured | ({403} if operation.scope else set()) | ({413} if operation.body else set())


def _refusal(status: int, found: Sequence[Problem], *, of_gateway: bool) -> Json:
    """The answer for a status: one of the function's problems, or the gateway's message."""
    content: Json = {}
    if found:
        references = [{"$ref": f"#/components/schemas/{openapi_problems.component(problem)}"} for problem in found]
        content[_PROBLEM] = {"schema": references[0] if len(references) == 1 else {"oneOf": references}}
    if of_gateway:
        content[_JSON] = {"schema": {"$ref": "#/components/schemas/GatewayMessage"}}
    titles = [f"{problem.document['title'].rstrip('?')}." for problem in found]
    described: Json = {"description": " ".join([f"{HTTPStatus(status).phrase}.", *titles])}
    if found:
        described["headers"] = _headers([{_TRACE, *problem.headers} for problem in found], of_gateway=of_gateway)
    return {**described, "content": content}


def _headers(sets: Sequence[set[str]], *, of_gateway: bool) -> Json:
    """The headers of answers that have one of these sets; required are those of all sets."""
    always = set() if of_gateway else set.intersection(*sets)
    return {name: {**_HEADERS[name], "required": name in always} for name in sorted(set.union(*sets))}
