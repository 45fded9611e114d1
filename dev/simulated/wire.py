"""The wire between the functions and moto: all calls are recorded, and faults can be injected.

A fault sits below the SDK, at the network: the SDK retries, parses and raises as it does in production, and no code of
Handoff is patched. A crash is a `BaseException`, so that no handler can catch it as an error and continue.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, ConnectTimeoutError, ReadTimeoutError
from moto.core.botocore_stubber import MockRawResponse
from moto.core.models import botocore_stubber

from dev.simulated import sessions

_TOKEN = "ClientRequestToken"  # noqa: S105  # a request's member
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_TOKEN_LIVES = 600  # seconds


class Crash(BaseException):
    """The process dies at this call."""


@dataclass(slots=True)
class Call:
    """One request on the wire. A retry is another call. ``status`` is None if moto never received it."""

    service: str
    operation: str
    request: dict[str, Any]
    status: int | None = None

    @property
    def name(self) -> str:
        """The name, such as ``dynamodb.UpdateItem``."""
        return f"{self.service}.{self.operation}"

    @property
    def tables(self) -> set[str]:
        """The DynamoDB tables that it reads or writes."""
        writes = [next(iter(write.values())) for write in self.request.get("TransactItems", [])]
        named = [part["TableName"] for part in (self.request, *writes) if "TableName" in part]
        return {*named, *self.request.get("RequestItems", {})}

    def is_retry_of(self, earlier: "Call") -> bool:
        """Return whether it repeats an earlier request, as a retry of the SDK or of our code."""
        return self.name == earlier.name and _without_token(self.request) == _without_token(earlier.request)

    @property
    def values(self) -> dict[str, Any]:
        """The values in the expressions of a DynamoDB call, by name."""
        found: dict[str, Any] = self.request.get("ExpressionAttributeValues", {})
        return found


Deliver = Callable[[], AWSResponse]
Fault = Callable[[Call, Deliver], AWSResponse]


def _without_token(request: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in request.items() if name != _TOKEN}


def refuse(code: str, status: int = 400, **members: Any) -> Fault:
    """Make AWS answer with an error and do nothing."""
    body = {"__type": code, "message": "refused by the test", **members}
    return lambda _call, _deliver: _response(status, body, {"x-amzn-errortype": code})


def answer(document: dict[str, Any]) -> Fault:
    """Make AWS answer 200 with this document and do nothing."""
    return lambda _call, _deliver: _response(200, document, {})


def conflict(call: Call, deliver: Deliver) -> AWSResponse:
    """Make DynamoDB detect another transaction on the same items. Moto never does."""
    writes = call.request.get("TransactItems")
    if not writes:
        return refuse("TransactionConflictException")(call, deliver)
    reasons = [{"Code": "None"}] * (len(writes) - 1) + [{"Code": "TransactionConflict", "Message": "ongoing"}]
    return refuse("TransactionCanceledException", CancellationReasons=reasons)(call, deliver)


def fail_first_entry(call: Call, deliver: Deliver) -> AWSResponse:
    """Make EventBridge answer 200 and accept all entries except the first."""
    first, *others = call.request["Entries"]
    taken = []
    if others:
        call.request["Entries"] = others
        taken = json.loads(deliver().content)["Entries"]
    else:
        call.status = None  # no entry was accepted
    failed = {"ErrorCode": "InternalFailure", "ErrorMessage": f"{first['DetailType']} refused by the test"}
    return _response(200, {"FailedEntryCount": 1, "Entries": [failed, *taken]}, {})


def leave_some(call: Call, deliver: Deliver) -> AWSResponse:
    """Make DynamoDB read only the first key of each table in a batch."""
    left = {table: {**wanted, "Keys": wanted["Keys"][1:]} for table, wanted in call.request["RequestItems"].items()}
    for wanted in call.request["RequestItems"].values():
        wanted["Keys"] = wanted["Keys"][:1]
    found = json.loads(deliver().content)
    found["UnprocessedKeys"] = {table: wanted for table, wanted in left.items() if wanted["Keys"]}
    return _response(200, found, {})


def cannot_connect(call: Call, deliver: Deliver) -> AWSResponse:
    """Fail before the request is sent."""
    raise ConnectTimeoutError(endpoint_url=call.service)


def reset_connection(call: Call, deliver: Deliver) -> AWSResponse:
    """Reset the connection without doing anything, as one that died before the request was sent."""
    raise ConnectionClosedError(endpoint_url=call.service)


def lose_request(call: Call, deliver: Deliver) -> AWSResponse:
    """Time out without doing anything."""
    raise ReadTimeoutError(endpoint_url=call.service)


def lose_response(call: Call, deliver: Deliver) -> AWSResponse:
    """Do the request, then time out."""
    deliver()
    raise ReadTimeoutError(endpoint_url=call.service)


def lose_response_and_token(call: Call, deliver: Deliver) -> AWSResponse:
    """Do the request, then time out; DynamoDB has forgotten the request's token when the retry comes."""
    call.request.pop(_TOKEN, None)
    return lose_response(call, deliver)


