"""Build the successful responses of the API."""

import base64
import hashlib
import json
from collections.abc import Container, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypedDict, cast

import response_schemas
from shop.model import Address, Customer, Line, Order, OrderStep, OrderSummary, Product, Status
from shop.sales_report import SalesPage, SalesRow

ANY_VERSION = "*"  # an If-None-Match that every version matches


class Response(TypedDict):
    """A response in HTTP API's payload format 2.0."""

    statusCode: int
    headers: dict[str, str]
    body: str


def placed(order: Order) -> Response:
    """201: the order as it was placed. A repeated request gets the same response, even if the order has changed."""
    placed_at = cast("str", order.placed_at)  # set by placing the order
    shown: response_schemas.Placed = {**_bought(order), "placedAt": placed_at, "status": Status.PLACED}
    return _json(201, shown, location=f"/orders/{order.order_id}")


def order(order: Order) -> Response:
    """200: the current state of an order and its history."""
    shown: response_schemas.Order = {
        **_bought(order),
        "placedAt": order.placed_at,
        "status": order.status,
        "sequence": order.sequence,
        "payment": order.payment.state,
        "history": [_step(entry) for entry in order.history],
    }
    return _json(200, shown)


def orders(summaries: Sequence[OrderSummary], next_position: Mapping[str, str] | None) -> Response:
    """200: a page of orders; ``next`` is the cursor of the next page."""
    page: response_schemas.OrdersPage = {"orders": [_summary(summary) for summary in summaries]}
    if next_position:
        page["next"] = _cursor({name: next_position[name] for name in ("orderId", "placedAt")})
    return _json(200, page)


def profile(customer: Customer) -> Response:
    """200: a customer's profile."""
    shown: response_schemas.Profile = {"userId": customer.user_id, "name": customer.name}
    if customer.email is not None:
        shown["email"] = customer.email
    if customer.email_problem:
        shown["emailProblem"] = customer.email_problem
    return _json(200, shown)


def sales(page: SalesPage, currency: str) -> Response:
    """200: a page of sales, with revenue in minor units; ``next`` is the cursor of the next page."""
    report: response_schemas.SalesPage = {"currency": currency, "sales": [_sold(row) for row in page.rows]}
    if page.next_position:
        report["next"] = _cursor({"day": page.next_position.day, "sku": page.next_position.sku})
    return _json(200, report)


def catalog(products: Sequence[Product], currency: str, *, max_age: int, known: Container[str]) -> Response:
    """200: the products on sale, with prices in minor units. Caches may keep it for ``max_age`` seconds.

    304 if its entity tag is among those that the client has sent, ``known``.
    """
    shown: response_schemas.Catalog = {"currency": currency, "products": [_product(product) for product in products]}
    response = _json(200, shown)
    tag = f'"{hashlib.sha256(response["body"].encode()).hexdigest()[:32]}"'
    headers = {"cache-control": f"public, max-age={max_age}", "etag": tag}
    if tag in known or ANY_VERSION in known:
        return {"statusCode": 304, "headers": headers, "body": ""}
    response["headers"] |= headers
    return response


def health(payment_provider: str) -> Response:
    """200: the function runs."""
    shown: response_schemas.Health = {"status": "ok", "paymentProvider": payment_provider}
    return _json(200, shown)


def description() -> Response:
    """200: the description of the API (OpenAPI)."""
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": _openapi()}


@cache
def _openapi() -> str:
    """Return the document that ``make contracts`` generates."""
    return Path(__file__).with_name("openapi.json").read_text(encoding="utf-8")


def _cursor(position: Mapping[str, str]) -> str:
    """Encode a position in a list; `order_requests.decode_cursor` is the inverse."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


class _Bought(TypedDict):
    """The fields that both representations of an order have."""

    orderId: str
    lines: list[response_schemas.Line]
    total: int
    currency: str
    shippingAddress: response_schemas.Address


def _bought(order: Order) -> _Bought:
    return {
        "orderId": order.order_id,
        "lines": [_line(line) for line in order.lines],
        "total": order.total,
        "currency": order.currency,
        "shippingAddress": _address(order.shipping_address),
    }


def _line(line: Line) -> response_schemas.Line:
    return {"sku": line.sku, "name": line.name, "quantity": line.quantity, "unitPrice": line.unit_price}


def _address(address: Address) -> response_schemas.Address:
    return {
        "name": address.name,
        "street": address.street,
        "city": address.city,
        "postalCode": address.postal_code,
        "country": address.country,
    }


def _step(entry: OrderStep) -> response_schemas.Step:
    step: response_schemas.Step = {"sequence": entry.sequence, "status": Status(entry.status), "at": entry.at}
    if entry.payment is not None:
        step["payment"] = entry.payment
    if entry.reason is not None:
        step["reason"] = entry.reason
    return step


def _summary(summary: OrderSummary) -> response_schemas.OrderSummary:
    return {
        "orderId": summary.order_id,
        "status": summary.status,
        "total": summary.total,
        "currency": summary.currency,
        "placedAt": summary.placed_at,
    }


def _sold(row: SalesRow) -> response_schemas.SalesRow:
    return {"day": row.day, "sku": row.sku, "orders": row.orders, "units": row.units, "revenue": row.revenue}


def _product(product: Product) -> response_schemas.Product:
    return {
        "sku": product.sku,
        "name": product.name,
        "unitPrice": product.unit_price,
        "inStock": product.available > 0,
    }


def _json(status: int, document: Mapping[str, object], **headers: str) -> Response:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", **headers},
        "body": json.dumps(document),
    }
