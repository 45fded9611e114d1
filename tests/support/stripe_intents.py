"""PaymentIntents of the simulated Stripe, with manual capture. Sources:

- https://docs.stripe.com/payments/paymentintents/lifecycle: the states, and which of them can be captured
- https://docs.stripe.com/api/payment_intents/cancel: which can be canceled; the rest of a hold is refunded then
- https://docs.stripe.com/payments/place-a-hold-on-a-payment-method: a hold expires, and its payment is canceled
- https://docs.stripe.com/api/payment_intents/create: ``use_stripe_sdk`` and ``error_on_requires_action``
- https://docs.stripe.com/payments/3d-secure/authentication-flow and
  https://docs.stripe.com/js/payment_intents/handle_next_action: what the customer's browser does
- https://docs.stripe.com/error-codes: ``payment_intent_authentication_failure``; the intent can be confirmed again
  with another PaymentMethod, by the secret key or by the customer's page
- https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts: the accepted amounts
- https://github.com/Automattic/woocommerce-payments/issues/323: a used PaymentMethod is rejected without code and
  parameter
"""

import time
from itertools import count

from tests.support.stripe_errors import Params, Refusal
from tests.support.stripe_events import Events
from tests.support.stripe_refunds import FAILING_REFUND, PENDING_REFUND, Refunds

HOUR = 3600
HOLD_LASTS = 7 * 24 * HOUR

VISA = "pm_card_visa"
SINGLE_USE = "pm_of_no_customer"  # as Stripe.js creates them: for one payment
DECLINED = "pm_card_visa_chargeDeclined"
NEEDS_CUSTOMER = "pm_card_authenticationRequired"
DECLINED_LATER = "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds"  # after the customer's action
_APPROVED = {VISA, SINGLE_USE, PENDING_REFUND, FAILING_REFUND}
_NEED_ACTION = {NEEDS_CUSTOMER, DECLINED_LATER}
_DECLINES = {DECLINED: ("card_declined", "generic_decline"), DECLINED_LATER: ("card_declined", "insufficient_funds")}
_CANCELABLE = {"requires_payment_method", "requires_capture", "requires_confirmation", "requires_action"}


