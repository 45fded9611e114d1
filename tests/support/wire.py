"""The wire between Handoff's code and moto: what goes over it is recorded, and can be made to go wrong.

A fault sits below the SDK, where the network is: the SDK retries, parses and raises as it does in production, and
nothing of Handoff is patched. A crash is a `BaseException`, so that no handler can take it for an error and go on.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from moto.core.botocore_stubber import MockRawResponse
from moto.core.models import botocore_stubber


class Crash(BaseException):
    """The process dies here."""


@dataclass(slots=True)
class Call:
    """One request on the wire; a retry is a call of its own. ``status`` is None if the other side never saw it."""

    service: str
    operation: str
    request: dict[str, Any]
    status: int | None = None

    @property
    def name(self) -> str:
        """As in ``dynamodb.UpdateItem``."""
        return f"{self.service}.{self.operation}"

    @property
    def tables(self) -> set[str]:
        """The DynamoDB tables that it touches."""
        writes = [next(iter(write.values())) for write in self.request.get("TransactItems", [])]
        named = {part["TableName"] for part in (self.request, *writes) if "TableName" in part}
        return named | self.request.get("RequestItems", {}).keys()

    @property
    def values(self) -> dict[str, Any]:
        """The values in the expressions of a DynamoDB call, by name."""
        found: dict[str, Any] = self.request.get("ExpressionAttributeValues", {})
        return found


Deliver = Callable[[], AWSResponse]
Fault = Callable[[Call, Deliver], AWSResponse]


def refuse(code: str, status: int = 400, **members: Any) -> Fault:
    """AWS answers with an error and does nothing."""
    body = {"__type": code, "message": "refused by the test", **members}
    return lambda _call, _deliver: _response(status, body, {"x-amzn-errortype": code})


def answer(document: dict[str, Any]) -> Fault:
    """AWS answers 200 with this, and does nothing."""
    return lambda _call, _deliver: _response(200, document, {})


def cannot_connect(call: Call, deliver: Deliver) -> AWSResponse:
    """The request never leaves."""
    raise ConnectTimeoutError(endpoint_url=call.service)


def lose_request(call: Call, deliver: Deliver) -> AWSResponse:
    """Nothing is done, and no answer comes."""
    raise ReadTimeoutError(endpoint_url=call.service)


def lose_response(call: Call, deliver: Deliver) -> AWSResponse:
    """It is done, and no answer comes."""
    deliver()
    raise ReadTimeoutError(endpoint_url=call.service)


def crash_before(call: Call, deliver: Deliver) -> AWSResponse:
    """The process dies before the request leaves."""
    raise Crash(f"before {call.name}")


def crash_after(call: Call, deliver: Deliver) -> AWSResponse:
    """The process dies once the request is done, before it sees the answer."""
    deliver()
    raise Crash(f"after {call.name}")


def meanwhile(do: Callable[[], object]) -> Fault:
    """Something else happens before the request arrives."""

    def fault(_call: Call, deliver: Deliver) -> AWSResponse:
        do()
        return deliver()

    return fault


@dataclass(slots=True)
class _Planned:
    """A fault, and the calls that it strikes: of those that match, the nth and as many as ``times`` says."""

    pattern: str
    fault: Fault
    nth: int
    times: float
    where: Callable[[Call], bool]
    matched: int = field(default=0)

    def strikes(self, call: Call) -> bool:
        if not fnmatch(call.name, self.pattern) or not self.where(call):
            return False
        self.matched += 1
        return self.nth <= self.matched < self.nth + self.times


class Wire:
    """The transport of all boto3 clients that are made with its session."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._planned: list[_Planned] = []
        self.session = boto3.Session()
        self.session.events.unregister("before-send", botocore_stubber)
        self.session.events.register("before-send", self._send)

    def reset(self) -> None:
        """Forget all calls and faults."""
        self.calls.clear()
        self._planned.clear()

    def on(
        self,
        pattern: str,
        fault: Fault,
        *,
        nth: int = 1,
        times: float = 1,
        where: Callable[[Call], bool] = lambda call: True,
    ) -> None:
        """Plan a fault for the nth call from now on whose name matches, such as ``dynamodb.*``."""
        self._planned.append(_Planned(pattern, fault, nth, times, where))

    def always(self, pattern: str, fault: Fault, where: Callable[[Call], bool] = lambda call: True) -> None:
        """Plan a fault for every call from now on whose name matches."""
        self.on(pattern, fault, times=float("inf"), where=where)

    def heal(self) -> None:
        """No more faults."""
        self._planned.clear()

    @contextmanager
    def watched(self) -> Iterator[list[Call]]:
        """The calls made inside the block."""
        start = len(self.calls)
        seen: list[Call] = []
        try:
            yield seen
        finally:
            seen += self.calls[start:]

    def named(self, pattern: str) -> list[Call]:
        """The calls so far whose name matches."""
        return [call for call in self.calls if fnmatch(call.name, pattern)]

    def _send(self, event_name: str, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        _, service, operation = event_name.split(".")
        call = Call(service, operation, json.loads(request.body or "{}"))
        self.calls.append(call)

        def deliver() -> AWSResponse:
            response = botocore_stubber(event_name, request)
            assert response is not None, f"moto is not running, or does not know {call.name}"
            call.status = response.status_code
            return response

        strikes = [planned.fault for planned in self._planned if planned.strikes(call)]
        return strikes[0](call, deliver) if strikes else deliver()


def _response(status: int, document: dict[str, Any], headers: dict[str, str]) -> AWSResponse:
    return AWSResponse("", status, headers, MockRawResponse(json.dumps(document)))
