"""Users of both wirings, by day and by number, on the local stack."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from bench.load import users as users_program
from bench.load.network_conditions import DOWN, FLAKY, NO_BUS, NORMAL, SLOW, NetworkConditions
from bench.load.rig import BUDGET, LoadRig, load_rig
from bench.load.users import PLACED, Run
from ops.stack.deployment import CONSUMERS

Progress = Callable[[str], None]

THINK = 10.0  # seconds, the mean
USERS = {10: 25.0, 50: 35.0}  # so many users, for so many seconds
_BOTH = ("hybrid", "chain")
_WARM_UP = 5.0  # seconds
_REPORT = re.compile(r"^REPORT .*?\bDuration: ([\d.]+) ms")


@dataclass(frozen=True)
class _Crowd:
    rig: LoadRig
    progress: Progress
    share: float  # of the usual time

    def shop(
        self,
        wiring: str,
        day: NetworkConditions,
        *,
        users: int,
        think: float,
        seconds: float,
        warm_up: float = _WARM_UP,
    ) -> dict[str, Any]:
        """Users of one wiring on one day: the milliseconds of their orders by answer, and what is left to be done."""
        self.progress(f"{day.what}: {users} user{'s' * (users > 1)} of the {wiring}")
        self.rig.set_conditions(day)
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
        for order in json.loads(done.stdout):
            answers.setdefault(order["answer"], []).append(round(order["milliseconds"], 1))
        waiting = self.rig.waiting()
        self.rig.forget()
        return {"users": users, "think": think, "seconds": seconds, "answers": answers, "waiting": waiting}

    def alone(
        self, wiring: str, day: NetworkConditions, *, think: float = 2.0, seconds: float = 30.0
    ) -> dict[str, Any]:
        """One user; and the milliseconds of processor time that the wiring's function has used for each order."""
        before = self.rig.processor_seconds(wiring)
        run = self.shop(wiring, day, users=1, think=think, seconds=seconds, warm_up=0)
        orders = sum(map(len, run["answers"].values()))
        return run | {"processor": 1000 * (self.rig.processor_seconds(wiring) - before) / max(1, orders)}

    def warm_up(self) -> None:
        """Have as many processes start as will be needed; twice, as the first orders wait for them.

        Raises
        ------
        RuntimeError
            If a wiring places no order: there is nothing to measure.
        """
        for wiring, users in (("noop", 2), ("hybrid", 15), ("chain", 25)) * 2:
            run = self.shop(wiring, SLOW, users=users, think=1.0, seconds=12 / self.share, warm_up=0)
            if PLACED not in run["answers"]:
                raise RuntimeError(
                    f"The {wiring} places no order; its answers are {', '.join(run['answers']) or 'none'}"
                )


def measure(progress: Progress, *, share: float) -> dict[str, Any]:
    """All that is measured; takes twelve minutes, of which ``share`` leaves a part out."""
    with load_rig(progress) as rig:
        crowd = _Crowd(rig, progress, share)
        crowd.warm_up()
        results: dict[str, Any] = {
            "budget": BUDGET,
            "noop": crowd.alone("noop", NORMAL, think=0.1, seconds=10),
            "runs": {},
            "bad_days": {},
        }
        for day in (NORMAL, SLOW):
            started = time.time()
            wirings: dict[str, list[dict[str, Any]]] = {"hybrid": [crowd.alone("hybrid", day)]}
            if day is NORMAL:
                results["consumers"] = {name: _durations(rig, name, started) for name in CONSUMERS}
            wirings["chain"] = [crowd.alone("chain", day)]
            for users, seconds in USERS.items():
                for wiring, runs in wirings.items():
                    runs.append(crowd.shop(wiring, day, users=users, think=THINK, seconds=seconds))
            results["runs"][day.name] = wirings
        for day, tried, users in ((FLAKY, _BOTH, 20), (DOWN, _BOTH, 10), (NO_BUS, ("hybrid",), 20)):
            results["bad_days"][day.name] = {
                wiring: crowd.shop(wiring, day, users=users, think=3.0, seconds=30.0) for wiring in tried
            }
    return results


def _durations(rig: LoadRig, consumer: str, since: float) -> list[float]:
    """Seconds that each execution of a consumer has taken, as its log says."""
    pages = rig.handoff.logs.get_paginator("filter_log_events").paginate(
        logGroupName=rig.handoff.resource(f"{consumer.capitalize()}Logs"), startTime=int(since * 1000)
    )
    lines = (_REPORT.match(event["message"]) for page in pages for event in page["events"])
    return [float(line[1]) / 1000 for line in lines if line]