class Intents:
    """The intents that were ``made``, by id."""

    def __init__(self, made: dict[str, Params], refunds: Refunds, events: Events) -> None:
        self.made = made
        self._refunds = refunds
        self._events = events
        self._used: set[str] = set()
        self._ids = count(1)

    def clear(self) -> None:
        """Forget all of them."""
        self.made.clear()
        self._used.clear()

    def create(self, params: Params) -> Params:
        """Create an intent and confirm it."""
        assert params["confirm"] == "true"
        assert params["capture_method"] == "manual"
        assert params["currency"].islower()
        can_act, final = (params.get(name) == "true" for name in ("use_stripe_sdk", "error_on_requires_action"))
        assert can_act != final
        token = params["payment_method"]
        self._check(token, int(params["amount"]))
        number = next(self._ids)
        intent = self.made[f"pi_{number}"] = {
            "id": f"pi_{number}",
            "object": "payment_intent",
            "amount": int(params["amount"]),
            "amount_capturable": 0,
            "amount_received": 0,
            "canceled_at": None,
            "cancellation_reason": None,
            "client_secret": f"pi_{number}_secret_Ada{number}Lovelace",
            "currency": params["currency"],
            "created": int(time.time()),
            "payment_method": token,
            "metadata": params.get("metadata", {}),
            "status": "requires_confirmation",
            "last_payment_error": None,
            "latest_charge": None,
            "next_action": None,
        }
        self._events.record("payment_intent.created", intent)
        self._confirm(intent, token, can_act=can_act)
        return intent

    def act(self, intent: Params, *, succeeds: bool) -> None:
        """Do what the customer does on the bank's page."""
        if intent["status"] != "requires_action":
            raise Refusal(400, "invalid_request_error", "payment_intent_unexpected_state")
        if not succeeds:
            self._fail(intent, "payment_intent_authentication_failure", None)
        elif intent["payment_method"] in _DECLINES:
            self._fail(intent, *_DECLINES[intent["payment_method"]])
        else:
            self._hold(intent)

    def pay_with(self, intent: Params, token: str) -> None:
        """Confirm again with another card, as the customer's page can."""
        if intent["status"] != "requires_payment_method":
            raise Refusal(400, "invalid_request_error", "payment_intent_unexpected_state")
        intent |= {"payment_method": token, "last_payment_error": None}
        self._confirm(intent, token, can_act=True)

    def capture(self, intent: Params, params: Params) -> None:
        """Capture a hold, or a part of it."""
        if intent["status"] != "requires_capture":
            raise Refusal(400, "invalid_request_error", "payment_intent_unexpected_state", kept=True)
        amount = int(params.get("amount_to_capture", intent["amount_capturable"]))
        if not 0 < amount <= intent["amount_capturable"]:
            raise Refusal(400, "invalid_request_error", "amount_too_large", kept=True, param="amount_to_capture")
        intent |= {"status": "succeeded", "amount_received": amount, "amount_capturable": 0}
        intent["latest_charge"] |= {"captured": True, "amount_captured": amount}
        self._refunds.release(intent, intent["amount"] - amount)
        self._events.record("payment_intent.succeeded", intent)

    def cancel(self, intent: Params, reason: str | None) -> None:
        """Cancel an intent that is not paid."""
        if intent["status"] not in _CANCELABLE:
            raise Refusal(400, "invalid_request_error", "payment_intent_unexpected_state", kept=True)
        held = intent["amount_capturable"]
        intent |= {
            "status": "canceled",
            "amount_capturable": 0,
            "canceled_at": int(time.time()),
            "cancellation_reason": reason,
            "next_action": None,
        }
        self._refunds.release(intent, held)
        self._events.record("payment_intent.canceled", intent)

    def lapse(self) -> None:
        """Cancel the holds that have expired."""
        for intent in self.made.values():
            charge = intent["latest_charge"]
            if intent["status"] == "requires_capture" and time.time() >= capture_before(charge):
                self._events.record("charge.expired", charge)
                self.cancel(intent, "automatic")

    def _check(self, token: str, amount: int) -> None:
        if amount < 1:
            raise Refusal(400, "invalid_request_error", "parameter_invalid_integer", param="amount")
        if amount < 50:
            raise Refusal(400, "invalid_request_error", "amount_too_small", param="amount")
        if amount > 99_999_999:
            raise Refusal(400, "invalid_request_error", "amount_too_large", param="amount")
        if token not in _APPROVED | _NEED_ACTION | _DECLINES.keys():
            raise Refusal(400, "invalid_request_error", "resource_missing", param="payment_method")
        if token in self._used:
            words = "The provided PaymentMethod was previously used with a PaymentIntent. It may not be used again."
            raise Refusal(400, "invalid_request_error", kept=True, message=words)
        if token == SINGLE_USE:
            self._used.add(token)

    def _confirm(self, intent: Params, token: str, *, can_act: bool) -> None:
        if token in _NEED_ACTION and can_act:
            intent |= {"status": "requires_action", "next_action": {"type": "use_stripe_sdk", "use_stripe_sdk": {}}}
            self._events.record("payment_intent.requires_action", intent)
        elif token in _NEED_ACTION:
            self._refuse(intent, "authentication_required", None)
        elif token in _DECLINES:
            self._refuse(intent, *_DECLINES[token])
        else:
            self._hold(intent)

    def _hold(self, intent: Params) -> None:
        number, created = intent["id"].removeprefix("pi_"), int(time.time())
        intent |= {
            "status": "requires_capture",
            "amount_capturable": intent["amount"],
            "next_action": None,
            "latest_charge": {
                "id": f"ch_{number}",
                "object": "charge",
                "amount": intent["amount"],
                "amount_captured": 0,
                "captured": False,
                "created": created,
                "disputed": False,
                "payment_intent": intent["id"],
                "payment_method_details": {"type": "card", "card": {"capture_before": created + HOLD_LASTS}},
            },
        }
        self._events.record("payment_intent.amount_capturable_updated", intent)

    def _refuse(self, intent: Params, code: str, decline_code: str | None) -> None:
        self._fail(intent, code, decline_code)
        raise Refusal(402, "card_error", code, kept=True, decline_code=decline_code, payment_intent=shown(intent, {}))

    def _fail(self, intent: Params, code: str, decline_code: str | None) -> None:
        message = "The card of Ada Lovelace was not accepted."
        error = {"code": code, "decline_code": decline_code, "message": message, "type": "card_error"}
        intent |= {"status": "requires_payment_method", "last_payment_error": error, "next_action": None}
        self._events.record("payment_intent.payment_failed", intent)


def capture_before(charge: Params) -> int:
    """Return when the hold of a charge expires, in seconds."""
    before: int = charge["payment_method_details"]["card"]["capture_before"]
    return before


def shown(intent: Params, params: Params) -> Params:
    """Return the intent, with its charge only as an id unless expanded."""
    charge = intent["latest_charge"]
    if charge and "latest_charge" not in params.get("expand", {}).values():
        return {**intent, "latest_charge": charge["id"]}
    return dict(intent)
