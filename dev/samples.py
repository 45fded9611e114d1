"""`make events`: a sample payload for every function, and the sample orders, in ``events/``.

The events are built from the contract's models, so they can't drift from it; a test compares the folder with the output
of this module. The catalog and the customers beside them are written by hand.
"""

import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter

from handoff.clock import from_iso, to_iso
from handoff.model import OutboxEntry
from shop import events, ids, mail_tags
from shop.events import DetailType, OrderData, PaymentData, ProfileData, UserData
from shop.model import Address, Customer, Product

EVENTS = Path(__file__).resolve().parents[1] / "events"

_ACCOUNT = "123456789012"
_REGION = "eu-central-1"
_START = from_iso("2026-11-23T10:00:00.123Z")
_ISSUER = "https://issuer.example.com"
_QUARTER = {"from": "2026-10-01", "to": "2026-12-31"}
WEBHOOK_SECRET = "whsec_sample"  # noqa: S105  # signs the sample of Stripe's webhook, and nothing else
_HOST = "0a1b2c3d.execute-api.eu-central-1.amazonaws.com"


def catalog() -> list[Product]:
    """Return the sample products."""
    return TypeAdapter(list[Product]).validate_json((EVENTS / "catalog.json").read_bytes())


def customers() -> list[Customer]:
    """Return the sample customers."""
    return TypeAdapter(list[Customer]).validate_json((EVENTS / "customers.json").read_bytes())


@dataclass(frozen=True, slots=True)
class SampleOrder:
    """An order that a customer wants to place."""

    name: str
    customer: Customer
    quantities: Mapping[str, int]
    address: Address
    payment_token: str = "tok_approve"  # noqa: S105  # a token of the sandbox provider is no secret
    expects_total: bool = False
    customer_action: bool = False

    @property
    def idempotency_key(self) -> str:
        """Its idempotency key in the sample events."""
        return f"sample-{self.name}"

    @property
    def order_id(self) -> str:
        """Its order id in the sample events."""
        return ids.order_id(self.customer.user_id, self.idempotency_key)

    @property
    def payment(self) -> str:
        """The sandbox's name for its payment in the sample events."""
        return ids.payment_key(self.order_id, "authorise")

    def request(self) -> dict[str, Any]:
        """Return the body of its ``POST /orders``."""
        body: dict[str, Any] = {
            "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in self.quantities.items()],
            "shippingAddress": self.address.dump(),
            "paymentToken": self.payment_token,
        }
        if self.expects_total:
            prices = {product.sku: product.unit_price for product in catalog()}
            body["expectedTotal"] = sum(quantity * prices[sku] for sku, quantity in self.quantities.items())
        if self.customer_action:
            body["customerAction"] = True
        return body

    def event(self, detail_type: DetailType, sequence: int) -> dict[str, Any]:
        """Return one of its events, as EventBridge delivers it, a second after the previous one."""
        at = _START + sequence * 1000
        entry = events.EVENTS[detail_type].entry(
            OrderData(order_id=self.order_id, user_id=self.customer.user_id),
            aggregate_id=self.order_id,
            sequence=sequence,
            at=at,
            correlation_id=f"sample-{self.name}",
        )
        return _delivered(entry, _uuid(self.order_id, str(sequence)), at)


def profile_updated(customer: Customer) -> dict[str, Any]:
    """Return the event of a customer's first profile, as EventBridge delivers it."""
    entry = events.USER_PROFILE_UPDATED.entry(
        ProfileData(user_id=customer.user_id, changed_fields=("name", "email")),
        aggregate_id=customer.user_id,
        sequence=1,
        at=_START,
        correlation_id="sample-profile",
    )
    return _delivered(entry, _uuid(customer.user_id, "1"), _START)


def user_erased(customer: Customer) -> dict[str, Any]:
    """Return the event that a customer's personal data was erased, as EventBridge delivers it."""
    entry = events.USER_ERASED.entry(
        UserData(user_id=customer.user_id),
        aggregate_id=customer.user_id,
        sequence=2,
        at=_START,
        correlation_id="sample-erasure",
    )
    return _delivered(entry, _uuid(customer.user_id, "2"), _START)


def payment_happened(order: SampleOrder) -> dict[str, Any]:
    """Return the event that something has happened to an order's payment, as EventBridge delivers it."""
    entry = events.PAYMENT_EVENT.entry(
        PaymentData(reference=order.payment),
        aggregate_id=order.payment,
        sequence=1,
        at=_START,
        correlation_id=f"sample-{order.name}-payment",
    )
    return _delivered(entry, _uuid(order.payment, "1"), _START)


