"""Build the successful responses of the API."""

import base64
import hashlib
import json
from collections.abc import Container, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypedDict, cast

import response_schemas
from handoff.clock import to_iso
from shop.catalog import CatalogPage
from shop.exporting import Exported
from shop.model import (
    Address,
    Customer,
    EmailProblem,
    Line,
    Order,
    OrderStep,
    OrderSummary,
    PaymentState,
    Product,
    Refund,
    RefundState,
    Shipment,
    Status,
    Units,
)
from shop.order_list import ListedOrder, OrdersSince
from shop.order_store import position_key
from shop.payments import Stage
from shop.sales_report import SalesPage, SalesRow
from shop.text import flattened, problem_of

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


def action_required(order: Order, client_secret: str) -> Response:
    """202: the customer has to confirm the payment before the order is placed."""
    shown: response_schemas.ActionRequired = {
        "orderId": order.order_id,
        "status": "ACTION_REQUIRED",
        "clientSecret": client_secret,
        "expiresAt": to_iso(order.expires_at),
        "total": order.total,
        "currency": order.currency,
    }
    return _json(202, shown, location=f"/orders/{order.order_id}", **{"cache-control": "no-store"})


def sandbox_action(stage: Stage) -> Response:
    """200: what became of a payment in the sandbox."""
    shown = {"state": stage.value}
    return _json(200, shown)


def order(order: Order) -> Response:
    """200: the current state of an order and its history."""
    return _json(200, _order(order, {}))


def order_of_customer(order: Order) -> Response:
    """200: an order for a program, which also learns whose it is."""
    return _json(200, _order(order, {"userId": order.user_id}))


class _Owner(TypedDict, total=False):
    """The field that only programs get to see."""

    userId: str


def _order(order: Order, owner: _Owner) -> response_schemas.Order:
    return {
        **_bought(order),
        **owner,
        "placedAt": order.placed_at,
        "status": order.status,
        "sequence": order.sequence,
        "payment": _payment_state(order.payment.state),
        **_later_life(order),
        "history": [_step(entry) for entry in order.history],
    }


def orders(
    summaries: Sequence[OrderSummary], next_position: Mapping[str, str] | None, status: Status | None
) -> Response:
    """200: a page of orders; ``next`` is the cursor of the next page. The cursor of a status names it."""
    page: response_schemas.OrdersPage = {"orders": [_summary(summary) for summary in summaries]}
    if next_position:
        named = {"status": status.value} if status else {}
        page["next"] = _cursor({**_part(next_position, "orderId", position_key(status)), **named})
    return _json(200, page)


def orders_since(part: OrdersSince) -> Response:
    """200: a page of the orders of all customers. It has either the cursor of the next page, or ``until``."""
    page: response_schemas.OrdersPage = {"orders": [_listed(listed) for listed in part.orders]}
    if part.next_position:
        page["next"] = _cursor({"after": part.next_position})
    else:
        page["until"] = part.until
    return _json(200, page)


def refund_requested(order: Order, refund: Refund) -> Response:
    """201: a refund as it was recorded. A repeated request gets the same response, whatever became of the refund."""
    shown: response_schemas.RefundRequested = {
        "refundId": refund.refund_id,
        "orderId": order.order_id,
        "amount": refund.amount,
        "currency": order.currency,
        "lines": _units(refund.lines),
        "reason": refund.reason,
        "restock": refund.restock,
        "state": RefundState.DUE,
        "requestedAt": refund.requested_at,
    }
    return _json(201, shown)


def shipments(found: Sequence[Shipment], next_position: Mapping[str, str] | None) -> Response:
    """200: a page of shipments to pack; ``next`` is the cursor of the next page."""
    page: response_schemas.ShipmentsPage = {"shipments": [_shipment(shipment) for shipment in found]}
    if next_position:
        page["next"] = _cursor(_part(next_position, "orderId", "openSince"))
    return _json(200, page)


def packed(order: Order) -> Response:
    """200: when an order was packed. A repeated request gets the same response."""
    packed_at = next(entry.at for entry in order.history if entry.status == Status.PREPARED)
    shown: response_schemas.Packed = {"orderId": order.order_id, "packedAt": packed_at}
    return _json(200, shown)


