"""The page that compares Handoff with its rivals."""

from collections.abc import Mapping

from bench.costs import PRICES, price
from bench.markdown import relative, table
from bench.profile import ASSUMED, LINES
from bench.rivals import quantities
from bench.rivals.durable_ways import BACKOFF, CAREFUL, SAMPLE
from bench.rivals.experiments import CHECKPOINT
from bench.rivals.quantities import EXPRESS, HANDOFF, RELAY, STANDARD, Quantities
from bench.rivals.relay import POLL_SECONDS
from bench.rivals.trials import Trials, describe
from handoff.unfinished import SWEEP_AFTER

PAGE = "docs/reference/rivals.md"
_MILLION = 1_000_000
_SWEEP_PERIOD = 60  # seconds


def page(found: Mapping[str, Quantities], trials: Mapping[str, Trials], sweeper: float, sdk: str) -> str:
    """Return the page."""
    handoff, relay, careful = found[HANDOFF], found[RELAY], found[CAREFUL.name]
    return relative(
        PAGE,
        _TEXT.format(
            sdk=sdk,
            lines=LINES,
            read="2026-11-30",
            checkpoint=ASSUMED["latency_ms"][f"lambda.{CHECKPOINT}"],
            backoff=BACKOFF,
            poll=POLL_SECONDS,
            soonest=SWEEP_AFTER // 1000,
            states=quantities.STATES,
            sweeper=sweeper,
            pipe_reads=quantities.monthly_pipe_reads(),
            sooner=_ms(handoff) - _ms(relay),
            later=_ms(careful) - _ms(handoff),
            saved_units=handoff.write_units - relay.write_units,
            saved=handoff.dollars - relay.dollars,
            operations=careful.usage["durable_operation"],
            operations_usd=price(careful.usage, "durable_operation") * _MILLION,
            fewest_usd=4 * PRICES["durable_operation"]["usd"],
            times=careful.dollars / handoff.dollars,
            careful_units=careful.write_units,
            handoff_units=handoff.write_units,
            express=found[EXPRESS].dollars,
            standard=found[STANDARD].dollars,
            orders=table(
                ["per order", "AWS calls", "write units", "answer, ms", "lag, ms", "USD per million"], _orders(found)
            ),
            faults=table(_FAULT_HEAD, _faults(trials), texts=2),
            damage=_damage(trials[SAMPLE.name]),
            placed=_placed(trials[HANDOFF]),
            placed_durably=_placed(trials[CAREFUL.name]),
        ),
    )


_FAULT_HEAD = ["", "event after a crash, at the latest", "single faults", "violate an invariant", "placed unasked"]


def _orders(found: Mapping[str, Quantities]) -> list[list[str]]:
    return [
        [
            name,
            f"{one.calls}",
            f"{one.write_units:g}",
            "-" if one.answer_ms is None else f"{one.answer_ms:,.0f}",
            f"{one.lag_ms:,.0f}",
            f"{one.dollars:,.2f}",
        ]
        for name, one in found.items()
    ]


def _faults(trials: Mapping[str, Trials]) -> list[list[str]]:
    recovery = {
        HANDOFF: f"{SWEEP_AFTER // 1000} to {SWEEP_AFTER // 1000 + _SWEEP_PERIOD} s",
        CAREFUL.name: f"{BACKOFF} s, on AWS's local runner",
        SAMPLE.name: f"{BACKOFF} s, on AWS's local runner",
    }
    return [
        [
            name,
            recovery.get(name, f"{one.recovery:.2f} s"),
            f"{one.count}",
            f"{len(one.broken)}",
            _placed(one),
        ]
        for name, one in trials.items()
    ]


def _placed(one: Trials) -> str:
    return f"{one.placed} of {len(one.approved)}"


def _damage(sample: Trials) -> str:
    """Return the list of the sample's violations."""
    rows = []
    for title, outcomes in (("approved", sample.approved), ("declined", sample.declined)):
        for outcome in outcomes:
            if outcome.violations and outcome.strike:
                call = outcome.strike.call.partition(".")[2]
                rows.append([title, f"{outcome.strike.kind} {call} {outcome.strike.nth}", describe(outcome)])
    return table(["payment", "fault", "wrong afterwards"], rows, texts=3)


def _ms(one: Quantities) -> float:
    assert one.answer_ms is not None  # noqa: S101
    return one.answer_ms