def stripe_event(kind: str, payment: str) -> dict[str, Any]:
    """Return a request of Stripe's webhook about a payment, signed with `WEBHOOK_SECRET`.

    Sources: https://docs.stripe.com/api/events/object and https://docs.stripe.com/webhooks#verify-manually
    """
    at = _START // 1000
    subject = {"id": payment, "object": "payment_intent", "status": "canceled"}
    request = _http(
        "POST /payment-events",
        body={"id": "evt_sample", "object": "event", "type": kind, "created": at, "data": {"object": subject}},
    )
    signed = hmac.new(WEBHOOK_SECRET.encode(), f"{at}.{request['body']}".encode(), hashlib.sha256).hexdigest()
    request["headers"]["stripe-signature"] = f"t={at},v1={signed}"
    return request


def bounced(customer: Customer) -> dict[str, Any]:
    """Return the bounce that SES reports for an address that does not exist, as EventBridge delivers it.

    Source: https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
    """
    mail = {
        "timestamp": to_iso(_START),
        "messageId": _uuid(customer.user_id, "mail"),
        "destination": [customer.email],
        "tags": {mail_tags.TAG: [mail_tags.tag_of(customer.user_id)], "ses:configuration-set": ["handoff-mail"]},
    }
    bounce = {
        "bounceType": "Permanent",
        "bounceSubType": "General",
        "bouncedRecipients": [{"emailAddress": customer.email, "action": "failed", "status": "5.1.1"}],
        "timestamp": to_iso(_START),
    }
    return {
        "version": "0",
        "id": _uuid(customer.user_id, "bounce"),
        "detail-type": "Email Bounced",
        "source": "aws.ses",
        "account": _ACCOUNT,
        "time": _seconds(_START),
        "region": _REGION,
        "resources": [],
        "detail": {"eventType": "Bounce", "mail": mail, "bounce": bounce},
    }


def orders() -> dict[str, SampleOrder]:
    """Return the sample orders by name."""
    mira, tomas, aiko = customers()
    wanted = [
        SampleOrder(
            name="good",
            customer=mira,
            quantities={"COFFEE-ETH-250": 2, "FILTER-02-100": 1, "MUG-BLUE": 4},
            address=Address(name=mira.name, street="Storgatan 12", city="Uppsala", postal_code="753 31", country="SE"),
            expects_total=True,
        ),
        SampleOrder(
            name="declined",
            customer=tomas,
            quantities={"GRINDER-HAND": 1, "COFFEE-COL-1000": 1},
            address=Address(
                name=tomas.name, street="Rua das Flores 8", city="Porto", postal_code="4050-262", country="PT"
            ),
            payment_token="tok_decline",  # noqa: S106
        ),
        SampleOrder(
            name="out_of_stock",
            customer=aiko,
            quantities={"ESPRESSO-LEVER": 3, "SCALE-0.1G": 1},
            address=Address(name=aiko.name, street="Lindenallee 5", city="Bonn", postal_code="53111", country="DE"),
        ),
        SampleOrder(
            name="cancelled",
            customer=tomas,
            quantities={"KETTLE-GOOSENECK": 1, "TEA-SENCHA-100": 2},
            address=Address(
                name=tomas.name, street="Rua das Flores 8", city="Porto", postal_code="4050-262", country="PT"
            ),
        ),
        SampleOrder(
            name="action_required",
            customer=aiko,
            quantities={"DRIPPER-V60-02": 1, "FILTER-02-100": 2},
            address=Address(name=aiko.name, street="Lindenallee 5", city="Bonn", postal_code="53111", country="DE"),
            payment_token="tok_action",  # noqa: S106
            customer_action=True,
        ),
    ]
    return {sample.name: sample for sample in wanted}


