"""A smoke test of a deployed stack: its routes, one order, dead letters and the sweeper.

The order is placed only with the sandbox payment provider, because any other one would charge a customer, and only with
a customer to place it. If orders have a cancel window, it is cancelled in it. Another one is packed, if the window is
short or the caller waits for its end. The test leaves behind a product and a customer, and for each run the orders.
"""

import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from handoff.clock import now_ms
from ops import smoke_order
from ops.dlq.directory import own_directory
from ops.polling import until
from ops.smoke_order import CheckFailed, SmokeOrder, expect
from ops.stack import observe
from ops.stack.deployment import Deployment

_ANSWERS_WITHIN = 35.0  # seconds; HTTP API waits for 30
_SWEEPS_WITHIN = 90.0  # seconds; it runs each minute
_ORDERS_LOG = "the log of the orders function"
_CONSUMERS_LOGS = "handoff dlq list, and the consumers' logs"


Step = tuple[str, str, Callable[[], str]]  # what it checks, where to look after a failure, and the check


@dataclass(frozen=True)
class Check:
    """A check, what it found, and whether it passed; None if it was skipped, or is only a warning."""

    what: str
    seen: str
    passed: bool | None
    look_at: str = ""  # where to look after a failure
    warns: bool = False


_SANDBOX_IN_PRODUCTION = Check(
    "customers pay",
    "no: this stack keeps its data like a shop, but its payment provider is the sandbox; tok_approve buys anything",
    None,
    "PaymentProvider in template.yaml",
    warns=True,
)


def run(
    deployment: Deployment,
    *,
    token: str = "",
    within: float = 120.0,
    packed: bool = False,
    steps: Sequence[Step] = (),
) -> Iterator[Check]:
    """Run the checks of a deployment one after the other.

    ``token`` signs in a customer if the stack's own pool accepts no passwords; ``within`` is how many seconds the
    consumers may take. With ``packed``, an order is followed until it is packed, also after a long cancel window.
    ``steps`` are run instead of those of an order of this test.
    """
    began, before = now_ms(), dead_letters(deployment)
    api = deployment.api_url
    yield check("the API answers", _ORDERS_LOG, lambda: _health(api))
    yield check("the catalog is public", _ORDERS_LOG, lambda: _catalog(api))
    yield check("protected routes need a token", "the routes' authorizer in template.yaml", lambda: _closed(api))
    if smoke_order.has_sandbox_payments(deployment) and deployment.parameters["DataPolicy"] == "Retain":
        yield _SANDBOX_IN_PRODUCTION
    obstacle = smoke_order.obstacle(deployment, token)
    if obstacle:
        yield Check("an order is processed", f"skipped: {obstacle}", None)
    elif steps:
        yield from run_steps(steps)
    else:
        yield from _of_own_order(deployment, SmokeOrder(deployment, token, within), asked=packed)
    yield check("no new dead letters", "handoff dlq list", lambda: none_new(before, deployment))
    yield check("the sweeper runs", "the log of the sweeper", lambda: _sweeps(deployment, began, within))


def check(what: str, look_at: str, run: Callable[[], str]) -> Check:
    """Run a check, which returns its finding or raises `CheckFailed`."""
    try:
        return Check(what, run(), True)
    except CheckFailed as failure:
        return Check(what, str(failure), False, look_at)
    except (httpx.HTTPError, ValueError, BotoCoreError, ClientError) as error:
        return Check(what, f"{type(error).__name__}: {error}", False, look_at)


def _health(api: str) -> str:
    mine = f"smoke-{uuid.uuid4()}"
    answer = _get(f"{api}/health", 200, **{"X-Correlation-Id": mine})
    expect(answer.json()["status"] == "ok", answer.text)
    expect(answer.headers.get("x-correlation-id") == mine, "the response lacks the request's correlation id")
    return "ok, with the request's correlation id"


