"""The simulated part of the load report: more users, a larger budget, and the most users that each wiring serves."""

from collections.abc import Iterator, Mapping
from typing import Any

from bench.load.figures import FIGURES, error_share, placed
from bench.load.forecast import (
    BUDGET,
    CONDITIONS,
    MAX_ERRORS,
    MAX_P95,
    MAX_SLOWDOWN,
    WIRINGS,
    WITHOUT_SHIPPING,
)
from bench.load.network_conditions import SLOW
from bench.markdown import plot, table
from ops.load.figures import percent, percentiles

_SHOWN = (200, 500, 1_000, 2_000)  # users; the plot has more
_TITLES = {conditions.name: conditions.title for conditions in CONDITIONS}
_CRITERIA = {
    "within_a_second": f"p95 <= {MAX_P95:.0f} s and errors < {percent(MAX_ERRORS)}",
    "as_fast_as_one_user": f"p95 <= {MAX_SLOWDOWN} x that of one user, and errors < {percent(MAX_ERRORS)}",
    "without_errors": f"errors < {percent(MAX_ERRORS)}",
}


def section(measured: Mapping[str, Any], forecast: Mapping[str, Any]) -> str:
    """Return the part's text."""
    late = {
        row["users"]: row["backlog"]
        for row in forecast["more_users"]
        if row["wiring"] == "Handoff" and row["conditions"] == SLOW.name
    }
    users, concurrency = max(late), forecast["concurrency"]
    return _TEXT.format(
        budget=BUDGET,
        max_users=table(("conditions", "criterion", *WIRINGS, WITHOUT_SHIPPING), _max_users(forecast), texts=2),
        consumers=sum(concurrency.values()),
        shipping=concurrency["fulfillment"] + concurrency["settlement"],
        more_users=table(FIGURES, _more_users(forecast), texts=2),
        plot=plot("users.png", "Answers and errors by number of users"),
        users=users,
        mails=late[users].get("emails", 0),
        shipments=late[users].get("fulfillment", 0) + late[users].get("settlement", 0),
        validation=table(_VALIDATION_HEAD, _validation(measured, forecast), texts=2),
    )


_VALIDATION_HEAD = (
    *("conditions", "wiring", "users", "p50 measured (ms)", "simulated", "difference"),
    *("p95 measured (ms)", "simulated", "difference", "errors measured", "simulated"),
)

_TEXT = """\
Two cores cannot run more users. With 100 users, ten orders per second, Handoff and the emulated AWS services need more
processor time than there is. A discrete-event simulation ([simulation.py](bench/simulation.py), simpy) therefore
continues from the measured times.

The largest number of users that each wiring serves with {budget} concurrent executions:

{max_users}

The chain takes more than a second even for one user, so it serves no users by the first criterion. The other two
criteria ignore its latency and compare capacity alone. Handoff's advantage is smaller there. An order uses an
execution for a shorter time, but the consumers use up to {consumers} of the {budget} executions, {shipping} of
them for shipments and captures, which the chain does not do. Users also spend most of their time thinking.

{budget} is the concurrency that Lambda
[always keeps](https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html) for functions without
reserved concurrency. Latencies and errors with this budget:

{more_users}

{plot}

Handoff defers work instead of rejecting it. With {users:,} users and e-mail taking 3 s, {mails:,} mails and
{shipments:,} events for fulfillment and settlement are waiting after two and a half minutes. The consumers'
MaximumConcurrency controls how fast they drain, up to the sending quota of the mail service.

**How it was simulated.** Users are a closed loop. The times of orders are drawn from those measured with one user.
All functions share a budget of executions, and Handoff's consumers have the template's batch sizes and
MaximumConcurrency. A request over the budget is throttled at once, because neither
[Lambda](https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html) nor HTTP API queues it. There are no
cold starts and no limits of processor time. Tests compare the simulation with queueing theory (the loss formulas of
Engset and Erlang, [test_simulation.py](tests/unit/test_simulation.py)). This table compares it with the measurements
above; where the measured time is longer, the two shared cores are the reason:

{validation}"""


def _max_users(forecast: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    found = {(row["conditions"], row["wiring"]): row for row in forecast["max_users"]}
    for conditions, title in _TITLES.items():
        for criterion, words in _CRITERIA.items():
            chain, *others = (found[conditions, wiring][criterion] for wiring in (*WIRINGS, WITHOUT_SHIPPING))
            counts = (f"{users:,}" + (f" ({users / chain:.1f} x)" if chain else "") for users in others)
            yield (title, words, f"{chain:,}", *counts)


def _more_users(forecast: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for row in forecast["more_users"]:
        if row["users"] in _SHOWN:
            times = (f"{1000 * time:,.0f}" for time in row["percentiles"])
            rate = f"{row['rate']:.1f}"
            yield (_TITLES[row["conditions"]], row["wiring"], f"{row['users']:,}", *times, percent(row["errors"]), rate)


def _validation(measured: Mapping[str, Any], forecast: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for simulated in forecast["validation"]:
        runs = measured["runs"][simulated["conditions"]][simulated["wiring"]]
        run = next(run for run in runs if run["users"] == simulated["users"])
        cells: list[str] = []
        for measured_ms, seconds in zip(percentiles(placed(run))[:2], simulated["percentiles"][:2], strict=True):
            cells += [
                f"{measured_ms:,.0f}",
                f"{1000 * seconds:,.0f}",
                f"{100 * (1000 * seconds / measured_ms - 1):+.0f} %",
            ]
        errors = (percent(error_share(run)), percent(simulated["errors"]))
        yield (_TITLES[simulated["conditions"]], simulated["wiring"], simulated["users"], *cells, *errors)
