"""Runs in a process of its own, with a function's environment, and prints the metrics that Handoff emits.

Arguments: the consumers' names. Standard input: an event of a queue, for the consumers.
"""

import json
import sys
from types import SimpleNamespace
from typing import Any

import fulfillment
import sweeper
from handoff.consumer import Consumer, parse
from handoff.model import Payment, PaymentState

CONTEXT: Any = SimpleNamespace(
    function_name="function", memory_limit_in_mb=512, invoked_function_arn="arn:function", aws_request_id="request"
)


def sweep() -> None:
    """A run of the sweeper that finds nothing."""
    sweeper._orders.unfinished.hints = sweeper._customers.unfinished.hints = lambda shard: []
    sweeper.handler({}, CONTEXT)


def consume(name: str, event: dict[str, Any]) -> None:
    """A batch that works, but for fulfillment's captures: the provider refuses them."""
    fulfillment.settle = lambda *_: SimpleNamespace(payment=Payment(state=PaymentState.FAILED))
    handle = fulfillment.settle_payment if name == "fulfillment" else lambda envelope: None
    consumer = Consumer(name, Any, read=parse, queue_url="queue", dead_letter_url="dead-letters", max_receives=5)
    consumer.run(event, CONTEXT, handle)


if __name__ == "__main__":
    batch = json.load(sys.stdin)
    sweep()
    for consumer in sys.argv[1:]:
        consume(consumer, batch)
