"""The section of docs/reference/benchmarks.md on both wirings under load."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.load import plots
from bench.load.forecast import AS_CHAIN, BUDGET, LONGEST_P95, MOST_ERRORS, SLOWED, percentiles
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
from bench.load.users import PLACED
from bench.tables import table

_DAYS = {day.name: day for day in (NORMAL, SLOW, FLAKY, DOWN, NO_BUS)}
_TITLES = {"normal": "a normal day", "slow": "e-mail takes 3 s"}
_WIRINGS = ("chain", "hybrid")
_FIGURES = ("day", "wiring", "users", "p50 (ms)", "p95", "p99", "errors", "orders/s")
_VALIDATION = (
    *("day", "wiring", "users", "p50 measured (ms)", "simulated", "off by"),
    *("p95 measured (ms)", "simulated", "off by", "errors measured", "simulated"),
)

_SHOWN = (200, 500, 1_000, 2_000)  # users; the plot shows more
_MOST_OVERHEAD = 0.10
_TIMES_FASTER = 6.5
_TIMES_USERS = 10


def section(results: dict[str, Any], folder: Path) -> str:
    """Its text; the plots are written into ``folder``."""
    measured, forecast = results["measured"], results["forecast"]
    alone = {day: {wiring: _Alone(measured, wiring, _DAYS[day]) for wiring in _WIRINGS} for day in _TITLES}
    folder.mkdir(parents=True, exist_ok=True)
    plots.side_by_side(
        {day: {wiring: one.median / 1000 for wiring, one in both.items()} for day, both in alone.items()},
        _TITLES,
        folder / "wirings.png",
    )
    bars = {f"{wiring},\n{title}": alone[day][wiring].steps for wiring in _WIRINGS for day, title in _TITLES.items()}
    plots.steps(bars, folder / "steps.png")
    plots.over_users({"forecast": forecast, "p95": _p95(measured)}, _TITLES, folder / "users.png")
    return "\n\n".join(
        [
            "## Request-driven against hybrid",
            _introduction(measured),
            "### One user",
            _one_user(alone),
            "![The median answer of both wirings](benchmarks/wirings.png)",
            "![Where the time goes](benchmarks/steps.png)",
            _overhead(alone, measured),
            "### More users, measured",
            _load(measured),
            "### Bad days",
            _bad_days(measured),
            "### More users, simulated",
            _simulation(measured, forecast),
            "![Answers and errors over the number of users](benchmarks/users.png)",
            _most(forecast),
            "### Gates",
            "\n".join(f"- {line}" for line in _gates(alone, measured, forecast)),
        ]
    )


class _Alone:
    """One user's orders, and where their median time has gone, in milliseconds."""

    def __init__(self, measured: Mapping[str, Any], wiring: str, day: NetworkConditions) -> None:
        run = measured["runs"][day.name][wiring][0]
        self.times = run["answers"][PLACED]
        self.median = float(median(self.times))
        self.injected = day.chain if wiring == "chain" else day.hybrid
        self.processor = run["processor"]
        in_request = wiring == "chain"
        self.steps = {
            "reserve": RESERVE,
            "payment": PROVIDER,
            "e-mail": day.mail * in_request,
            "analytics": ANALYTICS * in_request,
            "own code": self.processor,
            "emulated AWS": max(0.0, self.median - self.injected - self.processor),
        }

    @property
    def overhead(self) -> float:
        """What an answer takes beyond the injected delays."""
        return self.median - self.injected


