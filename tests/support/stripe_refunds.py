"""Refunds of the simulated Stripe. Sources:

- https://docs.stripe.com/api/refunds/object and https://docs.stripe.com/refunds: a refund, its statuses, and that the
  sum of refunds never exceeds the captured amount; a failed or canceled refund does not count
- https://docs.stripe.com/api/refunds/list and https://docs.stripe.com/api/pagination: newest first, in pages
- https://docs.stripe.com/testing#refunds: PaymentMethods whose refunds are pending, or fail after they succeeded
- https://docs.stripe.com/error-codes: ``charge_already_refunded``, ``charge_disputed``
- https://github.com/reactioncommerce/reaction/issues/3704: an amount above the rest is refused in words only
- https://github.com/woocommerce/woocommerce-gateway-stripe/issues/1073 and
  https://github.com/solidusio/solidus_stripe/pull/268: what a capture leaves of a hold becomes a refund too, although
  no money moves (so it has no balance transaction)
"""

import time
from itertools import count

from tests.support.stripe_disputes import Disputes
from tests.support.stripe_errors import Params, Refusal
from tests.support.stripe_events import Events, page

PENDING_REFUND = "pm_card_pendingRefund"
FAILING_REFUND = "pm_card_refundFail"
DONE_AFTER = 60  # seconds, of a refund that is pending or fails later
_FIRST = {PENDING_REFUND: "pending"}
_LATER = {
    PENDING_REFUND: {"status": "succeeded"},
    FAILING_REFUND: {"status": "failed", "failure_reason": "expired_or_canceled_card"},
}


class Refunds:
    """The refunds that were ``made``, by id. An intent has its PaymentMethod."""

    def __init__(self, made: dict[str, Params], disputes: Disputes, events: Events) -> None:
        self.made = made
        self._disputes = disputes
        self._events = events
        self._ids = count(1)

    def create(self, intent: Params, params: Params) -> Params:
        """Refund an amount of an intent, or all that is left."""
        if intent["status"] != "succeeded":
            raise Refusal(400, "invalid_request_error", kept=True, param="payment_intent")
        if self._disputes.refuse_refunds(intent):
            raise Refusal(400, "invalid_request_error", "charge_disputed", kept=True)
        left = intent["amount_received"] - sum(refund["amount"] for refund in self.of(intent) if _counts(refund))
        amount = int(params.get("amount", left))
        if not left:
            raise Refusal(400, "invalid_request_error", "charge_already_refunded", kept=True)
        if amount < 1:
            raise Refusal(400, "invalid_request_error", "parameter_invalid_integer", param="amount")
        if amount > left:
            raise Refusal(400, "invalid_request_error", kept=True, param="amount")
        status = _FIRST.get(intent["payment_method"], "succeeded")
        return dict(self._add(intent, amount, status, params.get("metadata", {})))

    def release(self, intent: Params, amount: int) -> None:
        """Return the rest of a hold that was captured in part or canceled."""
        if amount:
            self._add(intent, amount, "succeeded", {}, balance_transaction=None)

    def fail_latest(self, intent: Params) -> None:
        """Let the customer's bank return the latest refund that counts."""
        refund = next((refund for refund in reversed(self.of(intent)) if _counts(refund)), None)
        if refund is None:
            raise Refusal(400, "invalid_request_error")
        refund.update(status="failed", failure_reason="expired_or_canceled_card")
        self._events.record("refund.failed", refund)

    def page(self, intent: Params, params: Params) -> Params:
        """Return one page of an intent's refunds, newest first."""
        return page("/v1/refunds", self.of(intent)[::-1], params)

    def of(self, intent: Params) -> list[Params]:
        """Return an intent's refunds as they are now, oldest first."""
        found = [refund for refund in self.made.values() if refund["payment_intent"] == intent["id"]]
        for refund in found:
            self._age(refund, _LATER.get(intent["payment_method"], {}))
        return found

    def _add(self, intent: Params, amount: int, status: str, metadata: Params, **values: object) -> Params:
        number = next(self._ids)
        refund = self.made[f"re_{number}"] = {
            "id": f"re_{number}",
            "object": "refund",
            "amount": amount,
            "balance_transaction": f"txn_{number}",
            "charge": intent["latest_charge"]["id"],
            "created": int(time.time()),
            "currency": intent["currency"],
            "metadata": metadata,
            "payment_intent": intent["id"],
            "status": status,
            **values,
        }
        self._events.record("refund.created", refund)
        return refund

    def _age(self, refund: Params, later: Params) -> None:
        if not later or not moves_money(refund) or time.time() - refund["created"] < DONE_AFTER:
            return
        if refund["status"] != later["status"]:
            refund.update(later)
            self._events.record("refund.failed" if later["status"] == "failed" else "refund.updated", refund)


def moves_money(refund: Params) -> bool:
    """Return whether a refund is one of captured money, not the rest of a hold."""
    return refund["balance_transaction"] is not None


def _counts(refund: Params) -> bool:
    return moves_money(refund) and refund["status"] not in ("failed", "canceled")
