"""Load generator: users who order, wait for the answer, think, and order again.

Runs as a separate process. Reads a `Run` as JSON from standard input and prints the users' requests as JSON. SIGTERM
makes the users stop; orders that they have sent are waited for.
"""

import asyncio
import contextlib
import json
import random
import signal
import sys
import time
import uuid
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp

ADDRESS = {"name": "A Customer", "street": "Long Road 1", "city": "Uppsala", "postalCode": "753 31", "country": "SE"}
_TIMEOUT = 35.0  # seconds; the API times out after 30
PLACED = "201"
NO_ANSWER = "no answer"


@dataclass(frozen=True)
class Run:
    """A load test; ``seconds`` follow the warm-up, ``think`` is the mean of the exponential think times in seconds.

    Users share the tokens evenly. Failed orders are not retried.
    """

    url: str
    tokens: list[str]
    skus: list[str]
    users: int
    think: float
    seconds: float
    warm_up: float
    seed: int = 1
    payment_token: str = "tok_approve"  # noqa: S105  # the sandbox's, which charges no one


@dataclass(frozen=True)
class Request:
    """One request: its start in seconds since the start of the test, its latency, and the answer's status.

    ``token`` is the number of the token, and ``key`` the idempotency key.
    """

    at: float
    milliseconds: float
    answer: str
    token: int
    key: str


async def shop(run: Run) -> list[Request]:
    """Run the test; return all requests, also those of the warm-up."""
    start, stopped = time.perf_counter(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_user(run, n, start, stopped)) for n in range(run.users)]
    return sorted((sent for task in tasks for sent in task.result()), key=lambda sent: sent.at)


async def _user(run: Run, n: int, start: float, stopped: asyncio.Event) -> list[Request]:
    """Run one user on a separate connection. Requests that started in time are waited for."""
    chance = random.Random(f"{run.seed}-{n}")
    end = start + run.warm_up + run.seconds
    token = n % len(run.tokens)
    headers = {"Authorization": f"Bearer {run.tokens[token]}"}
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
    requests: list[Request] = []
    is_remote = run.url.startswith("https:")  # the local stack is on this machine: no proxy
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, trust_env=is_remote) as session:
        while True:
            thought = chance.expovariate(1 / run.think)
            if time.perf_counter() + thought >= end or await _is_set_within(stopped, thought):
                return requests
            began, key = time.perf_counter(), str(uuid.uuid4())
            answer = await _place(session, run.url, order(run.skus, run.payment_token, chance), key)
            requests.append(Request(began - start, (time.perf_counter() - began) * 1000, answer, token, key))


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()


async def _place(session: aiohttp.ClientSession, url: str, body: dict[str, Any], key: str) -> str:
    try:
        async with session.post(url, json=body, headers={"Idempotency-Key": key}) as response:
            await response.read()
            return str(response.status)
    except (aiohttp.ClientError, TimeoutError):
        return NO_ANSWER


def order(skus: list[str], payment_token: str, chance: random.Random) -> dict[str, Any]:
    """Return an order of one to three of the products."""
    chosen = chance.sample(skus, chance.randint(1, min(3, len(skus))))
    lines = [{"sku": sku, "quantity": chance.randint(1, 2)} for sku in chosen]
    return {"lines": lines, "shippingAddress": ADDRESS, "paymentToken": payment_token}


def main() -> None:
    """Read a run, execute it, print its requests."""
    run = Run(**json.load(sys.stdin))
    json.dump([asdict(sent) for sent in asyncio.run(shop(run))], sys.stdout)


if __name__ == "__main__":
    main()
