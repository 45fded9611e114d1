"""The quantities of one order in each way: calls, units, time and money. Step Functions and Pipes are computed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from bench import costs
from bench.costs import GB, Usage
from bench.meter import CallLog, Meter
from bench.profile import ASSUMED, LINES, ORDERS, Invocation, duration_ms
from bench.rivals import durable, local_runner
from bench.rivals.durable import Handler
from bench.rivals.durable_ways import CAREFUL, SAMPLE
from bench.rivals.experiments import CHECKPOINT
from bench.rivals.local_runner import Execution
from bench.rivals.relay import POLL_SECONDS, Relay
from bench.rivals.shop import APPROVED, Parts, connect, new_world, process, request
from bench.scenarios import MeteredShop
from dev.simulated.clock import running, standing
from dev.simulated.stack import SimulatedStack
from dev.simulated.wire import Call, Deliver
from dev.simulated.world import World

HANDOFF, RELAY, PIPE = "Handoff", "relay from Streams", "Pipes from Streams"
STANDARD, EXPRESS = "Step Functions, Standard", "Step Functions, Express"
SWEEPER = "SweeperFunction"
CONSUMER = "FulfillmentFunction"  # the relay function has the memory of this one
_RETENTION = 14 / 30  # months that Lambda keeps an execution's history, by default
# Price, reserve, authorize, a choice, store, publish. All call AWS and the provider themselves, without Lambda.
STATES = 6
_MEMORY, _TICK = 64 / 1024, 100  # GB and milliseconds that Express bills at least
_CHECKPOINT = f"lambda.{CHECKPOINT}"
_RATE = ASSUMED["load"]["orders_per_second"]


@dataclass(frozen=True)
class Quantities:
    """Quantities of one order. ``answer_ms`` is None without an answer; ``lag_ms`` is from the answer to the event."""

    calls: int
    write_units: float
    answer_ms: float | None
    lag_ms: float
    usage: Usage

    @property
    def dollars(self) -> float:
        """The price of a million orders."""
        return costs.total(self.usage) * costs.MILLION


def measure(stack: SimulatedStack) -> dict[str, Quantities]:
    """Place one warm order in each way, and compute the others from it."""
    handoff = _handoff(stack)
    logged = handoff.log_bytes
    api, relay = _relayed(stack)
    careful, execution = _durable(stack, durable.with_care)
    sampled, sampled_execution = _durable(stack, durable.as_sampled)
    return {
        HANDOFF: _of([_invocation(ORDERS, handoff, logged)], lag_ms=0),
        RELAY: _of(
            [_invocation(ORDERS, api, logged), _invocation(CONSUMER, relay, relay.log_bytes)],
            lag_ms=POLL_SECONDS * 1000 / 2 + _milliseconds(relay),
        ),
        PIPE: _piped(_invocation(ORDERS, api, logged)),
        CAREFUL.name: _durably(_invocation(ORDERS, careful, logged), execution),
        SAMPLE.name: _durably(_invocation(ORDERS, sampled, logged), sampled_execution),
        STANDARD: _standard(careful),
        EXPRESS: _express(careful),
    }


def _handoff(stack: SimulatedStack) -> CallLog:
    with standing() as clock:
        return MeteredShop(World(stack, clock)).new_order(LINES)[0]


def _relayed(stack: SimulatedStack) -> tuple[CallLog, CallLog]:
    """Return the calls of the API function and of the relay function."""
    with standing() as clock:
        world = new_world(stack, clock, LINES)
        relay = Relay(world)
        relay.place(request(LINES, APPROVED, "first-order-00001"))
        relay.poll()
        meter = Meter(world)
        with meter.record() as api:
            assert relay.place(request(LINES, APPROVED))["status"] == 201  # noqa: S101
        with meter.record() as published:
            relay.poll()
        return api, published


def _durable(stack: SimulatedStack, make: Callable[[Parts], Handler]) -> tuple[CallLog, Execution]:
    with running() as clock:
        world = new_world(stack, clock, LINES)
        parts = connect(stack)
        with process(stack):
            handler = make(parts)
            local_runner.run(handler, world.wire, request(LINES, APPROVED, "first-order-00001"))
            world.wire.reset()
            world.wire.always(_CHECKPOINT, _unmetered)
            with Meter(world).record() as log:
                execution = local_runner.run(handler, world.wire, request(LINES, APPROVED))
        return log, execution


def _unmetered(_call: Call, deliver: Deliver) -> Any:
    """Deliver a checkpoint: the meter counts calls to AWS's other services."""
    return deliver()


