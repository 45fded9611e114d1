"""The answers of AWS and of the API during a check: status codes, error codes and request ids."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import boto3
    import httpx


@dataclass(frozen=True)
class Answer:
    """Equal answers to one operation: how many, and the request id of the last one."""

    operation: str  # such as sqs:SendMessage, or GET /health
    status: int  # 0: no answer
    error: str  # AWS's error code, or the name of the exception
    request_id: str
    count: int = 1


class Answers:
    """Records the answers to all clients that a session creates from now on."""

    def __init__(self, session: "boto3.Session") -> None:
        self._seen: dict[tuple[str, int, str], Answer] = {}
        session.events.register("after-call", self._from_aws)
        session.events.register("after-call-error", self._no_answer)

    def take(self) -> tuple[Answer, ...]:
        """Return the answers since the last call, in the order of the first of each."""
        taken = tuple(self._seen.values())
        self._seen.clear()
        return taken

    def from_api(self, response: "httpx.Response") -> None:
        """Record a response of the deployment's API."""
        operation = f"{response.request.method} {response.request.url.path}"
        self._add(Answer(operation, response.status_code, "", response.headers.get("apigw-requestid", "")))

    def _from_aws(self, *, parsed: dict[str, Any], model: Any, **_: object) -> None:
        about, code = parsed.get("ResponseMetadata", {}), parsed.get("Error", {}).get("Code", "")
        self._add(Answer(_operation(model), about.get("HTTPStatusCode", 0), code, about.get("RequestId", "")))

    def _no_answer(self, *, exception: Exception, event_name: str, **_: object) -> None:
        service, operation = event_name.split(".", 2)[1:]
        self._add(Answer(f"{service}:{operation}", 0, type(exception).__name__, ""))

    def _add(self, answer: Answer) -> None:
        key = answer.operation, answer.status, answer.error
        before = self._seen.get(key)
        self._seen[key] = replace(answer, count=before.count + 1) if before else answer


def _operation(model: Any) -> str:
    return f"{model.service_model.endpoint_prefix}:{model.name}"
