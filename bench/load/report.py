"""The load section of the benchmarks page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.load import plots, report_simulation
from bench.load.figures import FIGURES, availability, error_share, placed
from bench.load.forecast import CONDITIONS, MAX_ERRORS, MAX_P95, WIRINGS
from bench.load.measuring import THINK
from bench.load.network_conditions import (
    ANALYTICS,
    DOWN,
    FLAKY,
    MAIL,
    NO_BUS,
    NORMAL,
    PROVIDER,
    RESERVE,
    SLOW,
    NetworkConditions,
)
from bench.markdown import plot, table
from ops.load.figures import percent, percentiles

_FAILURES = (FLAKY, DOWN, NO_BUS)
_TITLES = {conditions.name: conditions.title for conditions in CONDITIONS}
_MAX_OVERHEAD = 0.06
_MAX_TAIL = 1.15  # p99 of p50
_SHARE = 0.8  # of the users that the budget serves
_MIN_SPEEDUP = 6.5
_MIN_TIMES_USERS = 10


class _OneUser:
    """One user's orders and the parts of their median time, in milliseconds."""

    def __init__(self, measured: Mapping[str, Any], wiring: str, conditions: NetworkConditions) -> None:
        run = measured["runs"][conditions.name][wiring][0]
        in_request = wiring == "chain"
        self.times = placed(run)
        self.median = float(median(self.times))
        self.injected = conditions.chain_ms if in_request else conditions.handoff_ms
        self.processor = run["processor"]
        self.steps = {
            "reserve": RESERVE,
            "payment": PROVIDER,
            "e-mail": conditions.mail * in_request,
            "analytics": ANALYTICS * in_request,
            "own code": self.processor,
            "emulated AWS": max(0.0, self.overhead - self.processor),
        }

    @property
    def overhead(self) -> float:
        """The time beyond the injected delays."""
        return self.median - self.injected


_OneUserRuns = Mapping[str, Mapping[str, _OneUser]]  # by conditions and wiring


def summary(results: dict[str, Any]) -> list[list[str]]:
    """Return the rows for the page's first table."""
    one_user = _one_user_runs(results["measured"])
    failures = results["measured"]["failures"]
    users = _max_users(results["forecast"])
    labels = {NORMAL.name: "median answer", SLOW.name: f"median answer while {SLOW.title}"}
    rows = [
        [label, *(f"{one_user[name][wiring].median:,.0f} ms" for wiring in WIRINGS)] for name, label in labels.items()
    ]
    rows += [
        [
            f"availability while {each.title}",
            *(percent(availability(failures[each.name][wiring])) for wiring in WIRINGS),
        ]
        for each in (FLAKY, DOWN)
    ]
    limit = f"p95 <= {MAX_P95:.0f} s, errors < {percent(MAX_ERRORS)}"
    served = (f"{users[wiring]['within_a_second']:,}" for wiring in WIRINGS)
    rows.append([f"users served while {SLOW.title} (simulated; {limit})", *served])
    return rows


def section(results: dict[str, Any], folder: Path) -> str:
    """Return the section; the plots are written into ``folder``."""
    measured, forecast = results["measured"], results["forecast"]
    one_user = _one_user_runs(measured)
    _draw(one_user, measured, forecast, folder)
    return _TEXT.format(
        gates="\n".join(f"- {gate}" for gate in _gates(one_user, measured, forecast)),
        one_user=_one_user(one_user),
        wirings=plot("wirings.png", "Median answer of both wirings"),
        steps=plot("steps.png", "Parts of the answer's time"),
        overhead=_overhead(one_user),
        noop=median(placed(measured["noop"])),
        load=table(FIGURES, _load(measured), texts=2),
        failures=table(_FAILURES_HEAD, _failures(measured), texts=2),
        simulation=report_simulation.section(measured, forecast),
        provider=PROVIDER,
        reserve=RESERVE,
        mail=MAIL,
        slow_mail=SLOW.mail,
        analytics=ANALYTICS,
        budget=measured["budget"],
        think=THINK,
        awake=_awake(measured, one_user),
    )


_FAILURES_HEAD = ("conditions", "wiring", "availability", "answers", "p50 (ms)", "p95")

