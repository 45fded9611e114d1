"""The cancel window: an order waits for it in fulfillment's queue, and its lag counts from the end of the window."""

import pytest

from dev.simulated.messages import message
from dev.simulated.world import MUG, deployed
from ops.dlq.scan import QueueScan, redrive
from tests.support import invariants

WINDOW = 600  # seconds
FULFILLMENT, SETTLEMENT = "FulfillmentFunction", "SettlementFunction"


@pytest.fixture(scope="module")
def stack():
    """Deploy the template to moto, with a cancel window."""
    with deployed({"PackAfter": str(WINDOW)}) as stack:
        yield stack


def invoked(world):
    """Return the functions that were invoked so far."""
    return {function for function, _ in world.functions.ended}


def test_within_the_window_nothing_is_invoked_and_the_order_can_be_cancelled(world, api, order_id):
    # GIVEN an order whose window is almost over
    world.queues.until_quiet()
    world.clock.forward(WINDOW - 1)
    world.queues.until_quiet()
    assert FULFILLMENT not in invoked(world)
    assert world.order(order_id)["status"] == "PLACED"

    # WHEN it is cancelled
    assert api.cancel(order_id).status == 200
    world.queues.until_quiet(SETTLEMENT)

    # THEN its hold is voided and its stock is back at once, and it is not packed later
    assert world.ledger() == {order_id: "void"}
    assert world.available() == 10
    world.until_quiet()
    assert world.items("ShipmentsTable") == []
    invariants.check(world, {MUG: 10})


def test_after_the_window_it_is_packed_and_paid_without_lag(world, api, order_id, printed):
    world.queues.until_quiet()
    world.clock.forward(WINDOW + 2)
    printed()

    world.queues.until_quiet(FULFILLMENT)

    # THEN its lag counts from the end of the window, and that of its payment from the moment at which it was packed
    packing = printed()
    assert (packing["EventLagReceived"].values, packing["EventLagDone"].values) == ([2000.0], [2000.0])
    world.queues.until_quiet(SETTLEMENT)
    assert printed()["EventLagDone"].values == [0.0]
    assert api.cancel(order_id).status == 409
    assert world.ledger() == {order_id: "capture"}


def test_an_order_packed_before_the_end_of_its_window_has_no_negative_lag(world, order_id, printed):
    """The clocks of SQS and of the function may differ."""
    records = [
        {
            "messageId": "1",
            "receiptHandle": "r",
            "body": message("order_placed", order_id, 1),
            "attributes": {"ApproximateReceiveCount": "1"},
            "eventSource": "aws:sqs",
        }
    ]
    world.clock.forward(WINDOW - 1)
    printed()

    world.functions.invoke(FULFILLMENT, {"Records": records})

    assert printed()["EventLagDone"].values == [0.0]


def test_waiting_until_all_is_done_lets_the_window_pass(world, order_id):
    world.until_quiet()

    assert world.ledger() == {order_id: "capture"}
    invariants.check(world, {MUG: 10})


def test_a_redriven_dead_letter_does_not_wait_for_a_second_window(world, order_id):
    # GIVEN an order whose event has become a dead letter
    queue, dead_letters = (
        world.stack.environment(FULFILLMENT)[name] for name in ("QUEUE_URL", "DEAD_LETTER_QUEUE_URL")
    )
    sqs = world.client("sqs")
    sqs.purge_queue(QueueUrl=queue)
    sqs.send_message(QueueUrl=dead_letters, MessageBody=message("order_placed", order_id, 1))

    # WHEN it is redriven
    with QueueScan(sqs, dead_letters, wait=0) as scan:
        for dead_letter in scan:
            redrive(sqs, [dead_letter], dead_letters_url=dead_letters, queue_url=queue)
            scan.forget(dead_letter)

    # THEN it is handled at once
    assert world.queues.deliver(FULFILLMENT) == 1
    assert world.order(order_id)["status"] == "PREPARED"