def _introduction(measured: Mapping[str, Any]) -> str:
    return f"""\
The same domain code, wired twice, on one local stack. The **chain** (`bench/baseline/request_chain.py`) is what
Handoff replaces: it reserves, authorizes, commits, sends the mail and
counts the sale within the request. It has Handoff's own clients,
time-outs, validation and answers, and does less: no event, no shipment, no capture. The **hybrid** is Handoff as it is
deployed. For both, the fault proxy delays the payment provider by {PROVIDER} ms, the reserving transaction by
{RESERVE}, the mail service by {MAIL} (or {SLOW.mail:,}) and the analytics write by {ANALYTICS}; both have a budget of
{measured["budget"]} concurrent executions, which Handoff's consumers share with its API.

Users are real HTTP clients in a process of their own. Each sends `POST /orders`, waits for the answer, thinks
(exponentially distributed, {THINK:.0f} s on average unless said otherwise) and orders again, from 200 products. Only
`POST /orders` is timed, processes are warm, and a failed order is not tried again. Users, both wirings, the proxy and
all of AWS share two cores. Between runs, what the consumers had not done yet was thrown away; that nothing is lost is
shown by the drills in [reliability.md](../reliability.md)."""


def _one_user(alone: Mapping[str, Mapping[str, _Alone]]) -> str:
    rows = []
    for day, title in _TITLES.items():
        chain, hybrid = alone[day]["chain"], alone[day]["hybrid"]
        times = [f"{one.injected:,} | {one.median:,.0f} | {percentiles(one.times)[1]:,.0f}" for one in (chain, hybrid)]
        rows.append((title, *times, f"{chain.median / hybrid.median:.1f}"))
    head = ("", "chain: injected", "p50 (ms)", "p95", "hybrid: injected", "p50 (ms)", "p95", "times faster (p50)")
    return table(head, rows)


def _overhead(alone: Mapping[str, Mapping[str, _Alone]], measured: Mapping[str, Any]) -> str:
    rows = [
        (wiring, f"{one.overhead:.0f}", f"{one.processor:.0f}", f"{one.overhead - one.processor:.0f}")
        for wiring, one in alone["normal"].items()
    ]
    nothing = median(measured["noop"]["answers"][PLACED])
    head = ("", "overhead over the injected delays (ms)", "own code: processor time (ms)", "emulated AWS (ms)")
    return f"""\
{table(head, rows)}

"Own code" is the processor time of the function's process for an order, Python's and boto3's work included. The rest
is the emulation on the same two cores, where Handoff's consumers still work on the order before: the API and the
invocation (a function that does nothing takes {nothing:.0f} ms behind this API), and each call to AWS through the
proxy."""


def _load(measured: Mapping[str, Any]) -> str:
    rows = [
        (_TITLES[day], wiring, run["users"], *_figures(run))
        for day, wirings in measured["runs"].items()
        for users in range(len(wirings["chain"]))
        for wiring in _WIRINGS
        for run in [wirings[wiring][users]]
    ]
    return (
        table(_FIGURES, rows, texts=2)
        + "\n\nPercentiles are those of the orders that were placed. One user thinks for 2 s, to order more often."
    )


def _figures(run: Mapping[str, Any]) -> tuple[str, ...]:
    placed = run["answers"].get(PLACED, [])
    p50, p95, p99 = percentiles(placed)
    return (
        *(f"{time:,.0f}" for time in (p50, p95, p99)),
        _percent(1 - _availability(run)),
        f"{len(placed) / run['seconds']:.1f}",
    )


def _availability(run: Mapping[str, Any]) -> float:
    sent = sum(len(times) for times in run["answers"].values())
    return len(run["answers"].get(PLACED, [])) / sent if sent else 0.0


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _bad_days(measured: Mapping[str, Any]) -> str:
    rows: list[Sequence[str]] = []
    for day, runs in measured["bad_days"].items():
        for wiring in _WIRINGS:
            if wiring not in runs:
                rows.append((_DAYS[day].what, wiring, "has none", "", "", ""))
                continue
            run = runs[wiring]
            answers = ", ".join(f"{len(times)} x {answer}" for answer, times in sorted(run["answers"].items()))
            p50, p95, _ = percentiles(run["answers"].get(PLACED, []))
            shown = (f"{time:,.0f}" if time == time else "" for time in (p50, p95))  # noqa: PLR0124  # not a number
            rows.append((_DAYS[day].what, wiring, _percent(_availability(run)), answers, *shown))
    return f"""\
20 users who think for 3 s; 10 where all consumers fail, as their retries need the same two cores. A chain's failures
are its customers' failures: the e-mail that can't be sent fails the order that has long been paid. Its sales write is
tried twice, as Handoff's is, so it is mostly the mail that fails.

{table(("day", "wiring", "availability", "answers", "p50 (ms)", "p95"), rows, texts=2)}"""