def payloads() -> dict[str, dict[str, Any]]:
    """Return a payload for every function and every route of the API, by its path in ``events/``."""
    sample = orders()
    good, cancelled, waiting = sample["good"], sample["cancelled"], sample["action_required"]
    tomas = cancelled.customer
    placed = good.event(DetailType.ORDER_PLACED, 1)
    prepared = good.event(DetailType.SHIPMENT_PREPARED, 2)
    released = good.event(DetailType.SHIPMENT_RELEASED, 3)
    returned = good.event(DetailType.RETURN_REQUESTED, 4)
    refund_requested = good.event(DetailType.REFUND_REQUESTED, 5)
    refunded = good.event(DetailType.ORDER_REFUNDED, 6)
    disputed = good.event(DetailType.PAYMENT_DISPUTED, 7)
    other_placed = cancelled.event(DetailType.ORDER_PLACED, 1)
    other_cancelled = cancelled.event(DetailType.ORDER_CANCELLED, 2)
    return {
        "orders.json": _http("POST /orders", good.customer, body=good.request(), key=good.idempotency_key),
        "orders_list.json": _http("GET /orders", good.customer, query={"limit": "10"}),
        "orders_get.json": _http("GET /orders/{orderId}", good.customer, order_id=good.order_id),
        "orders_cancel.json": _http("POST /orders/{orderId}/cancel", cancelled.customer, order_id=cancelled.order_id),
        "orders_confirm.json": _http("POST /orders/{orderId}/confirm", waiting.customer, order_id=waiting.order_id),
        "orders_sandbox_action.json": _http(
            "POST /sandbox/actions", waiting.customer, body={"clientSecret": f"{waiting.payment}_secret_sample"}
        ),
        "orders_return.json": _http(
            "POST /orders/{orderId}/return", good.customer, order_id=good.order_id, body={"reason": "Too small."}
        ),
        "orders_refund.json": _http(
            "POST /orders/{orderId}/refunds",
            order_id=good.order_id,
            body={"reason": "Returned.", "restock": True},
            key="refund-1",
            claims=_program("refunds:write"),
        ),
        "orders_shipments.json": _http(
            "GET /shipments", query={"state": "open", "limit": "10"}, claims=_program("shipments:write")
        ),
        "orders_packed.json": _http(
            "POST /shipments/{orderId}/packed", order_id=good.order_id, claims=_program("shipments:write")
        ),
        "orders_me.json": _http("GET /me", good.customer),
        "orders_me_put.json": _http("PUT /me", good.customer, body=_profile(good.customer)),
        "orders_me_export.json": _http("GET /me/export", good.customer, query={"limit": "10"}),
        "orders_me_delete.json": _http("DELETE /me", good.customer),
        "orders_sales.json": _http("GET /reports/sales", query=_QUARTER, claims=_program("reports:read")),
        "orders_catalog.json": _http("GET /catalog"),
        "orders_openapi.json": _http("GET /openapi.json", good.customer),
        "orders_health.json": _http("GET /health"),
        "emails.json": _queued(
            "emails", [placed, released, returned, refunded, other_cancelled, profile_updated(good.customer)]
        ),
        "analytics.json": _queued("analytics", [placed, other_placed, other_cancelled, refunded]),
        "fulfillment.json": _queued("fulfillment", [placed, other_placed]),
        "settlement.json": _queued("settlement", [prepared, other_cancelled, refund_requested, payment_happened(good)]),
        "payment_events.json": stripe_event("payment_intent.canceled", "pi_sample"),
        "feedback.json": _queued("feedback", [bounced(tomas)]),
        "partners.json": _queued(
            "partners", [placed, prepared, released, returned, refunded, disputed, other_cancelled, user_erased(tomas)]
        ),
        "sweeper.json": _scheduled("sweeper"),
        **{f"requests/{name}.json": order.request() for name, order in sample.items()},
    }


@click.command()
def samples() -> None:
    """Generate the sample payloads in events/."""
    write(EVENTS)


