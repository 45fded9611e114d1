"""The order with a relay from DynamoDB Streams: the commit stores the event, and a function publishes what it reads.

The request does not publish, and nothing has to be cleared. PENDING orders keep Handoff's sweeper.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from moto.dynamodb.models import dynamodb_backends

from bench.rivals.shop import Parts, connect, placement, process
from dev.simulated import clients
from dev.simulated.account import ACCOUNT, REGION
from dev.simulated.stack import SimulatedStack
from dev.simulated.wire import Crash
from dev.simulated.world import World
from handoff import aws, bus
from handoff.aggregate import Transition
from handoff.attribute_values import from_item
from handoff.bus import Bus
from handoff.clock import Deadline
from handoff.errors import TransactionConflict
from handoff.model import OutboxEntry
from shop.errors import InProgress, PaymentDeclined, RequestError
from shop.limits import Limits
from shop.model import Order
from shop.order_store import OrderStore
from shop.placing import DEADLINE, DuplicateRequest, authorize, commit, replay_response, reserve

# Lambda's and Pipes' base rate for DynamoDB Streams is four times a second.
# https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
POLL_SECONDS = 0.25
_EVENT = "toPublish"
_STATUSES = {PaymentDeclined: 402, InProgress: 409}  # others are 503


class RelayedOrders(OrderStore):
    """Orders whose latest event is an attribute of the item, for the stream, and not work for the sweeper."""

    def _update(self, step: Transition[Order], seen: Order) -> Any:
        after = step.after.model_copy(update={"outbox": {}})
        update = super()._update(replace(step, after=after), seen)
        return update.set(_EVENT, step.after.outbox[step.event].dump()) if step.event else update


class Relay:
    """The API function and the relay function of one stack, and the stream between them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stream = _open_stream(world)
        self._read = 0
        self._parts = _relayed(connect(world.stack))
        self._bus = _bus(world.stack)

    def place(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a request: Handoff's steps without publishing."""
        shop, deadline = self._parts.shop, Deadline(DEADLINE)
        try:
            try:
                order = reserve(shop, placement(event), deadline)
                order = commit(shop, order, authorize(shop, order, deadline), deadline)
            except DuplicateRequest as before:
                order = replay_response(before.order)
        except RequestError as error:
            return {"status": _STATUSES.get(type(error), 503)}
        except (*aws.ERRORS, TransactionConflict):
            return {"status": 503}
        return {**order.dump(), "status": 201}

    def poll(self) -> None:
        """Hand the new records to the relay function, again and again until it has accepted them."""
        records = [record.to_json() for record in self._stream.items[self._read :]]
        while records:
            self._world.clock.forward(POLL_SECONDS)
            with suppress(Crash, *aws.ERRORS, RuntimeError):
                self.relay(records)
                break
        self._read += len(records)

    def relay(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Publish the events in a batch of records. An event that fails fails the batch, which comes again."""
        changes = [record["dynamodb"] for record in records]
        new = [
            OutboxEntry.model_validate(from_item({"event": image["NewImage"][_EVENT]})["event"])
            for image in changes
            if _EVENT in image.get("NewImage", {})
            and image["NewImage"][_EVENT] != image.get("OldImage", {}).get(_EVENT)
        ]
        if new and not all(self._bus.publish(new)):
            raise RuntimeError("events are not published")

    def restart(self) -> None:
        """Start both functions again, as after a crash."""
        self._parts = _relayed(connect(self._world.stack))
        self._bus = _bus(self._world.stack)


def _open_stream(world: World) -> Any:
    """Switch on the stream of the orders' table, and return it, empty, from moto's memory."""
    name = world.table("OrdersTable")
    table = dynamodb_backends[ACCOUNT][REGION].tables[name]
    if not table.stream_shard:
        viewed = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        world.client("dynamodb").update_table(TableName=name, StreamSpecification=viewed)
    table.stream_shard.items.clear()
    return table.stream_shard


def _relayed(parts: Parts) -> Parts:
    found = parts.settings
    orders = RelayedOrders(
        parts.dynamodb,
        orders=found.orders_table,
        products=found.products_table,
        customers=found.customers_table,
        shipments=found.shipments_table,
        limits=Limits(found.limits_table, found.orders_per_hour, found.declines_per_hour),
        rejected_days=found.rejected_days,
        shards=found.unfinished_shards,
        list_shards=found.order_list_shards,
    )
    return replace(parts, shop=replace(parts.shop, orders=orders))


def _bus(stack: SimulatedStack) -> Bus:
    with process(stack), clients.kept():
        return bus.connect_patiently(stack.environment("OrdersFunction")["BUS_NAME"])
