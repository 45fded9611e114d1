"""Disputes of the simulated Stripe. Sources:

- https://docs.stripe.com/api/disputes/object: a dispute and its statuses
- https://docs.stripe.com/api/disputes/list: newest first, of one PaymentIntent
- https://docs.stripe.com/disputes/how-disputes-work: the bank takes the amount, and returns it if the merchant wins
- https://docs.stripe.com/api/charges/object#charge_object-disputed: a charge stays ``disputed``
"""

import time
from itertools import count
from typing import Literal

from tests.support.stripe_errors import Params, Refusal
from tests.support.stripe_events import Events, page


class Disputes:
    """The disputes so far, by id."""

    def __init__(self, events: Events) -> None:
        self.made: dict[str, Params] = {}
        self._events = events
        self._ids = count(1)

    def open(self, intent: Params) -> Params:
        """Open a dispute of a captured payment, as the customer's bank does."""
        if intent["status"] != "succeeded" or self.refuse_refunds(intent):
            raise Refusal(400, "invalid_request_error")
        number = next(self._ids)
        dispute = self.made[f"dp_{number}"] = {
            "id": f"dp_{number}",
            "object": "dispute",
            "amount": intent["amount_received"],
            "charge": intent["latest_charge"]["id"],
            "created": int(time.time()),
            "currency": intent["currency"],
            "is_charge_refundable": False,
            "payment_intent": intent["id"],
            "reason": "fraudulent",
            "status": "needs_response",
        }
        intent["latest_charge"]["disputed"] = True
        self._events.record("charge.dispute.created", dispute)
        return dispute

    def decide(self, intent: Params, state: Literal["won", "lost"]) -> None:
        """Close the open dispute."""
        dispute = next((dispute for dispute in self.of(intent) if dispute["status"] not in ("won", "lost")), None)
        if dispute is None:
            raise Refusal(400, "invalid_request_error")
        dispute["status"] = state
        self._events.record("charge.dispute.closed", dispute)

    def of(self, intent: Params) -> list[Params]:
        """Return the disputes of an intent, oldest first."""
        return [dispute for dispute in self.made.values() if dispute["payment_intent"] == intent["id"]]

    def refuse_refunds(self, intent: Params) -> bool:
        """Return whether an intent's money is at the bank, or was taken by it."""
        return any(dispute["status"] != "won" for dispute in self.of(intent))

    def page(self, intent: Params, params: Params) -> Params:
        """Return one page of an intent's disputes, newest first."""
        return page("/v1/disputes", self.of(intent)[::-1], params)
