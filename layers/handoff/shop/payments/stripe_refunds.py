"""Stripe's refunds: one Refund per key, found again by the key in its metadata.

Sources:

- a refund and its statuses: https://docs.stripe.com/api/refunds/object, https://docs.stripe.com/refunds
- lists show a new object at once, unlike searches: https://docs.stripe.com/search#data-freshness
- the result of a 500 is indeterminate; Stripe advises against another key: https://docs.stripe.com/error-low-level
- the codes of a refused refund: https://docs.stripe.com/error-codes, https://github.com/Sylius/StripePlugin/pull/120
- a refund above the rest has no code, but the parameter ``amount``: https://github.com/HealthByRo/aa-stripe/pull/77
"""

from typing import TYPE_CHECKING, Any

import stripe

from handoff.clock import Deadline
from shop.payments import Failed, Refunded, RefundPending
from shop.payments.stripe_requests import StripeRequests, no_answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stripe import ListObject, Refund

KEY = "refund_key"  # in the metadata
_PAGE = 100  # refunds; Stripe's maximum: https://docs.stripe.com/api/pagination
_REFUSED = {"amount_too_large", "charge_already_refunded", "charge_disputed"}
_UNPAID = {"requires_payment_method", "requires_confirmation", "requires_action", "requires_capture", "canceled"}


class StripeRefunds:
    """Refunds of PaymentIntents.

    A refund that exists is found by reading, whatever became of the answer to its request and however old its key is.
    The idempotency key only has to prevent a second refund by requests that are sent within minutes of each other.
    """

    def __init__(self, requests: StripeRequests) -> None:
        self._requests = requests
        self._refunds = requests.v1.refunds
        self._intents = requests.v1.payment_intents

    def refund(self, key: str, order_id: str, reference: str, amount: int) -> Refunded | RefundPending | Failed:
        """Refund an amount of a PaymentIntent; see `shop.payments.Payments`."""
        deadline = self._requests.deadline()
        found = self._find(key, reference, deadline)
        if found:
            return _answer(found)
        refusal: stripe.CardError | stripe.InvalidRequestError
        metadata = {"order_id": order_id, KEY: key}
        try:
            made = self._requests.write(
                lambda options: self._refunds.create(
                    {"payment_intent": reference, "amount": amount, "metadata": metadata}, options
                ),
                key,
                deadline,
            )
        except (stripe.CardError, stripe.InvalidRequestError) as error:
            refusal = error
        except stripe.StripeError as error:
            # The key replays a 5xx for a day. Another key could refund twice: Stripe may still complete the first
            # request. After that day, the same key makes a new request, unless a refund is found.
            raise no_answer(error) from None
        else:
            return _answer(made)
        return self._refused(refusal, key, reference, deadline)

    def _refused(
        self, refusal: stripe.CardError | stripe.InvalidRequestError, key: str, reference: str, deadline: Deadline
    ) -> Refunded | RefundPending | Failed:
        """Return the outcome of a refused request. Another request with this key may have been faster."""
        found = self._find(key, reference, deadline)
        if found:
            return _answer(found)
        if isinstance(refusal, stripe.CardError) or refusal.code in _REFUSED:
            return Failed(refusal.code or "card_error")
        if refusal.param == "amount" and not refusal.code:
            return Failed("amount_too_large")
        intent = self._requests.read(lambda options: self._intents.retrieve(reference, options=options), deadline)
        if intent.status in _UNPAID:
            return Failed(f"the payment is {intent.status}")
        raise no_answer(refusal)

    def all(self, reference: str, deadline: Deadline) -> "Iterator[Refund]":
        """Yield all refunds of a PaymentIntent, newest first."""
        last: str | None = None
        while True:
            page = self._page(reference, last, deadline)
            yield from page.data
            if not page.has_more:
                return
            last = page.data[-1].id

    def _find(self, key: str, reference: str, deadline: Deadline) -> "Refund | None":
        """Return the refund with this key among all refunds of the PaymentIntent."""
        return next((refund for refund in self.all(reference, deadline) if key_of(refund) == key), None)

    def _page(self, reference: str, last: str | None, deadline: Deadline) -> "ListObject[Refund]":
        """Return the refunds after the last known one, newest first."""
        wanted: Any = {"payment_intent": reference, "limit": _PAGE, **({"starting_after": last} if last else {})}
        return self._requests.read(lambda options: self._refunds.list(wanted, options), deadline)


def key_of(refund: "Refund") -> str | None:
    """Return our key of a refund, or None if it was made elsewhere."""
    return refund.metadata[KEY] if refund.metadata and KEY in refund.metadata else None


def failure_of(refund: "Refund") -> str:
    """Return why a refund has failed."""
    return getattr(refund, "failure_reason", None) or f"the refund is {refund.status}"


def _answer(refund: "Refund") -> Refunded | RefundPending | Failed:
    match refund.status:
        case "succeeded":
            return Refunded(refund.id)
        case "failed" | "canceled":
            return Failed(failure_of(refund))
        case _:  # pending, or the customer has to act
            return RefundPending(refund.id)
