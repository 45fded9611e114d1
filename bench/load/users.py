"""Users of a shop, in a process of its own: each orders, waits for the answer, thinks, and orders again.

It reads a `Run` as JSON from its input, and prints what the users saw.
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
_LONGEST_ANSWER = 35.0  # seconds; the API itself gives up after 30
PLACED = "201"
NO_ANSWER = "no answer"


@dataclass(frozen=True)
class Run:
    """So many users, for so many seconds after a warm-up; ``think`` is the mean of their exponential think times.

    Users share the tokens evenly. A failed order is not tried again.
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
class Order:
    """One request: when it was sent, in seconds since the start, how long its answer took, and what it was."""

    at: float
    milliseconds: float
    answer: str


async def shop(run: Run) -> list[Order]:
    """Let the users shop; their orders, but for those of the warm-up."""
    start = time.perf_counter()
    end = run.warm_up + run.seconds
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_user(run, n, start, end)) for n in range(run.users)]
    return sorted((order for task in tasks for order in task.result() if order.at >= run.warm_up), key=lambda o: o.at)


async def _user(run: Run, n: int, start: float, end: float) -> list[Order]:
    """One user with a connection of their own. Every order that was begun in time is waited for."""
    chance = random.Random(f"{run.seed}-{n}")
    headers = {"Authorization": f"Bearer {run.tokens[n % len(run.tokens)]}"}
    timeout = aiohttp.ClientTimeout(total=_LONGEST_ANSWER)
    orders: list[Order] = []
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        while True:
            thought = chance.expovariate(1 / run.think)
            if time.perf_counter() + thought >= start + end:
                return orders
            await asyncio.sleep(thought)
            began = time.perf_counter()
            answer = await _place(session, run.url, _order(run.skus, chance))
            orders.append(Order(began - start, (time.perf_counter() - began) * 1000, answer))


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
    """Read a run, do it, print its orders."""
    run = Run(**json.load(sys.stdin))
    json.dump([asdict(order) for order in asyncio.run(shop(run))], sys.stdout)


if __name__ == "__main__":
    main()
