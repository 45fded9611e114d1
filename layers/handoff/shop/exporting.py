"""Exporting all that is kept about a customer, as it is stored."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shop.customers import CustomerStore
from shop.order_store import OrderStore
from shop.shipment_store import ShipmentStore

# Attributes that say how to work on an item, not anything about the customer. A payment token is a key to the payment
# method at the provider until the payment is settled.
_WITHHELD = {
    "unfinished",
    "dueAt",
    "unfinishedSince",
    "outbox",
    "trace",
    "attemptId",
    "leaseUntil",
    "paymentToken",
    "openKey",
}


@dataclass(frozen=True, slots=True)
class Exported:
    """A page of an export: the profile, orders with their shipments, and counts by hour; ``profile`` may be missing."""

    profile: dict[str, Any] | None
    orders: list[dict[str, Any]]
    counts: list[dict[str, Any]]
    next_position: dict[str, str] | None


def export(
    customers: CustomerStore,
    orders: OrderStore,
    shipments: ShipmentStore,
    user_id: str,
    *,
    limit: int,
    after: Mapping[str, str] | None = None,
) -> Exported:
    """Return a page of a user's data, with about ``limit`` orders, and the position of the next page."""
    order_ids, next_position = orders.page_of(user_id, limit, after)
    stored = [item for item in orders.items(order_ids).values() if item["userId"] == user_id]
    sent = shipments.of(item["orderId"] for item in stored)
    return Exported(
        profile=_shown(customers.item(user_id)) or None,
        orders=[_with_shipment(_shown(item), sent.get(item["orderId"])) for item in stored],
        counts=[_shown(item) for item in orders.counts_of(user_id)],
        next_position=next_position,
    )


def _with_shipment(order: dict[str, Any], shipment: dict[str, Any] | None) -> dict[str, Any]:
    return order if shipment is None else {**order, "shipment": _shown(shipment)}


def _shown(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _as_json(value) for name, value in sorted(item.items()) if name not in _WITHHELD}


def _as_json(value: Any) -> Any:
    """Return a stored value as JSON: other programs can have stored sets and bytes."""
    match value:
        case dict():
            return {name: _as_json(member) for name, member in value.items()}
        case list():
            return [_as_json(member) for member in value]
        case set():
            return sorted(map(_as_json, value))
        case None | bool() | int() | float() | str():
            return value
        case _:
            return base64.b64encode(bytes(value)).decode()
