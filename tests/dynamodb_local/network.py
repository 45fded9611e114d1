"""The network between many threads and DynamoDB Local, with the faults of AWS that the local engine lacks.

DynamoDB Local never reports a transaction conflict and never loses an answer.
"""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.httpsession import URLLib3Session

from dev.simulated import sessions
from dev.simulated.wire import Call, Fault, answer, conflict, lose_response, refuse

_WRITES = {"PutItem", "UpdateItem", "TransactWriteItems"}
_LOSES_ANSWER = 0.03  # share of the writes
_CONFLICTS = 0.06  # share of the writes that conflict, this many times in a row;
_IN_A_ROW = (1, 1, 1, 1, 2, 2, 3, 9)  # the last is more than the tries of a write
# Seconds that a transaction holds its items. On AWS it is less, but a machine with these threads also has fewer orders.
_TRANSACTION = 0.03
_AT_A_TIME = 16  # calls
_KEYS = ("orderId", "sku", "userId", "id")  # of the tables that transactions write
_NAMES = {conflict: "conflicts injected", lose_response: "lost answers injected"}


class Network:
    """Carries the functions' calls. ``events`` are those that the bus accepted, ``counts`` the injected faults."""

    def __init__(self, seed: int) -> None:
        self.session = sessions.sending_to(self._send)
        self.events: list[dict[str, Any]] = []
        self.counts: Counter[str] = Counter()
        self.bus_works = True
        self._faults: Callable[[Call], Fault | None] | None = None
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._thread = threading.local()
        self._turns: threading.Semaphore | None = None
        self._held: dict[tuple[str, str], float] = {}  # until when, by table and key
        self._http = URLLib3Session(max_pool_connections=100)

    def faulty(self) -> AbstractContextManager[None]:
        """Let some writes conflict and some answers get lost while the context lasts."""
        return self._with(self._any_fault)

    def losing_answers(self, *then: Fault) -> AbstractContextManager[None]:
        """Let each write lose its answer while the context lasts; ``then`` are the faults of its retries.

        Writes to the payment provider are excluded: a request makes only one.
        """
        course = (lose_response, *then, None)

        def fault(call: Call) -> Fault | None:
            if any("Sandbox" in table for table in call.tables):
                return None
            self._thread.step = (getattr(self._thread, "step", -1) + 1) % len(course)
            return course[self._thread.step]

        return self._with(fault)

    @contextmanager
    def unhurried(self) -> Iterator[None]:
        """Let few calls be under way at a time: this engine would answer hundreds too late. Others wait for a turn."""
        self._turns = threading.Semaphore(_AT_A_TIME)
        try:
            yield
        finally:
            self._turns = None

    def contended(self) -> AbstractContextManager[None]:
        """Let a write conflict with a transaction that has begun on the same item, while the context lasts.

        As in https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
        """
        return self._with(self._conflict_of)

    def _conflict_of(self, call: Call) -> Fault | None:
        if any("Sandbox" in table for table in call.tables):
            return None
        items, now = _items(call), time.monotonic()
        with self._lock:
            if any(self._held.get(item, 0) > now for item in items):
                return conflict
            if call.operation == "TransactWriteItems":
                self._held.update(dict.fromkeys(items, now + _TRANSACTION))
        return None

    @contextmanager
    def _with(self, fault_of: Callable[[Call], Fault | None]) -> Iterator[None]:
        self._faults = fault_of
        try:
            yield
        finally:
            self._faults = None

    def _send(self, event_name: str, request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        _, service, operation = event_name.split(".")
        call = Call(service, operation, json.loads(request.body or "{}"))
        if service == "eventbridge":
            return self._publish(call)
        assert service == "dynamodb", f"{call.name} is not simulated"
        if self._turns:
            with self._turns:
                return self._deliver(call, request) or self._http.send(request)
        return self._deliver(call, request)

    def _deliver(self, call: Call, request: AWSPreparedRequest) -> AWSResponse | None:
        """Return the answer of an injected fault, if there is one."""
        if not self._faults or call.operation not in _WRITES:
            return None
        fault = self._faults(call)
        with self._lock:
            self.counts.update(["writes"] if fault is None else ["writes", _NAMES[fault]])
        return fault(call, lambda: self._http.send(request)) if fault else None

    def _publish(self, call: Call) -> AWSResponse:
        if not self.bus_works:
            return refuse("InternalFailure", 500)(call, _nowhere)
        entries = call.request["Entries"]
        self.events += [{**entry, "Detail": json.loads(entry["Detail"])} for entry in entries]
        taken = {"FailedEntryCount": 0, "Entries": [{"EventId": str(n)} for n, _ in enumerate(entries)]}
        return answer(taken)(call, _nowhere)

    def _any_fault(self, _call: Call) -> Fault | None:
        left = getattr(self._thread, "conflicts", 0)
        with self._lock:
            choice = self._random.random()
            if left == 0 and choice < _LOSES_ANSWER:
                return lose_response
            if left == 0 and choice < _LOSES_ANSWER + _CONFLICTS:
                left = self._random.choice(_IN_A_ROW)
        self._thread.conflicts = max(0, left - 1)
        return conflict if left else None


def _items(call: Call) -> set[tuple[str, str]]:
    """Return the table and the key of each item that a call writes, or whose condition it checks."""
    writes = call.request.get("TransactItems", [{call.operation: call.request}])
    return {_item(request) for write in writes for request in write.values()}


def _item(write: dict[str, Any]) -> tuple[str, str]:
    item = write.get("Key") or write["Item"]
    key = next(item[name] for name in _KEYS if name in item)
    return write["TableName"], json.dumps(key)


def _nowhere() -> AWSResponse:
    raise AssertionError("nothing is behind the bus")
