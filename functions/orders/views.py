"""What clients get to see."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from handoff.model import Customer, Model, Order, OrderSummary, Product, Status
from handoff.sales_report import SalesPage


class Response(TypedDict):
    """An answer in HTTP API's payload format 2.0."""

    statusCode: int
    headers: dict[str, str]
    body: str


def placed(order: Order) -> Response:
    """201: the order as it was placed. A repeat gives the same answer, whatever has become of it since."""
    shown = {**_order(order), "status": Status.PLACED}
    return _json(201, shown, location=f"/orders/{order.order_id}")


def order(order: Order) -> Response:
    """200: an order as it stands now, with its history."""
    history = [_dump(entry, exclude={"transition_id"}) for entry in order.history]
    now = {"status": order.status, "sequence": order.sequence, "payment": order.payment.state, "history": history}
    return _json(200, {**_order(order), **now})


def orders(summaries: Sequence[OrderSummary], following: Mapping[str, str] | None) -> Response:
    """200: one page of orders; ``next`` is the cursor of the page after it."""
    page: dict[str, Any] = {"orders": [_dump(summary) for summary in summaries]}
    if following:
        page["next"] = _cursor({name: following[name] for name in ("orderId", "placedAt")})
    return _json(200, page)


def profile(customer: Customer) -> Response:
    """200: a customer's profile; ``emailProblem`` says that mails to the address came back or were not wanted."""
    return _json(200, _dump(customer, include={"user_id", "name", "email", "email_problem"}))


def sales(page: SalesPage, currency: str) -> Response:
    """200: one page of sales, revenue in minor units; ``next`` is the cursor of the page after it."""
    report: dict[str, Any] = {"currency": currency, "sales": [_dump(row) for row in page.rows]}
    if page.following:
        report["next"] = _cursor({"day": page.following.day, "sku": page.following.sku})
    return _json(200, report)


def catalog(products: Sequence[Product], currency: str) -> Response:
    """200: what is on sale; prices in minor units, stock at most a minute old."""
    shown = [
        {
            "sku": product.sku,
            "name": product.name,
            "unitPrice": product.unit_price,
            "inStock": product.available > 0,
        }
        for product in products
    ]
    return _json(200, {"currency": currency, "products": shown})


def health(payment_provider: str) -> Response:
    """200: alive."""
    return _json(200, {"status": "ok", "paymentProvider": payment_provider})


def _cursor(place: Mapping[str, str]) -> str:
    """A place in a list, as `requests_in.place` reads it back."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _order(order: Order) -> dict[str, Any]:
    return {
        "orderId": order.order_id,
        "placedAt": order.placed_at,
        "lines": [_dump(line) for line in order.lines],
        "total": order.total,
        "currency": order.currency,
        "shippingAddress": _dump(order.shipping_address),
    }


def _dump(model: Model, include: set[str] | None = None, exclude: set[str] | None = None) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True, include=include, exclude=exclude)


def _json(status: int, document: dict[str, Any], **headers: str) -> Response:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", **headers},
        "body": json.dumps(document),
    }
