"""The figures of docs/reference/rivals.md about faults: what each way to place an order survives."""

import pytest

from bench.rivals import local_runner, trials
from bench.rivals.durable_ways import CAREFUL, SAMPLE
from bench.rivals.experiments import CHECKPOINT, WAYS, Strike, run, strikes, violations
from bench.rivals.shop import APPROVED, DECLINED, UNITS, new_world
from bench.scenarios import sku
from dev.invariants import Harm
from dev.simulated.clock import running
from dev.simulated.wire import Wire, crash_before, lose_request, lose_response, refuse

PAYMENTS = pytest.mark.parametrize("token", [APPROVED, DECLINED], ids=["approved", "declined"])


def wrong(outcome):
    return [violation.what.partition(" ")[2] for violation in outcome.violations]


@PAYMENTS
@pytest.mark.parametrize("way", [*WAYS, CAREFUL], ids=lambda way: way.name)
def test_no_single_fault_violates_an_invariant(stack, way, token):
    outcomes = trials.every_fault(stack, way, token)

    assert len(outcomes) >= 12
    assert [(outcome.strike, outcome.violations) for outcome in outcomes if outcome.violations] == []


@pytest.fixture
def place(stack):
    """Place an order of one unit with a durable function, under the faults that a test plans."""
    with running() as clock:
        world = new_world(stack, clock, lines=1)
        yield world, lambda way: way.make(world, APPROVED, 1).place()["status"]


def test_a_silent_provider_is_compensated(place):
    world, order = place
    world.wire.on("*", lose_response, times=6, where=world.to_provider)  # all attempts of the step

    assert order(CAREFUL) == 503
    assert violations(world, []) == []
    assert [order["status"] for order in world.items("OrdersTable")] == ["REJECTED"]
    assert set(world.ledger().values()) == {"void"}


def test_storing_is_tried_until_it_succeeds(place):
    world, order = place
    world.wire.on("dynamodb.UpdateItem", lose_request, times=20)

    assert order(CAREFUL) == 201
    assert violations(world, []) == []
    assert world.event_types() == ["order_placed"]


def test_a_product_that_is_short_is_refused_once(place):
    world, order = place
    world.change("ProductsTable", {"sku": sku(0)}, available=0)

    assert order(CAREFUL) == 409
    assert len(world.wire.named("dynamodb.TransactWriteItems")) == 1
    assert world.items("OrdersTable") == []


def test_without_faults_in_its_compensations_the_sample_compensates(place):
    world, order = place
    world.wire.always("dynamodb.PutItem", refuse("ValidationException"), where=world.touching("OrdersTable"))

    assert order(SAMPLE) == 503
    assert world.available(sku(0)) == UNITS
    assert set(world.ledger().values()) == {"void"}


def test_a_careful_durable_function_finishes_every_order(stack):
    assert all(outcome.placed and outcome.status == 201 for outcome in trials.every_fault(stack, CAREFUL, APPROVED))


@pytest.mark.parametrize("kind", ["answer lost", "crash after"])
def test_the_sample_takes_stock_twice(stack, kind):
    outcome = run(stack, SAMPLE, Strike(kind, "dynamodb.UpdateItem", 1), token=APPROVED, asks_again=False)

    assert outcome.status == 201
    assert wrong(outcome) == ["8 available of 10, with 1 in orders"]


@pytest.mark.parametrize("kind", ["answer lost", "crash after"])
def test_the_sample_leaves_an_orphaned_hold(stack, kind):
    outcome = run(stack, SAMPLE, Strike(kind, "dynamodb.PutItem", 1), token=APPROVED, asks_again=False)

    assert outcome.status == 201
    assert wrong(outcome) == ["has 2 holds"]
    assert [violation.harm for violation in outcome.violations] == [Harm.DOUBLED]


def test_the_sample_returns_stock_twice_when_it_compensates(stack):
    outcome = run(stack, SAMPLE, Strike("answer lost", "dynamodb.UpdateItem", 2), token=DECLINED, asks_again=False)

    assert wrong(outcome) == ["11 available of 10, with 0 in orders"]


def test_without_a_fault_the_sample_violates_nothing(stack):
    assert [run(stack, SAMPLE, None, token=token, asks_again=False).violations for token in (APPROVED, DECLINED)] == [
        [],
        [],
    ]


def test_checkpoints_are_among_the_calls_that_are_struck(stack):
    undisturbed = run(stack, CAREFUL, None, token=APPROVED, asks_again=False)

    struck = [strike for strike in strikes(undisturbed) if strike.call == f"lambda.{CHECKPOINT}"]

    assert len(struck) == 3 * 5  # price, reserve, authorize, store, publish


def test_after_a_crash_at_a_checkpoint_no_call_of_the_process_gets_through():
    class Service:
        def checkpoint(self, *_arguments):
            raise AssertionError("a dead process called")

    wire = Wire()
    wire.on("lambda.*", crash_before)
    service = local_runner.WiredService(wire, Service())

    for _ in range(2):
        with pytest.raises(local_runner.CheckpointError):
            service.checkpoint("arn", "token", [], None)
    assert len(wire.calls) == 1