_TEXT = """\
## Request-driven chain and Handoff

The same domain code in two wirings. The **chain** ([request_chain.py](bench/baseline/request_chain.py)) reserves,
authorizes, commits, sends the mail and counts the sale within the request. It uses Handoff's clients, timeouts,
validation and responses. It does less than Handoff: it publishes no event and has no shipment and no capture.
**Handoff** runs as deployed.

{gates}

### One user

{one_user}

{wirings}

{steps}

{overhead}

*Own code* is the processor time of the function's process per order, with Python and boto3. *Emulated AWS* is the
rest: the API, the invocation (a function that does nothing takes {noop:.0f} ms behind this API) and the calls through
the fault proxy. Handoff's consumers run on the same two cores meanwhile.

### Failures

Each failure of a step in the chain fails the customer's request, even when the order is already paid. The chain retries
its sales write once, as Handoff does, so most of its failures are mails.

{failures}

There were 20 users who think for 3 s on average. When all consumers fail there were 10, because the retries use the
same two cores.

### More users, measured

{load}

Percentiles are those of placed orders. The single user thinks for 2 s on average, to place more orders.

### More users, simulated

{simulation}

### How it was measured

Both wirings ran on one local stack. A fault proxy delayed the payment provider by {provider} ms, the reserving
transaction by {reserve} ms, the mail service by {mail} ms (or {slow_mail:,} ms) and the analytics write by
{analytics} ms. Each wiring had a budget of {budget} concurrent executions, which Handoff's consumers share with its
API.

Users are HTTP clients in a separate process. Each user sends `POST /orders`, waits for the answer, thinks
(exponentially distributed, {think:.0f} s on average unless stated otherwise) and orders again, from 200 products.
Only `POST /orders` is timed. Processes are warm, and failed orders are not retried. Users, wirings, proxy and
emulated AWS services share two cores. The queues were purged between runs. The drills show that no order is lost
([reliability.md](docs/reliability.md)).

{awake}"""


def _awake(measured: Mapping[str, Any], one_user: _OneUserRuns) -> str:
    """Return whether the processors slept, and what that does to an answer."""
    if not measured["awake"]:
        return "The processors slept between two calls: this machine does not let a program keep them awake."
    asleep, awake = median(placed(measured["asleep"])), one_user[NORMAL.name]["Handoff"].median
    return (
        "The processors were kept awake ([awake.py](bench/awake.py)), as those of a busy server are. Otherwise they\n"
        "sleep between two calls, and each step of an order waits for them. Handoff's median answer to one user was\n"
        f"{asleep:,.0f} ms before that, and {awake:,.0f} ms with it."
    )


def _one_user_runs(measured: Mapping[str, Any]) -> _OneUserRuns:
    return {each.name: {wiring: _OneUser(measured, wiring, each) for wiring in WIRINGS} for each in CONDITIONS}


def _draw(one_user: _OneUserRuns, measured: Mapping[str, Any], forecast: Mapping[str, Any], folder: Path) -> None:
    medians = {name: {wiring: one.median / 1000 for wiring, one in both.items()} for name, both in one_user.items()}
    plots.side_by_side(medians, _TITLES, folder / "wirings.png")
    bars = {
        f"{wiring},\n{title}": one_user[name][wiring].steps for wiring in WIRINGS for name, title in _TITLES.items()
    }
    plots.steps(bars, folder / "steps.png")
    p95 = {
        name: {
            wiring: {run["users"]: percentiles(placed(run))[1] / 1000 for run in runs} for wiring, runs in both.items()
        }
        for name, both in measured["runs"].items()
    }
    plots.over_users(forecast["more_users"], p95, _TITLES, folder / "users.png")


def _one_user(one_user: _OneUserRuns) -> str:
    rows = []
    for name, title in _TITLES.items():
        chain, handoff = (one_user[name][wiring] for wiring in WIRINGS)
        times = [
            cell
            for one in (chain, handoff)
            for cell in (f"{one.injected:,}", f"{one.median:,.0f}", f"{percentiles(one.times)[1]:,.0f}")
        ]
        rows.append((title, *times, f"{chain.median / handoff.median:.1f}"))
    head = ("conditions", "chain: injected", "p50 (ms)", "p95", "Handoff: injected", "p50 (ms)", "p95", "speedup (p50)")
    return table(head, rows)


def _overhead(one_user: _OneUserRuns) -> str:
    rows = [
        (wiring, f"{one.overhead:.0f}", f"{one.processor:.0f}", f"{one.overhead - one.processor:.0f}")
        for wiring, one in one_user[NORMAL.name].items()
    ]
    return table(("wiring", "overhead beyond the injected delays (ms)", "own code (ms)", "emulated AWS (ms)"), rows)


