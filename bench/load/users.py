"""Load generator: users who order, wait for the answer, think, and order again.

Runs as a separate process. Reads a `Run` as JSON from standard input and prints the users' requests as JSON.
"""

import asyncio
import json
import random
import sys
import time
import uuid
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp

_ADDRESS = {"name": "A Customer", "street": "Long Road 1", "city": "Uppsala", "postalCode": "753 31", "country": "SE"}
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


@dataclass(frozen=True)
class Request:
    """One request: its start in seconds since the start of the test, its latency, and the answer's status."""

    at: float
    milliseconds: float
    answer: str


async def shop(run: Run) -> list[Request]:
    """Run the test; return the requests after the warm-up."""
    start = time.perf_counter()
    end = run.warm_up + run.seconds
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_user(run, n, start, end)) for n in range(run.users)]
    return sorted(
        (sent for task in tasks for sent in task.result() if sent.at >= run.warm_up), key=lambda sent: sent.at
    )


async def _user(run: Run, n: int, start: float, end: float) -> list[Request]:
    """Run one user on a separate connection. Requests that started in time are waited for."""
    chance = random.Random(f"{run.seed}-{n}")
    headers = {"Authorization": f"Bearer {run.tokens[n % len(run.tokens)]}"}
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
    requests: list[Request] = []
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        while True:
            thought = chance.expovariate(1 / run.think)
            if time.perf_counter() + thought >= start + end:
                return requests
            await asyncio.sleep(thought)
            began = time.perf_counter()
            answer = await _place(session, run.url, _order(run.skus, chance))
            requests.append(Request(began - start, (time.perf_counter() - began) * 1000, answer))


async def _place(session: aiohttp.ClientSession, url: str, order: dict[str, Any]) -> str:
    try:
        async with session.post(url, json=order, headers={"Idempotency-Key": str(uuid.uuid4())}) as response:
            await response.read()
            return str(response.status)
    except (aiohttp.ClientError, TimeoutError):
        return NO_ANSWER


def _order(skus: list[str], chance: random.Random) -> dict[str, Any]:
    lines = [{"sku": sku, "quantity": chance.randint(1, 2)} for sku in chance.sample(skus, chance.randint(1, 3))]
    return {"lines": lines, "shippingAddress": _ADDRESS, "paymentToken": "tok_approve"}


def main() -> None:
    """Read a run, execute it, print its requests."""
    run = Run(**json.load(sys.stdin))
    json.dump([asdict(sent) for sent in asyncio.run(shop(run))], sys.stdout)


if __name__ == "__main__":
    main()