def write(folder: Path) -> None:
    """Write all payloads into a folder. They are the same each time."""
    for name, payload in payloads().items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(payload, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def setup_requests() -> list[dict[str, Any]]:
    """Return the requests to the orders function after which the orders of the consumers' samples exist."""
    good, cancelled = orders()["good"], orders()["cancelled"]
    return [
        *(_http("PUT /me", order.customer, body=_profile(order.customer)) for order in (good, cancelled)),
        *(
            _http("POST /orders", order.customer, body=order.request(), key=order.idempotency_key)
            for order in (good, cancelled)
        ),
        _http("POST /orders/{orderId}/cancel", cancelled.customer, order_id=cancelled.order_id),
    ]


def return_requests() -> list[dict[str, Any]]:
    """Return the requests to the orders function after which the good order, once it is released, is refunded."""
    made = payloads()
    return [made["orders_return.json"], made["orders_refund.json"]]


def moved_to(now: int, sample: Mapping[str, Any], *, new_event_ids: bool) -> dict[str, Any]:
    """Return a sample whose events happened at ``now`` (epoch milliseconds), so that their lag is not days.

    A consumer has usually handled the events of the sample orders before; with ``new_event_ids`` it handles them again.
    """
    records = []
    for record in sample.get("Records", []):
        event = json.loads(record["body"])
        event["time"] = _seconds(now)
        if metadata := event["detail"].get("metadata"):
            metadata["timestamp"] = to_iso(now)
            metadata["eventId"] += f"-{uuid.uuid4().hex[:8]}" if new_event_ids else ""
        sent = {"SentTimestamp": str(now), "ApproximateFirstReceiveTimestamp": str(now)}
        records.append({**record, "body": _compact(event), "attributes": {**record["attributes"], **sent}})
    return {**sample, "Records": records} if records else dict(sample)


def _program(scope: str) -> dict[str, str]:
    """Return the claims of a program's token."""
    client = scope.replace(":", "-")
    return {"sub": client, "iss": _ISSUER, "client_id": client, "token_use": "access", "scope": scope}


def _profile(customer: Customer) -> dict[str, Any]:
    return {"name": customer.name, "email": customer.email}


def _http(
    route: str,
    customer: Customer | None = None,
    *,
    body: Mapping[str, Any] | None = None,
    key: str | None = None,
    order_id: str | None = None,
    query: Mapping[str, str] | None = None,
    claims: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return a request as an HTTP API passes it to a function (payload format 2.0) after checking the token.

    Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    """
    method, path = route.replace("{orderId}", order_id or "").split()
    query_string = "&".join(f"{name}={value}" for name, value in (query or {}).items())
    headers = {"accept": "application/json", "host": _HOST, "x-forwarded-proto": "https"}
    context: dict[str, Any] = {
        "accountId": _ACCOUNT,
        "apiId": _HOST.partition(".")[0],
        "domainName": _HOST,
        "domainPrefix": _HOST.partition(".")[0],
        "http": {
            "method": method,
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": "192.0.2.1",
            "userAgent": "sample/1.0",
        },
        "requestId": "JKJaXmPLvHcESHA=",
        "routeKey": route,
        "stage": "$default",
        "time": "23/Nov/2026:10:00:00 +0000",
        "timeEpoch": _START,
    }
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": query_string,
        "headers": headers,
        "requestContext": context,
        "isBase64Encoded": False,
    }
    if customer:
        claims = {
            "sub": customer.user_id,
            "iss": _ISSUER,
            "aud": "shop",
            "token_use": "id",
            "email": customer.email or "",
            "email_verified": "true",
        }
    if claims:
        headers["authorization"] = "Bearer sample"
        # The scopes are those of the token, on routes that require any.
        context["authorizer"] = {
            "jwt": {"claims": claims, "scopes": claims["scope"].split() if "scope" in claims else None}
        }
    if order_id:
        event["pathParameters"] = {"orderId": order_id}
    if query:
        event["queryStringParameters"] = dict(query)
    if body:
        event["body"] = _compact(body)
        headers |= {"content-type": "application/json", "content-length": str(len(event["body"].encode()))}
    if key:
        headers["idempotency-key"] = key
    return event


def _delivered(entry: OutboxEntry, delivery_id: str, at: int) -> dict[str, Any]:
    return {
        "version": "0",
        "id": delivery_id,
        "detail-type": entry.detail_type,
        "source": entry.source,
        "account": _ACCOUNT,
        "time": _seconds(at),
        "region": _REGION,
        "resources": [],
        "detail": json.loads(entry.detail),
    }


def _queued(consumer: str, delivered: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a batch of messages as Lambda receives it from a queue that EventBridge sends to.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
    """
    return {"Records": [_record(consumer, event) for event in delivered]}


def _record(consumer: str, event: Mapping[str, Any]) -> dict[str, Any]:
    body = _compact(event)
    sent = str(from_iso(event["time"]) + 60)
    return {
        "messageId": _uuid(consumer, event["id"]),
        "receiptHandle": f"sample-{_uuid(consumer, event['id'], 'receipt')}",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": sent,
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": sent,
        },
        "messageAttributes": {},
        "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{_REGION}:{_ACCOUNT}:handoff-{consumer}",
        "awsRegion": _REGION,
    }


def _scheduled(function: str) -> dict[str, Any]:
    """Return the payload of EventBridge Scheduler for a schedule without an input. Its detail is text."""
    return {
        "version": "0",
        "id": _uuid(function),
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": _ACCOUNT,
        "time": _seconds(_START),
        "region": _REGION,
        "resources": [f"arn:aws:scheduler:{_REGION}:{_ACCOUNT}:schedule/default/handoff-{function}"],
        "detail": "{}",
    }


def _seconds(epoch_ms: int) -> str:
    """Return a time as EventBridge writes it: in whole seconds."""
    return to_iso(epoch_ms).partition(".")[0] + "Z"


def _uuid(*parts: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(parts)))


def _compact(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
