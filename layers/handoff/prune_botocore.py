"""Write the part of botocore's data that Handoff's functions use: ``python prune_botocore.py DATA FOLDER``.

botocore parses over a megabyte of endpoints and the whole model of each service, with its documentation, at each cold
start. `handoff.sdk_data` reads this part instead, and everything else from the runtime's botocore.
"""

import gzip
import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# By the name of the service's folder. Tests compare them with the calls in the code.
OPERATIONS = {
    "dynamodb": {
        "BatchGetItem",
        "BatchWriteItem",
        "DeleteItem",
        "GetItem",
        "PutItem",
        "Query",
        "Scan",
        "TransactGetItems",
        "TransactWriteItems",
        "UpdateItem",
    },
    "events": {"PutEvents"},
    "secretsmanager": {"GetSecretValue"},
    "sesv2": {"SendEmail"},
    "sqs": {"ChangeMessageVisibility", "ChangeMessageVisibilityBatch", "DeleteMessage", "SendMessage"},
}


def main(data: Path, folder: Path) -> None:
    """Write the models of all services, and their endpoints."""
    endpoint_names = set()
    for service, operations in OPERATIONS.items():
        version = max(found.parent.name for found in (data / service).glob("*/service-2.json*"))
        model = pruned(_read(data / service / version / "service-2"), operations)
        endpoint_names.add(model["metadata"]["endpointPrefix"])
        _write(folder / service / version / "service-2.json", model)
    endpoints = _read(data / "endpoints")
    for partition in endpoints["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in services if name in endpoint_names}
    _write(folder / "endpoints.json", endpoints)
    for notice in data.parents[1].glob("botocore-*.dist-info/**/*.txt"):
        if notice.name.startswith(("LICENSE", "NOTICE")):
            shutil.copy(notice, folder)


def pruned(model: dict[str, Any], operations: set[str]) -> dict[str, Any]:
    """Return a service's model with these operations, all errors, and the shapes that they need."""
    model = _without_documentation(model)
    model["operations"] = {name: model["operations"][name] for name in sorted(operations)}
    shapes = model["shapes"]
    needed: set[str] = set()
    found = {*_shapes_in(model["operations"]), *(name for name in shapes if shapes[name].get("exception"))}
    while found:
        needed |= found
        found = {name for known in found for name in _shapes_in(shapes[known])} - needed
    model["shapes"] = {name: shapes[name] for name in shapes if name in needed}
    return model


def _shapes_in(part: Any) -> Iterable[str]:
    """Return the names of all shapes that a part of a model refers to."""
    if isinstance(part, dict):
        if isinstance(part.get("shape"), str):
            yield part["shape"]
        part = list(part.values())
    if isinstance(part, list):
        for value in part:
            yield from _shapes_in(value)


def _without_documentation(part: Any) -> Any:
    if isinstance(part, dict):
        kept = ((name, value) for name, value in part.items() if name != "documentation" or not isinstance(value, str))
        return {name: _without_documentation(value) for name, value in kept}
    return [_without_documentation(value) for value in part] if isinstance(part, list) else part


def _read(path: Path) -> dict[str, Any]:
    packed = path.with_name(f"{path.name}.json.gz")
    text = gzip.decompress(packed.read_bytes()) if packed.exists() else path.with_name(f"{path.name}.json").read_bytes()
    document: dict[str, Any] = json.loads(text)
    return document


def _write(file: Path, document: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, separators=(",", ":")))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