def _of(invocations: list[Invocation], *, lag_ms: float) -> Quantities:
    request, *_ = invocations
    return Quantities(
        calls=sum(
            count for one in invocations for name, count in one.counts["operations"].items() if name != "provider"
        ),
        write_units=sum(one.units("write_units") for one in invocations),
        answer_ms=request.milliseconds,
        lag_ms=lag_ms,
        usage=costs.usage(invocations, _RATE),
    )


def _durably(invocation: Invocation, execution: Execution) -> Quantities:
    """Add the durable operations. Each step waits for the checkpoint that saves its result."""
    steps = execution.operations - 1
    operations = {**invocation.counts["operations"], _CHECKPOINT: steps}
    counted = Invocation(invocation.name, invocation.function, 1, {**invocation.counts, "operations": operations})
    found = _of([counted], lag_ms=0)
    gigabytes = execution.payload_bytes / GB
    durably = {
        "durable_operation": execution.operations,
        "durable_written_gb": gigabytes,
        "durable_retained_gb": gigabytes * _RETENTION,
    }
    return Quantities(found.calls, found.write_units, found.answer_ms, 0, {**found.usage, **durably})


def _piped(request: Invocation) -> Quantities:
    """Let a pipe publish the event that the relay's request stores, without a function."""
    found = _of([request], lag_ms=POLL_SECONDS * 1000 / 2)
    return Quantities(
        found.calls,
        found.write_units,
        found.answer_ms,
        found.lag_ms,
        {**found.usage, "pipe_request": 1, "eventbridge_event": 1},
    )


def _standard(careful: CallLog) -> Quantities:
    return Quantities(
        calls=careful.aws_calls,
        write_units=sum(careful.write_units.values()),
        answer_ms=None,
        lag_ms=0,
        usage={**_without_lambda(careful), "step_functions_transition": STATES},
    )


def _express(careful: CallLog) -> Quantities:
    waiting = _milliseconds(careful) - ASSUMED["own_ms"]["invocation"] - ASSUMED["own_ms"]["message"]
    billed = ceil(waiting / _TICK) * _TICK / 1000 * _MEMORY
    return Quantities(
        calls=careful.aws_calls,
        write_units=sum(careful.write_units.values()),
        answer_ms=waiting,
        lag_ms=0,
        usage={**_without_lambda(careful), "step_functions_express": 1, "step_functions_gb_second": billed},
    )


def _without_lambda(log: CallLog) -> Usage:
    return {
        "http_api_request": 1,
        "dynamodb_write": sum(log.write_units.values()),
        "dynamodb_read": sum(log.read_units.values()),
        "eventbridge_event": 1,
    }


def _invocation(function: str, log: CallLog, log_bytes: int) -> Invocation:
    """Return an invocation. Each function for orders logs what Handoff's does."""
    return Invocation(
        "request" if function == ORDERS else "relay", function, 1, {**log.counts(), "log_bytes": log_bytes}
    )


def _milliseconds(log: CallLog) -> float:
    counts: Mapping[str, Any] = log.counts()
    return duration_ms(counts["operations"], 1)


def monthly_sweeper(stack: SimulatedStack) -> float:
    """Return the price in dollars of a month's idle runs of the sweeper, which durable functions do not need."""
    with standing() as clock:
        shop = MeteredShop(World(stack, clock))
        idle = {"function": SWEEPER, "counts": shop.sweep().counts()}
    found = costs.fixed({"idle sweep": idle, "custom_metrics": 0})
    parts = ("lambda_request", "lambda_gb_second", "scheduler_invocation", "dynamodb_read", "logs_gb")
    return sum(costs.price(found, name) for name in parts)


def monthly_pipe_reads() -> float:
    """Return the price in dollars of a month's polls of one shard, if a pipe's reads are billed."""
    return costs.price({"stream_read": costs.MONTH / POLL_SECONDS}, "stream_read")