def profile(customer: Customer) -> Response:
    """200: a customer's profile."""
    shown: response_schemas.Profile = {"userId": customer.user_id, "name": customer.name}
    if customer.email is not None:
        shown["email"] = customer.email
    if customer.language is not None:
        shown["language"] = customer.language
    if customer.email_problem:
        shown["emailProblem"] = customer.email_problem
    if customer.email is None or customer.email_problem:
        shown["emailAdvice"] = _EMAIL_ADVICE[customer.email_problem]
    return _json(200, shown)


_EMAIL_ADVICE: Mapping[EmailProblem | None, str] = {
    None: "There is no address for the confirmation of an order. Save one with PUT /me.",
    "bounced": (
        "E-mail to this address bounced. Save an address that works with PUT /me, which can be the same once it works."
    ),
    "complained": (
        "An e-mail to this address was reported as spam. Save an address with PUT /me, which can be the same."
    ),
}


def erasure(customer: Customer) -> Response:
    """202: a customer's data is being erased; 200 once that is done."""
    shown: response_schemas.Erasure = {"userId": customer.user_id}
    if customer.erasing_since:
        return _json(202, {**shown, "erasingSince": customer.erasing_since})
    if customer.erased_at:
        shown["erasedAt"] = customer.erased_at
    return _json(200, shown)


def exported(page: Exported, now: int) -> Response:
    """200: a page of the data that is kept about a customer; ``next`` is the cursor of the next page."""
    shown: response_schemas.Export = {
        "exportedAt": to_iso(now),
        "profile": page.profile,
        "orders": page.orders,
        "counts": page.counts,
    }
    if page.next_position:
        shown["next"] = _cursor({name: page.next_position[name] for name in page.next_position if name != "userId"})
    return _json(200, shown, **{"cache-control": "no-store"})


def sales(page: SalesPage, currency: str) -> Response:
    """200: a page of sales, with revenue in minor units; ``next`` is the cursor of the next page."""
    report: response_schemas.SalesPage = {"currency": currency, "sales": [_sold(row) for row in page.rows]}
    if page.next_position:
        report["next"] = _cursor({"day": page.next_position.day, "sku": page.next_position.sku})
    return _json(200, report)


def catalog(page: CatalogPage, currency: str, *, known: Container[str]) -> Response:
    """200: a page of the products on sale, with prices in minor units; ``next`` is the cursor of the next page.

    Caches may keep it for as long as the page may be used. 304 if its entity tag is among those that the client has
    sent, ``known``.
    """
    products = [_product(product) for product in page.products]
    shown: response_schemas.Catalog = {"currency": currency, "products": products}
    if page.next_after:
        shown["next"] = _cursor({"sku": page.next_after})
    response = _json(200, shown)
    tag = f'"{hashlib.sha256(response["body"].encode()).hexdigest()[:32]}"'
    headers = {"cache-control": f"public, max-age={page.usable_for()}", "etag": tag}
    if tag in known or ANY_VERSION in known:
        return {"statusCode": 304, "headers": headers, "body": ""}
    response["headers"] |= headers
    return response


def preflight() -> Response:
    """204: the browser then sends the request itself, if the gateway's headers allow it."""
    return {"statusCode": 204, "headers": {}, "body": ""}


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


def _part(position: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: position[name] for name in names}


def _cursor(position: Mapping[str, str]) -> str:
    """Encode a position in a list; `parameters.decode_cursor` is the inverse."""
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


class _LaterLife(TypedDict, total=False):
    """The fields that an order has only after some steps of its life."""

    cancellation: response_schemas.Cancellation
    releasedAt: str
    returnRequest: response_schemas.ReturnRequest
    refunds: list[response_schemas.Refund]
    refunded: int
    dispute: response_schemas.Dispute
    actionExpiresAt: str
    mailProblem: EmailProblem