def _simulation(measured: Mapping[str, Any], forecast: Mapping[str, Any]) -> str:
    return f"""\
Two cores hold no more: with 100 users, ten orders a second, Handoff's API, its consumers and all of AWS need more than
there is, and what is measured is the machine. So a discrete-event simulation (`bench/simulation.py`, simpy) goes on:
users in closed loop, a budget of executions, an order's time drawn from those that one user has measured, and Handoff's
consumers with their batch sizes and MaximumConcurrency, taking from the same budget. A request that finds no execution
left is refused at once; [Lambda](https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html) does not queue
it, and neither does HTTP API, whose own limit of 30 s nothing here comes near. There are no cold starts, and no cores
to contend for.

It is held to queueing theory by tests (the loss formulas of Engset and Erlang), and to what was measured here:

{
        table(
            (
                "day",
                "wiring",
                "users",
                "p50 measured (ms)",
                "simulated",
                "off by",
                "p95 measured (ms)",
                "simulated",
                "off by",
                "errors measured",
                "simulated",
            ),
            list(_validation(measured, forecast)),
            texts=2,
        )
    }

Where a measured answer is slower than the simulated one, it is the machine: the simulation knows of no shared cores.

Then {BUDGET} executions, as many as Lambda
[always leaves](https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html) to functions without a
reservation of their own, in the same account as others that have one:

{
        table(
            ("day", "wiring", "users", "p50 (ms)", "p95", "p99", "errors", "orders/s"),
            _forecast_rows(forecast),
            texts=2,
        )
    }"""


