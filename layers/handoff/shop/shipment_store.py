"""Shipments in DynamoDB that wait for a warehouse to pack them.

They carry the keys of the sparse index ``open``. It has one partition, which takes 1,000 writes a second: more orders a
second than a warehouse packs. Packed shipments are written by `shop.order_store`, together with their orders.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from handoff import aws
from handoff.attribute_values import from_item, to_item
from handoff.clock import Deadline, to_iso
from handoff.unfinished import parse_or_log
from handoff.update import Attr, Update, check, put_new
from shop.model import Address, Order, Shipment, Status
from shop.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

INDEX = "open"


class ShipmentStore:
    """Reads and writes open shipments."""

    def __init__(self, client: "DynamoDBClient", *, orders: str, shipments: str) -> None:
        self._client = client
        self._orders = orders
        self._table = shipments

    def open(self, order: Order, now: int, deadline: Deadline) -> bool:
        """Store an open shipment for a PLACED order; return whether it is new. ``now`` in epoch milliseconds.

        Raises
        ------
        ConditionFailed
            If the order is not PLACED anymore.
        TransactionConflict
            If other writers kept changing the same items, or no time is left.
        """
        shipment = Shipment(
            order_id=order.order_id,
            lines=order.lines,
            address=order.shipping_address,
            state="open",
            open_key="open",
            open_since=to_iso(now),
            pack_by=order.capture_by,
        )
        placed = check(self._orders, {"orderId": order.order_id}, Attr("status").eq(Status.PLACED.value))
        try:
            aws.write(self._client, [placed, put_new(self._table, shipment.dump(), "orderId")], deadline)
        except aws.ConditionFailed as failed:
            if 0 in failed.images:
                raise
            return False
        return True

    def list_open(
        self, limit: int, after: Mapping[str, str] | None = None
    ) -> tuple[list[Shipment], dict[str, str] | None]:
        """Return open shipments, oldest first, and the position of the next page.

        Which ones is eventually consistent, as the index is. Their content is consistent, so a page can hold fewer
        shipments than ``limit`` and not be the last.
        """
        start: Any = {"ExclusiveStartKey": to_item({**after, "openKey": "open"})} if after else {}
        response = self._client.query(TableName=self._table, Limit=limit, **self._query(), **start)
        order_ids = [item["orderId"]["S"] for item in response["Items"]]
        items = aws.batch_get(self._client, self._table, "orderId", order_ids)
        shipments = [parse_or_log(Shipment, items[found], "orderId") for found in order_ids if found in items]
        last = response.get("LastEvaluatedKey")
        return [one for one in shipments if one and one.state == "open"], from_item(last) if last else None

    def of(self, order_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the shipments of these orders as they are stored, by order id."""
        return aws.batch_get(self._client, self._table, "orderId", order_ids)

    def readdress(self, order_id: str, address: Address) -> None:
        """Replace the address of an order's shipment, if it has one."""
        update = Update(self._table, {"orderId": order_id}).set("address", address.dump())
        with suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.update_item(**update.when(Attr("orderId").exists()).members())

    def overdue(self, now: int) -> list[str]:
        """Return the orders whose open shipments are past half the life of their payment holds, oldest first."""
        query = self._query()
        query["FilterExpression"] = "packBy <= :now"
        query["ExpressionAttributeValues"] = {**query["ExpressionAttributeValues"], ":now": {"N": str(now)}}
        pages = self._client.get_paginator("query").paginate(TableName=self._table, **query)
        return [item["orderId"]["S"] for page in pages for item in page["Items"]]

    def _query(self) -> dict[str, Any]:
        return {
            "IndexName": INDEX,
            "KeyConditionExpression": "openKey = :open",
            "ExpressionAttributeValues": {":open": {"S": "open"}},
        }


def connect(client: "DynamoDBClient", settings: Settings) -> ShipmentStore:
    """Return the open shipments of this deployment."""
    return ShipmentStore(client, orders=settings.orders_table, shipments=settings.shipments_table)