def _later_life(order: Order) -> _LaterLife:
    shown: _LaterLife = {}
    if order.cancellation:
        shown["cancellation"] = {"by": order.cancellation.by}
        if order.cancellation.reason is not None:
            shown["cancellation"]["reason"] = order.cancellation.reason
    if order.released:
        shown["releasedAt"] = order.released
    if order.return_request:
        request = order.return_request
        shown["returnRequest"] = {"requestedAt": request.requested_at, "lines": _units(request.lines)}
        if request.reason is not None:
            shown["returnRequest"]["reason"] = request.reason
    if order.refunds:
        oldest_first = sorted(order.refunds.values(), key=lambda refund: (refund.requested_at, refund.refund_id))
        shown["refunds"] = [_refund(refund) for refund in oldest_first]
        shown["refunded"] = order.refunded
    if order.dispute:
        dispute = order.dispute
        shown["dispute"] = {"state": dispute.state, "amount": dispute.amount, "openedAt": dispute.opened_at}
    if order.waits_for_customer:
        shown["actionExpiresAt"] = to_iso(order.expires_at)
    if order.mail_problem:
        shown["mailProblem"] = order.mail_problem
    return shown


def _payment_state(state: PaymentState) -> response_schemas.PaymentShown:
    """Return the state as clients know it: until the customer has acted, nothing is held."""
    return PaymentState.NONE if state is PaymentState.ACTION_REQUIRED else state


def _refund(refund: Refund) -> response_schemas.Refund:
    shown: response_schemas.Refund = {
        "refundId": refund.refund_id,
        "amount": refund.amount,
        "lines": _units(refund.lines),
        "reason": refund.reason,
        "restock": refund.restock,
        "state": refund.state,
        "requestedAt": refund.requested_at,
    }
    if refund.completed_at is not None:
        shown["completedAt"] = refund.completed_at
    return shown


def _units(lines: Sequence[Units]) -> list[response_schemas.Units]:
    return [{"sku": units.sku, "quantity": units.quantity} for units in lines]


def _shipment(shipment: Shipment) -> response_schemas.Shipment:
    shown: response_schemas.Shipment = {
        "orderId": shipment.order_id,
        "openSince": cast("str", shipment.open_since),  # set while it is open
        "lines": [{"sku": line.sku, "name": _name(line), "quantity": line.quantity} for line in shipment.lines],
        "shippingAddress": _address(shipment.address),
    }
    if shipment.pack_by is not None:
        shown["packBy"] = to_iso(shipment.pack_by)
    return shown


def _line(line: Line) -> response_schemas.Line:
    return {"sku": line.sku, "name": _name(line), "quantity": line.quantity, "unitPrice": line.unit_price}


def _name(product: Product | Line) -> str:
    """Return the name in one visible line. Earlier releases also stored others."""
    return flattened(product.name) or product.sku


def _address(address: Address) -> response_schemas.Address:
    """Return the address, each part in one visible line, for labels. Earlier releases also stored others."""
    shown = {name: flattened(line) if problem_of(line) else line for name, line in address.dump().items()}
    return cast("response_schemas.Address", shown)


def _step(entry: OrderStep) -> response_schemas.Step:
    step: response_schemas.Step = {"sequence": entry.sequence, "status": Status(entry.status), "at": entry.at}
    if entry.payment is PaymentState.ACTION_REQUIRED:
        step["actionRequired"] = True
    elif entry.payment is not None:
        step["payment"] = entry.payment
    if entry.dispute is not None:
        step["dispute"] = entry.dispute
    if entry.refund_id is not None and entry.refund is not None:
        step["refundId"], step["refund"] = entry.refund_id, entry.refund
    if entry.returns:
        step["returns"] = True
    if entry.reason is not None:
        step["reason"] = entry.reason
    return step


def _summary(summary: OrderSummary) -> response_schemas.OrderSummary:
    return {
        "orderId": summary.order_id,
        "status": summary.status,
        "total": summary.total,
        "currency": summary.currency,
        "placedAt": cast("str", summary.placed_at or summary.unplaced_since),  # the key of the index
    }


def _listed(order: ListedOrder) -> response_schemas.OrderSummary:
    summary = _summary(order.summary)
    summary["userId"] = order.user_id
    return summary


def _sold(row: SalesRow) -> response_schemas.SalesRow:
    return {"day": row.day, "sku": row.sku, "orders": row.orders, "units": row.units, "revenue": row.revenue}


def _product(product: Product) -> response_schemas.Product:
    return {
        "sku": product.sku,
        "name": _name(product),
        "unitPrice": product.unit_price,
        "inStock": product.available > 0,
    }


def _json(status: int, document: Mapping[str, object], **headers: str) -> Response:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", **headers},
        "body": json.dumps(document),
    }
