"""Outage drills: one thing after the other breaks on the local stack while customers keep ordering.

After each outage the fault is removed, dead letters are redriven, and everything is counted. No effect may be lost, and
none doubled.
"""

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dev import invariants
from dev.demo import orders as demo
from dev.demo.orders import Progress
from dev.drills.outages import DRILLS, Drill, Observation
from dev.drills.recovery import recover
from dev.drills.report import LATE_AFTER, Latency, Report
from dev.drills.shoppers import Purchase, shop
from dev.drills.stack import DrillStack
from dev.faults.proxy import running_proxy
from dev.faults.rules import Planned
from dev.invariants import Snapshot, Violation
from ops.stack import observe

_CALM = 10.0  # seconds before and after an outage
_PRODUCTS = ("COFFEE-ETH-250", "COFFEE-COL-1000", "TEA-ASSAM-100", "FILTER-02-100", "MUG-BLUE", "MUG-SAND")
_ADDRESS = {"name": "A Customer", "street": "Long Road 1", "city": "Uppsala", "postalCode": "753 31", "country": "SE"}


@contextmanager
def drill_stack(port: int, progress: Progress) -> Iterator[DrillStack]:
    """Deploy and warm up a stack for drills; remove it afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="handoff-drill-") as state,
        running_proxy(f"http://127.0.0.1:{port}") as proxy,
    ):
        stack = DrillStack(port, proxy, Path(state))
        try:
            stack.deploy(progress)
            stack.shorten_retries()
            stack.limit_consumers()
            progress("warming up")
            with _shopping(stack):
                time.sleep(_CALM)
            recover(stack, (), progress)
            yield stack
        finally:
            stack.stop()


@dataclass(frozen=True)
class Outage:
    """The purchases, faults and observations, and when the outage began and ended by `time.monotonic`."""

    purchases: list[Purchase]
    planned: list[Planned]
    observation: Observation
    began: float
    ended: float

    @property
    def during(self) -> list[float]:
        """Durations in seconds of the orders that were begun during the outage."""
        return [bought.seconds for bought in self.purchases if self.began <= bought.started < self.ended]

    @property
    def outside(self) -> list[float]:
        """Durations in seconds of the other orders."""
        return [bought.seconds for bought in self.purchases if not self.began <= bought.started < self.ended]


def run(stack: DrillStack, name: str, progress: Progress) -> Report:
    """Run one drill, wait until the stack has recovered, and count."""
    drill = DRILLS[name]
    killed, mails, late = len(stack.proxy.killed), stack.interrupted_mails, _late(observe.lags(stack.deployment))
    outage = _cause(stack, name, drill, progress)
    letters = recover(stack, drill.permanent, progress)
    recovered = time.monotonic()
    snapshot = stack.snapshot()
    return Report(
        name=name,
        what=drill.what,
        seconds=round(outage.ended - outage.began, 1),
        recovered_after=round(recovered - outage.ended, 1),
        struck=sum(each.struck for each in outage.planned),
        killed=len(stack.proxy.killed) - killed,
        answers=Counter(str(bought.status or "gave up") for bought in outage.purchases),
        failures=Counter(failure for bought in outage.purchases for failure in bought.failures),
        during=Latency.of(outage.during),
        outside=Latency.of(outage.outside),
        late=_late(snapshot.lags) - late,
        dead_letters=letters.reasons,
        redriven=letters.redriven,
        seen=outage.observation.seen,
        violations=[*outage.observation.violations, *_new_violations(stack, snapshot)],
        mails_allowed=stack.interrupted_mails - mails,
    )


def _cause(stack: DrillStack, name: str, drill: Drill, progress: Progress) -> Outage:
    """Cause the outage between two calm periods, while customers keep ordering."""
    with _shopping(stack) as purchases:
        progress(f"{name}: no fault yet")
        time.sleep(_CALM)
        progress(f"{name}: {drill.what}")
        began = time.monotonic()
        with drill.fault(stack) as planned:
            time.sleep(drill.seconds)
            observation = drill.watch(stack)
        ended = time.monotonic()
        progress(f"{name}: fault removed")
        time.sleep(_CALM)
    return Outage(purchases, planned, observation, began, ended)


def _new_violations(stack: DrillStack, snapshot: Snapshot) -> list[Violation]:
    """Return the violations that earlier drills did not leave behind."""
    answered = [{"orderId": order_id} for order_id in stack.answered]
    found = Counter(invariants.check(snapshot, demo.initial_stock(), answered))
    fresh = list((found - stack.known).elements())
    stack.known |= found
    return fresh


@contextmanager
def _shopping(stack: DrillStack) -> Iterator[list[Purchase]]:
    """Let all customers order while the context lasts; their purchases are in the list afterwards."""
    closed = threading.Event()
    purchases: list[Purchase] = []
    with ExitStack() as clients_open, ThreadPoolExecutor(len(stack.accounts)) as threads:
        clients = [clients_open.enter_context(stack.client(account)) for account in stack.accounts]
        started = [threads.submit(shop, client, _PRODUCTS, _ADDRESS, closed) for client in clients]
        try:
            yield purchases
        finally:
            closed.set()
        purchases += [bought for done in started for bought in done.result()]
    stack.answered |= {bought.order_id for bought in purchases if bought.status == 201 and bought.order_id}


def _late(lags: Mapping[str, Sequence[int]]) -> Counter[str]:
    return Counter({name: sum(lag > LATE_AFTER * 1000 for lag in values) for name, values in lags.items()})