def crash_before(call: Call, deliver: Deliver) -> AWSResponse:
    """Kill the process before the request is sent."""
    raise Crash(f"before {call.name}")


def crash_after(call: Call, deliver: Deliver) -> AWSResponse:
    """Kill the process after the request is done, before it sees the answer."""
    deliver()
    raise Crash(f"after {call.name}")


def meanwhile(do: Callable[[], object]) -> Fault:
    """Do something else before the request arrives."""

    def fault(_call: Call, deliver: Deliver) -> AWSResponse:
        do()
        return deliver()

    return fault


@dataclass(slots=True)
class _Planned:
    """A fault, and the calls that it strikes: of the matching calls, ``times`` from the nth on."""

    pattern: str
    fault: Fault
    nth: int
    times: float
    where: Callable[[Call], bool]
    retries: bool
    matched: int = field(default=0)
    first: Call | None = field(default=None)

    def strikes(self, call: Call) -> bool:
        if not fnmatch(call.name, self.pattern) or not self.where(call):
            return False
        if self.retries and self.first and not call.is_retry_of(self.first):
            self.times = 0  # the retries have ended
        self.matched += 1
        struck = self.nth <= self.matched < self.nth + self.times
        if struck and not self.first:
            self.first = call
        return struck


class Wire:
    """The transport of all clients created with its session."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._planned: list[_Planned] = []
        self._tokens: dict[str, float] = {}
        self.gate: Callable[[Call], None] = lambda _call: None  # a call waits here until it may continue
        self._moto = threading.RLock()  # moto is not thread-safe
        self.session = sessions.sending_to(self._send)

    def reset(self) -> None:
        """Forget all calls and faults."""
        self.calls.clear()
        self._planned.clear()
        self._tokens.clear()

    def on(
        self,
        pattern: str,
        fault: Fault,
        *,
        nth: int = 1,
        times: float = 1,
        where: Callable[[Call], bool] = lambda _call: True,
        retries: bool = False,
    ) -> None:
        """Plan a fault for the nth call from now on whose name matches, such as ``dynamodb.*``.

        With ``retries``, further ``times`` strike retries of that call only, and only those that follow at once.
        """
        self._planned.append(_Planned(pattern, fault, nth, times, where, retries))

    def always(self, pattern: str, fault: Fault, where: Callable[[Call], bool] = lambda _call: True) -> None:
        """Plan a fault for every call from now on whose name matches."""
        self.on(pattern, fault, times=float("inf"), where=where)

    def heal(self) -> None:
        """Remove all faults."""
        self._planned.clear()

    @contextmanager
    def watched(self) -> Iterator[list[Call]]:
        """Collect the calls made while the context lasts."""
        start = len(self.calls)
        seen: list[Call] = []
        try:
            yield seen
        finally:
            seen += self.calls[start:]

    def named(self, pattern: str) -> list[Call]:
        """Return the calls so far whose name matches."""
        return [call for call in self.calls if fnmatch(call.name, pattern)]

    def _send(self, event_name: str, request: Any, **_more: Any) -> AWSResponse:
        _, service, operation = event_name.split(".")
        call = Call(service, operation, json.loads(request.body or "{}"))

        def deliver() -> AWSResponse:
            if self._is_done(call):
                call.status = 200
                return _response(200, {}, {})
            if call.request:
                request.body = json.dumps(call.request).encode()  # a fault may have changed it
            with self._moto:
                response = botocore_stubber(event_name, request)
            assert response is not None, f"moto is not running, or does not know {call.name}"
            call.status = response.status_code
            if call.status == 200 and _TOKEN in call.request:
                self._tokens[call.request[_TOKEN]] = time.time()
            return response

        answer: AWSResponse = self.carry(call, deliver)
        return answer

    def carry(self, call: Call, deliver: Callable[[], Any]) -> Any:
        """Record a call and deliver it, unless a planned fault strikes; also for calls that do not use botocore."""
        self.gate(call)
        self.calls.append(call)
        strikes = [planned.fault for planned in self._planned if planned.strikes(call)]
        return strikes[0](call, deliver) if strikes else deliver()

    def _is_done(self, call: Call) -> bool:
        """Return whether a transaction with this token has succeeded. DynamoDB then does not repeat it; moto would."""
        token = call.request.get(_TOKEN)
        return token in self._tokens and time.time() - self._tokens[token] < _TOKEN_LIVES


def _response(status: int, document: dict[str, Any], headers: Any) -> AWSResponse:
    return AWSResponse("", status, headers, MockRawResponse(json.dumps(document)))
