"""Looking up payments at Stripe, and what has happened to them there.

Sources:

- a PaymentIntent and its charge: https://docs.stripe.com/api/payment_intents/object, https://docs.stripe.com/api/charges/object
- disputes and their statuses: https://docs.stripe.com/api/disputes/object
- events, kept for 30 days: https://docs.stripe.com/api/events/list, https://docs.stripe.com/api/events/types
- the rest of a hold becomes a refund: https://github.com/woocommerce/woocommerce-gateway-stripe/issues/1073
"""

from typing import TYPE_CHECKING, Any, Literal

from handoff.clock import Deadline, now_ms
from shop.payments import DisputeFound, Happened, PaymentFound, ProviderEvent, RefundFound, Stage
from shop.payments.stripe_refunds import StripeRefunds, failure_of, key_of
from shop.payments.stripe_requests import StripeRequests

if TYPE_CHECKING:
    from stripe import Dispute, Event, ListObject, PaymentIntent, Refund

_PAGE = 100  # Stripe's maximum: https://docs.stripe.com/api/pagination
_SPAN = 24 * 3_600_000  # ms of events that one call asks for
_SHORTER = 16  # times: how much less of them, if they are too many for one call
_MOST_PAGES = 3
_SETTLES = 10_000  # ms: an event can be listed a moment after its time
_STAGES = {
    "requires_action": Stage.ACTION_REQUIRED,
    "requires_confirmation": Stage.ACTION_REQUIRED,
    "requires_payment_method": Stage.FAILED,
    "processing": Stage.PROCESSING,
    "requires_capture": Stage.HELD,
    "succeeded": Stage.CAPTURED,
    "canceled": Stage.VOIDED,
}
_DECIDED: dict[str, Literal["won", "lost"]] = {
    "won": "won",
    "warning_closed": "won",  # an inquiry that became no dispute
    "prevented": "won",
    "lost": "lost",
}
# Rare ones, which our own requests seldom cause. Captures are missing: they are seen when the order is packed.
_EVENTS = [
    *("payment_intent.canceled", "refund.created", "refund.updated", "refund.failed"),
    *("charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed"),
]


class StripeLookups:
    """Requests that change nothing."""

    def __init__(self, requests: StripeRequests, refunds: StripeRefunds) -> None:
        self._requests = requests
        self._refunds = refunds
        self._intents = requests.v1.payment_intents
        self._disputes = requests.v1.disputes
        self._events = requests.v1.events

    def look_up(self, reference: str) -> PaymentFound | None:
        """Return a payment as it is now; see `shop.payments.Payments`. A captured one takes two or three requests."""
        deadline = self._requests.deadline()
        expand: Any = {"expand": ["latest_charge"]}
        intent = self._requests.find(lambda options: self._intents.retrieve(reference, expand, options), deadline)
        if intent is None:
            return None
        stage = _STAGES.get(intent.status, Stage.PROCESSING)  # a state that this code does not know is no result
        captured = stage is Stage.CAPTURED
        return PaymentFound(
            reference=intent.id,
            order_id=_order_id(intent),
            stage=stage,
            held=intent.amount_capturable or 0,
            captured=intent.amount_received if captured else 0,
            expires_at=expires_at(intent),
            reason=getattr(intent.last_payment_error, "code", None),
            refunds=self._refunds_of(intent, deadline) if captured else (),
            dispute=self._dispute(intent, deadline),
            client_secret=intent.client_secret if stage is Stage.ACTION_REQUIRED else None,
        )

    def happened(self, since: int) -> Happened:
        """Return the events of at most a day, fewer if there are many; see `shop.payments.Payments`."""
        deadline = self._requests.deadline()
        first, end = since // 1000, (now_ms() - _SETTLES) // 1000
        span = _SPAN // 1000
        while first < end:
            until = min(first + span, end)
            found = self._events_of(first, until, deadline)
            if found is not None:
                return Happened(found, until * 1000)
            span = max(1, (until - first) // _SHORTER)
        return Happened((), since)

    def _events_of(self, first: int, until: int, deadline: Deadline) -> tuple[ProviderEvent, ...] | None:
        """Return the events of some seconds, oldest first; None if they are on too many pages.

        Stripe lists the newest first, so those on the first pages alone are useless. All events of one second are read.
        """
        wanted: Any = {"types": _EVENTS, "created": {"gte": first, "lt": until}, "limit": _PAGE}
        found: list[ProviderEvent] = []
        pages = 0
        while pages < _MOST_PAGES or until - first == 1:
            page = self._page(wanted, deadline)
            found += [event for event in map(event_of, page.data) if event]
            if not page.has_more:
                return tuple(reversed(found))
            wanted = {**wanted, "starting_after": page.data[-1].id}
            pages += 1
        return None

    def _page(self, wanted: Any, deadline: Deadline) -> "ListObject[Event]":
        return self._requests.read(lambda options: self._events.list(wanted, options), deadline)

    def _refunds_of(self, intent: "PaymentIntent", deadline: Deadline) -> tuple[RefundFound, ...]:
        """Return the refunds of captured money, without the refund object that stands for the uncaptured rest."""
        rest = intent.amount - intent.amount_received
        refunds = self._refunds.all(intent.id, deadline)
        return tuple(_refund(refund) for refund in refunds if not _is_rest_of_hold(refund, rest))

    def _dispute(self, intent: "PaymentIntent", deadline: Deadline) -> DisputeFound | None:
        """Return the latest dispute of a payment."""
        if not getattr(intent.latest_charge, "disputed", False):
            return None
        wanted: Any = {"payment_intent": intent.id, "limit": 1}
        page = self._requests.read(lambda options: self._disputes.list(wanted, options), deadline)
        return _dispute_found(page.data[0]) if page.data else None


def event_of(event: Any) -> ProviderEvent | None:
    """Return an event of Stripe, or None if it is about no PaymentIntent."""
    subject = event.data.object
    reference = subject.id if subject.object == "payment_intent" else getattr(subject, "payment_intent", None)
    return ProviderEvent(event.id, reference, event.created * 1000) if isinstance(reference, str) else None


def expires_at(intent: "PaymentIntent") -> int | None:
    """Return when a hold expires; for cards, the charge has the time."""
    details: Any = getattr(intent.latest_charge, "payment_method_details", None)
    before = getattr(getattr(details, "card", None), "capture_before", None)
    return before * 1000 if before else None


def _order_id(intent: "PaymentIntent") -> str | None:
    metadata: Any = intent.metadata
    return metadata["order_id"] if metadata and "order_id" in metadata else None


def _is_rest_of_hold(refund: "Refund", rest: int) -> bool:
    """Return whether a refund stands for the ``rest`` of a hold that was captured in part: no money has moved."""
    return refund.amount == rest and not refund.balance_transaction and key_of(refund) is None


def _dispute_found(dispute: "Dispute") -> DisputeFound:
    return DisputeFound(dispute.id, dispute.amount, _DECIDED.get(dispute.status, "open"))


def _refund(refund: "Refund") -> RefundFound:
    match refund.status:
        case "succeeded":
            return RefundFound(refund.id, refund.amount, "refunded", key_of(refund))
        case "failed" | "canceled":
            return RefundFound(refund.id, refund.amount, "failed", key_of(refund), failure_of(refund))
        case _:
            return RefundFound(refund.id, refund.amount, "pending", key_of(refund))
