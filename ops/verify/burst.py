"""Check: a burst of requests above a route's limit is throttled with 429."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NoReturn

import httpx

from ops.polling import until
from ops.smoke_order import CheckFailed
from ops.stack.deployment import Deployment
from ops.verify.check import Attempt, Check, NotAvailable, Situation

_ROUTE = "GET /health"
# Requests at a time. A new AWS account has ten concurrent executions of Lambda, which would throttle more with 503.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_AT_A_TIME = 8
_MOST = 600  # requests; limits are targets, which AWS may exceed
_THROTTLED, _ENOUGH = 429, 3
_RECOVERS_WITHIN = 30.0  # seconds


@dataclass(frozen=True)
class _Limit:
    """A route's limit: requests a second, and at once."""

    rate: float
    burst: int


@dataclass
class _Seen:
    """The responses to a burst."""

    statuses: Counter[int] = field(default_factory=Counter)
    first: int = 0  # the number of the first request that was throttled

    def add(self, response: httpx.Response) -> None:
        """Count a response."""
        self.statuses[response.status_code] += 1
        if response.status_code == _THROTTLED and not self.first:
            self.first = self.statuses.total()

    def __str__(self) -> str:
        return ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))


def _run(attempt: Attempt) -> str:
    deployment = attempt.situation.deployment
    limit = _limit(deployment)
    if limit.burst + limit.rate > _MOST / 2:
        raise NotAvailable(
            f"the limit of {_ROUTE}, {limit.rate:g}/s and {limit.burst} at once, needs too many requests"
        )
    seen, began = _Seen(), time.monotonic()
    with httpx.Client(base_url=deployment.api_url, timeout=35) as client:
        for response in _responses(client):
            attempt.answers.from_api(response)
            seen.add(response)
            if seen.statuses[_THROTTLED] >= _ENOUGH:
                break
        errors = sum(count for status, count in seen.statuses.items() if status >= 500)
        if errors:
            raise CheckFailed(f"{seen}: Lambda throttled before the API did. Request more concurrent executions")
        if not seen.first:
            _explain(seen, limit, seen.statuses.total() / (time.monotonic() - began))
        answers = until(lambda: client.get("/health").status_code, lambda status: status == 200, _RECOVERS_WITHIN)
        if answers != 200:
            raise CheckFailed(f"{_ROUTE} still answers {answers} {_RECOVERS_WITHIN:.0f} s after the burst")
    return f"429 for request {seen.first} ({seen}); the limit is {limit.rate:g}/s and {limit.burst} at once"


def _explain(seen: _Seen, limit: _Limit, rate: float) -> NoReturn:
    """Raise what a burst without 429 means: no limit, or too slow a connection to exceed it."""
    text = f"{seen} at {rate:.0f}/s: none was throttled. The limit is {limit.rate:g}/s and {limit.burst} at once"
    if rate < limit.rate * 2:
        raise NotAvailable(f"{text}. Run it from a machine nearer to the region")
    raise CheckFailed(text)


def _responses(client: httpx.Client) -> Iterator[httpx.Response]:
    """Send requests, some at a time, and yield the responses; close the iterator to stop."""
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for _ in range(_MOST // _AT_A_TIME):
            yield from pool.map(lambda _: client.get("/health"), range(_AT_A_TIME))


def _limit(deployment: Deployment) -> _Limit:
    stages = deployment.client("apigatewayv2").get_stages(ApiId=deployment.outputs["ApiId"])["Items"]
    (stage,) = stages
    settings = stage["DefaultRouteSettings"] | stage["RouteSettings"].get(_ROUTE, {})
    return _Limit(settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"])


def _obstacle(situation: Situation) -> str:
    return "the local stack does not throttle" if situation.is_local else ""


CHECK = Check(
    key="burst",
    name="a burst is throttled",
    does=f"sends up to {_MOST} requests to {_ROUTE}, until {_ENOUGH} are answered with 429",
    takes="1 min",
    needs="apigateway:GET",
    costs={"http_api_request": _MOST, "lambda_request": _MOST, "lambda_gb_second": _MOST * 0.1},
    run=_run,
    obstacle=_obstacle,
)
