"""Answers of AWS that moto does not give, returned below the SDK; all other requests go on to moto."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import boto3

Answer = Callable[[dict[str, Any]], Any]


class AwsAnswers:
    """Makes sessions whose requests it knows and may answer.

    ``answers`` maps ``service.Operation`` to the answer, an exception to raise, or a function of the request's
    parameters that returns one of these.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self._session = boto3.Session

    def session(self, *args: Any, **kwargs: Any) -> boto3.Session:
        """Return a session like `boto3.Session`, which this may stand for."""
        session = self._session(*args, **kwargs)
        session.events.register("before-parameter-build", self._remember)
        session.events.register("before-call", self._answer)
        return session

    def _remember(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["given"] = params

    def _answer(self, model: Any, context: dict[str, Any], **_: Any) -> tuple[SimpleNamespace, Any] | None:
        operation = f"{model.service_model.service_name}.{model.name}"
        self.asked.append(operation)
        answer = self.answers.get(operation)
        if callable(answer):
            answer = answer(context["given"])
        if answer is None:
            return None
        if isinstance(answer, Exception):
            raise answer
        status = 400 if "Error" in answer else 200
        return SimpleNamespace(status_code=status), answer


def refusal(code: str, message: str = "") -> dict[str, Any]:
    """Return an answer of AWS that becomes a ClientError."""
    return {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {}}
