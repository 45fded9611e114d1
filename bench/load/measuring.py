"""Measure both wirings on the local stack: network conditions, numbers of users."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from bench.awake import processors_awake
from bench.load.network_conditions import DOWN, FLAKY, NO_BUS, NORMAL, SLOW, NetworkConditions
from bench.load.rig import BUDGET, LoadRig, load_rig
from ops.load import users as users_program
from ops.load.users import PLACED, Run

Progress = Callable[[str], None]

THINK = 10.0  # seconds, mean
USERS = {10: 25.0, 50: 35.0}  # seconds by number of users
_BOTH = ("Handoff", "chain")
_WARM_UP = 5.0  # seconds
_REPORT = re.compile(r"^REPORT .*?\bDuration: ([\d.]+) ms")


@dataclass(frozen=True)
class _LoadTest:
    rig: LoadRig
    progress: Progress
    share: float  # of the full duration

    def run(
        self,
        wiring: str,
        conditions: NetworkConditions,
        *,
        users: int,
        think: float,
        seconds: float,
        warm_up: float = _WARM_UP,
    ) -> dict[str, Any]:
        """Run users against one wiring; return the latencies in milliseconds by answer, and the backlog afterwards."""
        self.progress(f"{conditions.title}: {users} user{'s' * (users > 1)} of the {wiring}")
        self.rig.set_conditions(conditions)
        seconds *= self.share
        run = Run(self.rig.url(wiring), self.rig.tokens, self.rig.skus, users, think, seconds, warm_up)
        done = subprocess.run(
            [sys.executable, users_program.__file__],
            input=json.dumps(asdict(run)),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        answers: dict[str, list[float]] = {}
        for request in (sent for sent in json.loads(done.stdout) if sent["at"] >= warm_up):
            answers.setdefault(request["answer"], []).append(round(request["milliseconds"], 1))
        waiting = self.rig.waiting()
        self.rig.purge_queues()
        return {"users": users, "think": think, "seconds": seconds, "answers": answers, "waiting": waiting}

    def one_user(
        self, wiring: str, conditions: NetworkConditions, *, think: float = 2.0, seconds: float = 30.0
    ) -> dict[str, Any]:
        """Run one user; return also the processor time of the wiring's function in milliseconds per order."""
        before = self.rig.processor_seconds(wiring)
        run = self.run(wiring, conditions, users=1, think=think, seconds=seconds, warm_up=0)
        orders = sum(map(len, run["answers"].values()))
        return run | {"processor": 1000 * (self.rig.processor_seconds(wiring) - before) / max(1, orders)}

    def warm_up(self) -> None:
        """Start as many processes as the tests need. Twice, because the first orders wait for the processes.

        Raises
        ------
        RuntimeError
            If a wiring places no orders.
        """
        for wiring, users in (("noop", 2), ("Handoff", 15), ("chain", 25)) * 2:
            run = self.run(wiring, SLOW, users=users, think=1.0, seconds=12 / self.share, warm_up=0)
            if PLACED not in run["answers"]:
                raise RuntimeError(
                    f"The {wiring} placed no orders. Answers: {', '.join(run['answers']) or 'none'}."
                    " If these are timeouts, run the benchmark while the machine is idle."
                )


def measure(progress: Progress, *, share: float) -> dict[str, Any]:
    """Measure everything; takes twelve minutes times ``share``."""
    with load_rig(progress) as rig:
        test = _LoadTest(rig, progress, share)
        test.warm_up()
        asleep = test.one_user("Handoff", NORMAL)
        with processors_awake() as awake:
            return {"budget": BUDGET, "awake": awake, "asleep": asleep} | _measure(test)


def _measure(test: _LoadTest) -> dict[str, Any]:
    """Measure all conditions and numbers of users."""
    runs: dict[str, Any] = {}
    failures: dict[str, Any] = {}
    results = {"noop": test.one_user("noop", NORMAL, think=0.1, seconds=10), "runs": runs, "failures": failures}
    for conditions in (NORMAL, SLOW):
        started = time.time()
        wirings: dict[str, list[dict[str, Any]]] = {"Handoff": [test.one_user("Handoff", conditions)]}
        if conditions is NORMAL:
            consumers = test.rig.handoff.consumers
            results["consumers"] = {name: _durations(test.rig, name, started) for name in consumers}
        wirings["chain"] = [test.one_user("chain", conditions)]
        for users, seconds in USERS.items():
            for wiring, measured in wirings.items():
                measured.append(test.run(wiring, conditions, users=users, think=THINK, seconds=seconds))
        runs[conditions.name] = wirings
    for conditions, tested, users in ((FLAKY, _BOTH, 20), (DOWN, _BOTH, 10), (NO_BUS, ("Handoff",), 20)):
        failures[conditions.name] = {
            wiring: test.run(wiring, conditions, users=users, think=3.0, seconds=30.0) for wiring in tested
        }
    return results


def _durations(rig: LoadRig, consumer: str, since: float) -> list[float]:
    """Return the duration of each invocation of a consumer in seconds, from its log."""
    pages = rig.handoff.logs.get_paginator("filter_log_events").paginate(
        logGroupName=rig.handoff.resource(f"{consumer.capitalize()}Logs"), startTime=int(since * 1000)
    )
    lines = (_REPORT.match(event["message"]) for page in pages for event in page["events"])
    return [float(line[1]) / 1000 for line in lines if line]
