"""Rules of the fault proxy: which calls fail, and how.

A call to AWS has a name such as ``dynamodb.TransactWriteItems``, ``eventbridge.PutEvents``, ``sqs.SendMessage`` or
``sesv2.SendEmail``. Any other call is named after its request, as in ``POST /v1/payment_intents``.
"""

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Prefixes of the header X-Amz-Target. SES has a REST API, where the path names the operation.
_SERVICES = {"DynamoDB_20120810": "dynamodb", "AWSEvents": "eventbridge", "AmazonSQS": "sqs"}
_PATHS = {("POST", "/v2/email/outbound-emails"): "sesv2.SendEmail"}


class Call:
    """One incoming request. Each retry of a client is another call."""

    def __init__(self, method: str, path: str, target: str, body: bytes) -> None:
        self._body = body
        service, _, operation = target.partition(".")
        if service in _SERVICES:
            self.name = f"{_SERVICES[service]}.{operation}"
        else:
            self.name = _PATHS.get((method, path), f"{method} {path}")

    @cached_property
    def _request(self) -> dict[str, Any]:
        """The request to DynamoDB; empty if the call is for another service."""
        request: dict[str, Any] = json.loads(self._body) if self.name.startswith("dynamodb.") else {}
        return request

    @property
    def tables(self) -> set[str]:
        """The DynamoDB tables that it reads or writes."""
        steps = [next(iter(step.values())) for step in self._request.get("TransactItems", [])]
        named = [part["TableName"] for part in (self._request, *steps) if "TableName" in part]
        return {*named, *self._request.get("RequestItems", {})}

    @property
    def puts(self) -> set[str]:
        """The tables into which it puts a whole item."""
        if self.name == "dynamodb.PutItem":
            return {self._request["TableName"]}
        return {step["Put"]["TableName"] for step in self._request.get("TransactItems", []) if "Put" in step}


class Rule(BaseModel):
    """A fault, and the calls that it strikes.

    ``call``, ``table`` and ``puts`` are patterns with ``*``: of the call's name, of a table that it reads or writes,
    and of a table into which it puts a whole item. The rule strikes a random ``share`` of the matching calls, at most
    ``times``. A struck call waits for ``delay`` milliseconds. Then

    - ``refuse``: the proxy answers with this error code and ``status``, and does not forward the call.
    - ``answer``: the proxy answers 200 with this document, and does not forward the call.
    - ``drop``: the proxy closes the connection, "before" or "after" it forwards the call. With ``kill``, it also kills
      the calling process with SIGKILL.
    - Without any of these, the call is forwarded and answered.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    call: str = "*"
    table: str | None = None
    puts: str | None = None
    share: float = Field(default=1.0, gt=0, le=1)
    times: int | None = Field(default=None, ge=1)
    delay: int = Field(default=0, ge=0)
    refuse: str | None = None
    status: int = Field(default=400, ge=400, le=599)
    answer: dict[str, Any] | None = None
    drop: Literal["before", "after"] | None = None
    kill: bool = False

    @model_validator(mode="after")
    def _one_end(self) -> "Rule":
        if sum(end is not None for end in (self.refuse, self.answer, self.drop)) > 1:
            raise ValueError("a call can be refused, answered or dropped, but only one of these")
        if self.kill and self.drop is None:
            raise ValueError("with kill, say whether to drop the call before or after anything is done")
        return self

    def fits(self, call: Call) -> bool:
        """Return whether the rule matches a call."""
        return (
            fnmatchcase(call.name, self.call)
            and _any_fits(self.table, call.tables if self.table else set())
            and _any_fits(self.puts, call.puts if self.puts else set())
        )


def _any_fits(pattern: str | None, names: set[str]) -> bool:
    return pattern is None or any(fnmatchcase(name, pattern) for name in names)


@dataclass(slots=True)
class Planned:
    """A rule in force, the number of calls that matched it, and the number that it struck."""

    number: int
    rule: Rule
    matched: int = 0
    struck: int = 0

    @property
    def used_up(self) -> bool:
        """Whether it has struck ``times`` calls."""
        return self.rule.times is not None and self.struck >= self.rule.times


class Faults:
    """The rules in force, and the number of calls by name. Thread-safe.

    ``seed`` makes the choices of rules with a ``share`` repeatable.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(seed)
        self._planned: dict[int, Planned] = {}
        self._last = 0
        self._calls: Counter[str] = Counter()

    def add(self, rule: Rule) -> Planned:
        """Add a rule after the others. The first rule that strikes a call decides."""
        with self._lock:
            self._last += 1
            planned = self._planned[self._last] = Planned(self._last, rule)
        return planned

    def remove(self, number: int) -> Planned | None:
        """Remove a rule; return it with its counts, None if there is no such rule."""
        with self._lock:
            return self._planned.pop(number, None)

    def heal(self) -> None:
        """Remove all rules."""
        with self._lock:
            self._planned.clear()

    @contextmanager
    def in_force(self, *rules: Rule) -> Iterator[list[Planned]]:
        """Add rules while the context lasts. Their counts can still be read afterwards."""
        planned = [self.add(rule) for rule in rules]
        try:
            yield planned
        finally:
            for each in planned:
                self.remove(each.number)

    def strike(self, call: Call) -> Rule | None:
        """Count a call; return the rule that strikes it, if any."""
        with self._lock:
            self._calls[call.name] += 1
            for planned in self._planned.values():
                if planned.used_up or not planned.rule.fits(call):
                    continue
                planned.matched += 1
                if planned.rule.share == 1 or self._random.random() < planned.rule.share:
                    planned.struck += 1
                    return planned.rule
        return None

    def planned(self) -> list[Planned]:
        """Return the rules in force with their counts."""
        with self._lock:
            return list(self._planned.values())

    def calls(self) -> Counter[str]:
        """Return the number of calls so far, by name."""
        with self._lock:
            return self._calls.copy()