def _catalog(api: str) -> str:
    page = _get(f"{api}/catalog", 200).json()
    return f"{len(page['products'])} products{' on the first page' if 'next' in page else ''}"


def _closed(api: str) -> str:
    for path in ("orders", "me", "reports/sales"):
        _get(f"{api}/{path}", 401)
    return "401"


def _get(url: str, status: int, **headers: str) -> httpx.Response:
    """Send a request without a token; return the response if it has this status."""
    answer = httpx.get(url, headers=headers, timeout=_ANSWERS_WITHIN)
    expect(answer.status_code == status, f"GET {url} answered {answer.status_code} {answer.text[:200]}")
    return answer


def run_steps(steps: Iterable[Step]) -> Generator[Check]:
    """Run steps until one fails."""
    for what, look_at, step in steps:
        found = check(what, look_at, step)
        yield found
        if not found.passed:
            return


def _of_own_order(deployment: Deployment, order: SmokeOrder, *, asked: bool) -> Iterator[Check]:
    """Check an order that is cancelled in its window, and one that is packed, if the window is short or it is asked."""
    unpacked = smoke_order.unpacked_because(deployment, asked=asked)
    packs = not unpacked
    with closing(order):
        yield from run_steps([*placing(order, packs=packs), *(packing(order) if packs else ())])
    if unpacked:
        yield Check("an order is packed and paid", f"not checked: {unpacked}", None)


def placing(order: SmokeOrder, *, packs: bool) -> list[Step]:
    """Return the steps of an order that is cancelled, if that is possible, and of placing one that is to be packed."""
    steps: list[Step] = [
        ("a customer signs in", "the stack's user pool, and your permissions for it", order.sign_in),
        ("an order is placed", _ORDERS_LOG, order.place),
        ("the same key gets the same response", _ORDERS_LOG, order.repeat),
    ]
    if smoke_order.can_cancel(order.deployment):
        settlement = "handoff dlq list settlement, and the log of settlement"
        steps += [
            ("it is cancelled, and its hold voided", settlement, order.cancelled),
            ("the consumers handled its events", _CONSUMERS_LOGS, partial(order.consumed, besides="fulfillment")),
            *([("another order is placed", _ORDERS_LOG, order.place)] if packs else []),
        ]
    return steps


def packing(order: SmokeOrder) -> list[Step]:
    """Return the steps of an order that was placed: it is packed, and every consumer gets its events."""
    look_at = "handoff dlq list, and the logs of fulfillment and settlement"
    return [
        ("the order is packed and paid", look_at, order.packed),
        ("every consumer handled its events", _CONSUMERS_LOGS, order.consumed),
    ]


def dead_letters(deployment: Deployment) -> dict[str, int]:
    """Return the size of each dead-letter queue, with messages that a receiver holds."""
    return {owner: observe.depth(deployment, url).total for url, owner in own_directory(deployment).dead.items()}


def none_new(before: Mapping[str, int], deployment: Deployment) -> str:
    """Return how many dead letters there are; raise `CheckFailed` if there are more than before."""
    now = dead_letters(deployment)
    new = {owner: count - before[owner] for owner, count in now.items() if count > before[owner]}
    expect(not new, ", ".join(f"{count} of {owner}" for owner, count in new.items()))
    return f"{sum(now.values())} older ones" if any(now.values()) else "none"


def _sweeps(deployment: Deployment, began: int, within: float) -> str:
    def reports() -> int:
        pages = deployment.logs.get_paginator("filter_log_events").paginate(
            logGroupName=deployment.resource("SweeperLogs"), startTime=began, filterPattern='"UnfinishedAge"'
        )
        return sum(len(page["events"]) for page in pages)  # an empty page may not be the last

    seconds = max(within, _SWEEPS_WITHIN)
    expect(until(reports, bool, seconds) > 0, f"no UnfinishedAge in {seconds:.0f} s")
    return "UnfinishedAge"