def _validation(measured: Mapping[str, Any], forecast: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for simulated in forecast["again"]:
        runs = measured["runs"][simulated["day"]][simulated["wiring"]]
        run = next(run for run in runs if run["users"] == simulated["users"])
        seen = percentiles(run["answers"].get(PLACED, []))
        cells: list[str] = []
        for n in (0, 1):
            foreseen = 1000 * simulated["percentiles"][n]
            cells += [f"{seen[n]:,.0f}", f"{foreseen:,.0f}", f"{100 * (foreseen / seen[n] - 1):+.0f} %"]
        errors = (_percent(1 - _availability(run)), _percent(simulated["errors"]))
        yield (_TITLES[simulated["day"]], simulated["wiring"], simulated["users"], *cells, *errors)


def _forecast_rows(forecast: Mapping[str, Any]) -> list[tuple[object, ...]]:
    return [
        (
            _TITLES[row["day"]],
            row["wiring"],
            f"{row['users']:,}",
            *(f"{1000 * time:,.0f}" for time in row["percentiles"]),
            _percent(row["errors"]),
            f"{row['rate']:.1f}",
        )
        for row in forecast["more"]
        if row["users"] in _SHOWN
    ]


def _most(forecast: Mapping[str, Any]) -> str:
    found = {(row["day"], row["wiring"]): row for row in forecast["most"]}
    errors = f"errors < {_percent(MOST_ERRORS)}"
    criteria = {
        "within_a_second": f"p95 <= {LONGEST_P95:.0f} s and {errors}",
        "as_fast_as_alone": f"p95 within {SLOWED} x of one user's, and {errors}",
        "without_errors": errors,
    }
    rows = []
    for day, title in _TITLES.items():
        for criterion, words in criteria.items():
            chain, *hybrids = (found[day, wiring][criterion] for wiring in (*_WIRINGS, AS_CHAIN))
            ratios = (f" ({hybrid / chain:.1f} x)" if chain else "" for hybrid in hybrids)
            counts = (f"{hybrid:,}{ratio}" for hybrid, ratio in zip(hybrids, ratios, strict=True))
            rows.append((title, words, f"{chain:,}", *counts))
    late = {
        row["users"]: row["waiting"] for row in forecast["more"] if row["wiring"] == "hybrid" and row["day"] == "slow"
    }
    users, at_once = max(late), forecast["at_once"]
    return f"""\
The largest number of users that each wiring serves with {BUDGET} executions:

{table(("day", "criterion", "chain", "hybrid", AS_CHAIN), rows, texts=2)}

The chain takes over a second even for one user, so by the first criterion it serves nobody. The other two leave its
slowness out of account and compare capacity alone. There Handoff's gain is smaller: an order holds an execution for a
shorter time, but the consumers take up to {sum(at_once.values())} of the {BUDGET} executions (of which
{at_once["fulfillment"]} are for shipments and captures, which the chain does not do), and users spend most of their
time thinking.

What Handoff does not refuse, it may do late. With {users:,} users and e-mail taking 3 s, after two and a half minutes
{late[users].get("emails", 0):,} mails and {late[users].get("fulfillment", 0):,} events for fulfillment are waiting; the
consumers' MaximumConcurrency is the dial for that, and the e-mail service's sending quota its end."""


def _p95(measured: Mapping[str, Any]) -> dict[str, dict[str, dict[int, float]]]:
    return {
        day: {
            wiring: {run["users"]: percentiles(run["answers"].get(PLACED, []))[1] / 1000 for run in runs}
            for wiring, runs in wirings.items()
        }
        for day, wirings in measured["runs"].items()
    }


def _gates(
    alone: Mapping[str, Mapping[str, _Alone]], measured: Mapping[str, Any], forecast: Mapping[str, Any]
) -> Sequence[str]:
    hybrid = alone["normal"]["hybrid"]
    share = hybrid.overhead / hybrid.injected
    faster = alone["slow"]["chain"].median / alone["slow"]["hybrid"].median
    most = {row["wiring"]: row for row in forecast["most"] if row["day"] == "slow"}
    chain_users, hybrid_users = most["chain"]["within_a_second"], most["hybrid"]["within_a_second"]
    days = [_availability(measured["bad_days"][day.name]["hybrid"]) for day in (DOWN, NO_BUS)]
    capacity = most["hybrid"]["as_fast_as_alone"] / max(1, most["chain"]["as_fast_as_alone"])
    own = _percent(hybrid.processor / hybrid.injected)
    overhead = (
        f"overhead of at most {_percent(_MOST_OVERHEAD)} over the injected {hybrid.injected} ms. It is "
        f"{_percent(share)} with the emulation, {own} by Handoff's own code."
    )
    speed = f"at least {_TIMES_FASTER} times faster when e-mail takes 3 s. It is {faster:.1f} times."
    users = (
        f"{_TIMES_USERS} times the users on that day, with p95 <= {LONGEST_P95:.0f} s and errors < "
        f"{_percent(MOST_ERRORS)}. It is {hybrid_users:,} to {chain_users:,}; by capacity alone, {capacity:.1f} times."
    )
    availability = (
        "availability of 100 % with e-mail, analytics and fulfillment down, and with the bus refusing events. It is "
        f"{_percent(days[0])} and {_percent(days[1])}."
    )
    return [
        _gate(overhead, reached=share <= _MOST_OVERHEAD),
        _gate(speed, reached=faster >= _TIMES_FASTER),
        _gate(users, reached=hybrid_users >= _TIMES_USERS * max(1, chain_users)),
        _gate(availability, reached=min(days) == 1),
    ]


def _gate(words: str, *, reached: bool) -> str:
    return f"{'**reached**' if reached else '**missed**'}: {words}"
