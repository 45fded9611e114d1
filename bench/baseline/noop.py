"""A function that does nothing, to measure the overhead of the API and of an invocation."""

from typing import Any


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Log a line, as every function does, and return 201."""
    print("Answered")  # noqa: T201
    return {"statusCode": 201, "headers": {"content-type": "application/json"}, "body": "{}"}