def _load(measured: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for name, wirings in measured["runs"].items():
        for runs in zip(*(wirings[wiring] for wiring in WIRINGS), strict=True):
            for wiring, run in zip(WIRINGS, runs, strict=True):
                times = (f"{time:,.0f}" for time in percentiles(placed(run)))
                rate = f"{len(placed(run)) / run['seconds']:.1f}"
                yield (_TITLES[name], wiring, run["users"], *times, percent(error_share(run)), rate)


def _failures(measured: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for conditions in _FAILURES:
        for wiring in WIRINGS:
            run = measured["failures"][conditions.name].get(wiring)
            if run is None:
                yield (conditions.title, wiring, "has no bus", "", "", "")
                continue
            answers = ", ".join(f"{len(times)} x {answer}" for answer, times in sorted(run["answers"].items()))
            times = [f"{time:,.0f}" for time in percentiles(placed(run))[:2]] if placed(run) else ["", ""]
            yield (conditions.title, wiring, percent(availability(run)), answers, *times)


def _max_users(forecast: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Return the most users by wiring while the mail service is slow."""
    return {row["wiring"]: row for row in forecast["max_users"] if row["conditions"] == SLOW.name}


def _gates(one_user: _OneUserRuns, measured: Mapping[str, Any], forecast: Mapping[str, Any]) -> Sequence[str]:
    handoff = one_user[NORMAL.name]["Handoff"]
    overhead = handoff.overhead / handoff.injected
    asleep = median(placed(measured["asleep"])) / handoff.injected - 1
    speedup = one_user[SLOW.name]["chain"].median / one_user[SLOW.name]["Handoff"].median
    users = _max_users(forecast)
    chain_users, handoff_users = (users[wiring]["within_a_second"] for wiring in WIRINGS)
    capacity = users["Handoff"]["as_fast_as_one_user"] / max(1, users["chain"]["as_fast_as_one_user"])
    kept = [availability(measured["failures"][conditions.name]["Handoff"]) for conditions in (DOWN, NO_BUS)]
    return [
        _gate(
            f"Handoff adds at most {percent(_MAX_OVERHEAD)} to the injected {handoff.injected} ms: {percent(overhead)} "
            f"with the emulation, {percent(handoff.processor / handoff.injected)} by its own code. If the processors "
            f"may sleep between two calls, {percent(asleep)}.",
            met=overhead <= _MAX_OVERHEAD,
        ),
        _tail(forecast),
        _gate(
            f"Handoff is at least {_MIN_SPEEDUP} times as fast as the chain when {SLOW.title}: {speedup:.1f} times.",
            met=speedup >= _MIN_SPEEDUP,
        ),
        _gate(
            f"It then serves at least {_MIN_TIMES_USERS} times the users with p95 <= {MAX_P95:.0f} s and errors < "
            f"{percent(MAX_ERRORS)}: {handoff_users:,} users, and the chain {chain_users:,}. By capacity alone "
            f"{capacity:.1f} times.",
            met=handoff_users >= _MIN_TIMES_USERS * max(1, chain_users),
        ),
        _gate(
            f"Availability is 100 % while {DOWN.title}, and while {NO_BUS.title}: {percent(kept[0])} and "
            f"{percent(kept[1])}.",
            met=min(kept) == 1,
        ),
    ]


def _tail(forecast: Mapping[str, Any]) -> str:
    """Return the gate of the slowest answers below the limit of the concurrency budget."""
    most = next(row for row in forecast["max_users"] if (row["conditions"], row["wiring"]) == (NORMAL.name, "Handoff"))
    limit = _SHARE * most["without_errors"]
    rows = [row for row in forecast["more_users"] if row["conditions"] == NORMAL.name and row["wiring"] == "Handoff"]
    shown = max((row for row in rows if row["users"] <= limit), key=lambda row: row["users"])
    p50, _, p99 = shown["percentiles"]
    return _gate(
        f"With {shown['users']:,} users, at most {percent(_SHARE)} of those that the budget serves, p99 is at most "
        f"{_MAX_TAIL} x p50: {p99 / p50:.2f} x (simulated).",
        met=p99 / p50 <= _MAX_TAIL,
    )


def _gate(words: str, *, met: bool) -> str:
    return f"Gate {'met' if met else '**missed**'}: {words}"