_TEXT = """\
# Rivals

The same order (price, reserve the stock, authorize the payment, store, publish) in Handoff, as a Lambda durable
function, with a relay from DynamoDB Streams or EventBridge Pipes, and in Step Functions. `make rivals` generates this
page in about two minutes. [Decisions](docs/decisions.md#rivals) says what follows from it.

## One order

Of {lines} lines, warm, up to the published event:

{orders}

*Lag* is the average time from the answer to the accepted event. *Answer* and *lag* are arithmetic: the sequential calls
with the latencies of [assumptions.toml](bench/assumptions.toml), and half of the poll period of {poll} s. AWS publishes
no latency of a checkpoint; it is assumed to take {checkpoint} ms, like the update of an item. Checkpoints of a step's
start run beside the step and are not among the calls.

- **A relay answers {sooner:.0f} ms sooner**: the request neither publishes nor clears. It costs {saved:,.2f} USD less
  per million orders: {saved_units:g} write units fewer, and an invocation of the relay more.
- **Pipes do the same without a function.** AWS's pages name only Lambda's reads of a stream as free. If a pipe's
  reads are billed, one shard costs {pipe_reads:,.2f} USD a month.
- **The careful durable function costs {times:.1f} times as much.** {operations_usd:,.2f} USD of that are {operations}
  durable operations: the start and 5 steps. With price and stock in one step, and storing and publishing in
  another, there are 4, for {fewest_usd:,.2f} USD. It answers {later:.0f} ms later: it waits for 5 checkpoints, and
  clears no outbox.
- **It needs fewer write units**, {careful_units:g} instead of {handoff_units:g}. A part of the difference is work that
  it leaves out: the limits of a customer, the check that mail reaches the customer, the index of unfinished orders.
- **Step Functions Express is the cheapest**, at {express:,.2f} USD. Standard costs {standard:,.2f} USD and gives an
  HTTP API no answer. Both are computed, in their favor: {states} states call DynamoDB, the provider and EventBridge
  without Lambda, without logs, and Express has its least memory.

## One fault

Each call of an order of one line is struck once by each of three faults: its answer is lost, the process dies before
it, or the process dies after it. In a durable function, the checkpoints that save a step's result count as calls.
Payments are approved or declined. For Handoff and the relay, the approved ones are tried twice: with a customer who
leaves, and with one who asks again. (A durable function answers after each fault.) Then the invariants of stock,
money, histories, events and answers are checked, with the code that `make chaos` uses.

{faults}

*Placed unasked*: the order of an approved payment is placed although its customer does not ask again.

- **Durable functions finish every order**, {placed_durably}. Handoff ({placed}) and the relay finish those that are
  stored as placed. An earlier crash leaves a PENDING order: the same key resumes it. Otherwise the sweeper returns the
  stock and voids the hold after ten minutes.
- **Handoff takes longest to publish after a crash**: the sweeper runs every minute and takes events that are
  {soonest} s old. A relay does not notice that the request crashed.
- AWS does not publish how long Lambda waits before it invokes a crashed durable function again. Its local runner waits
  {backoff} s. AWS's page on retries says that Lambda does not retry a synchronous invocation that fails, and that it
  does retry after a crash. The figures assume that it does.

The sample's violations:

{damage}

*stock*: the stock and the orders disagree. *hold*: an order has two holds, one of which nothing voids.

**The sample shows a pattern.** Its steps only print, so their bodies are ours: they take stock without a condition on
the order, and hold money without a key. AWS's page on
[idempotency](https://docs.aws.amazon.com/durable-execution/patterns/best-practices/idempotency/) says that steps run at
least once, and warns of both. The careful variant follows that page, and violates nothing.

## How it was measured

- Everything runs in moto, with the same stores, payment adapter and invariants, and the same faults at the network edge
  ([experiments.py](bench/rivals/experiments.py)). Nothing was measured on AWS.
- [durable.py](bench/rivals/durable.py) has both durable functions, with steps written from AWS's
  [saga sample](https://docs.aws.amazon.com/durable-execution/patterns/best-practices/saga-pattern/). They run on AWS's
  own local test runner (`aws-durable-execution-sdk-python-testing` {sdk}). Each execution has the order's key as its
  name, so that a second request attaches to it. An HTTP API cannot set that name, so another function must start the
  execution. That function is left out of the figures.
- [relay.py](bench/rivals/relay.py) reads moto's stream records. Its request is Handoff's without publishing. The
  sweeper stays, for PENDING orders and for payments. Its idle runs cost {sweeper:,.2f} USD a month.
- Each function for orders has the memory, the log lines and the own time of Handoff's, the relay the memory of a
  consumer. Prices are list prices of us-east-1 ([prices.toml](bench/prices.toml)). Those of the rivals were read on
  {read}.
"""
