"""Stripe: one PaymentIntent per order, confirmed when it is created, captured when the order is packed.

If the customer has to act (3-D Secure), Stripe's library in the customer's page does the rest of the confirmation:
https://docs.stripe.com/payments/3d-secure/authentication-flow

A table in docs/decisions.md lists what each of Stripe's answers means. Sources:

- idempotency keys and the answers that they replay: https://docs.stripe.com/api/idempotent_requests
- errors and their certainty: https://docs.stripe.com/error-low-level
- the states of a PaymentIntent: https://docs.stripe.com/payments/paymentintents/lifecycle
- holds and their duration: https://docs.stripe.com/payments/place-a-hold-on-a-payment-method
- search and its delay: https://docs.stripe.com/search#data-freshness

Stripe's error messages are never logged or stored: they can contain a card, a token or a part of an API key.
"""

from typing import TYPE_CHECKING, Any

import stripe

from handoff.clock import Deadline, now_ms
from shop import settings
from shop.payments import (
    LONGEST_CALL,
    ActionRequired,
    Authorized,
    Captured,
    Declined,
    Failed,
    Happened,
    NothingHeld,
    PaymentFound,
    ProviderError,
    Refunded,
    RefundPending,
    Unavailable,
    Unknown,
    Voided,
    stripe_key,
)
from shop.payments.stripe_key import StripeKey
from shop.payments.stripe_lookups import StripeLookups, expires_at
from shop.payments.stripe_refunds import StripeRefunds
from shop.payments.stripe_requests import StripeRequests, is_replayed, no_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from stripe import PaymentIntent, RequestOptions

_HOUR = 3_600_000  # ms
KEY_TRUSTED_FOR = 23 * _HOUR  # Stripe keeps an idempotency key for at least 24 hours
NOTHING_AFTER = 25 * _HOUR  # search may be an hour late: an intent that it does not find by then does not exist

# Codes of a refused authorization that are about the total: https://docs.stripe.com/error-codes
_AMOUNTS = {"amount_too_small", "amount_too_large"}
# Codes that sound like the customer's PaymentMethod, but mean that our request or account is wrong.
_OUR_MISTAKES = {
    "parameter_unknown",
    "payment_method_configuration_failures",
    "payment_method_types_no_longer_supported",
    "payment_method_unactivated",
}
# Codes of a refused capture whose hold has expired: https://docs.stripe.com/error-codes
_LAPSED = {"capture_charge_authorization_expired", "charge_expired_for_capture", "capture_unauthorized_payment"}
_NOTHING_HELD = {"requires_payment_method", "requires_confirmation", "requires_action"}


class Stripe:
    """The adapter. All requests of one call, to Stripe and to Secrets Manager, share ``seconds``."""

    def __init__(self, key: StripeKey, base: str, seconds: float = LONGEST_CALL) -> None:
        self._requests = StripeRequests(key, base, seconds)
        self._intents = self._requests.v1.payment_intents
        self._refunds = StripeRefunds(self._requests)
        self._lookups = StripeLookups(self._requests, self._refunds)

    def authorize(
        self, key: str, *, order_id: str, amount: int, currency: str, token: str, can_act: bool, since: int
    ) -> Authorized | ActionRequired | Declined:
        """Hold an amount; see `shop.payments.Payments`. The token is the id of a PaymentMethod."""
        wanted: Any = {
            "amount": amount,
            "currency": currency.lower(),
            "payment_method": token,
            "allowed_payment_method_types": ["card"],  # other types can redirect the customer
            "capture_method": "manual",
            "confirm": True,
            # Stripe.js deals with the customer, or else the answer is final.
            **({"use_stripe_sdk": True} if can_act else {"error_on_requires_action": True}),
            "metadata": {"order_id": order_id},
            "expand": ["latest_charge"],
        }
        deadline = self._requests.deadline()
        refusal: ProviderError | None = None
        age = now_ms() - since
        if age >= KEY_TRUSTED_FOR:
            return self._find(order_id, deadline, gone=age >= NOTHING_AFTER)
        try:
            intent = self._requests.write(lambda options: self._intents.create(wanted, options), key, deadline)
        except stripe.CardError as error:
            return Declined(error.code or "card_declined")
        except stripe.InvalidRequestError as error:
            reason = _customers_mistake(error, amount)
            if reason:
                return Declined(reason)
            refusal = no_answer(error)
            if error.http_status != 400:
                raise refusal from None
        except stripe.StripeError as error:
            if not isinstance(error, stripe.IdempotencyError) and not is_replayed(error):
                raise no_answer(error) from None
        else:
            return self._held(intent, deadline)
        if refusal:
            return self._held_before(order_id, deadline, refusal)
        # The key replays this answer until Stripe forgets it.
        return self._find(order_id, deadline, gone=False)

    def capture(self, key: str, *, order_id: str, reference: str) -> Captured | Failed:  # noqa: ARG002
        """Capture a held amount; see `shop.payments.Payments`."""
        ended = self._end(key, reference, lambda options: self._intents.capture(reference, options=options))
        if isinstance(ended, Failed):
            return ended
        return Captured(ended.amount_received) if ended.status == "succeeded" else Failed(_state(ended))

    def void(self, key: str, *, order_id: str, reference: str) -> Voided | Captured | Failed:  # noqa: ARG002
        """Release a held amount; see `shop.payments.Payments`."""
        ended = self._end(
            key, reference, lambda options: self._intents.cancel(reference, options=options), _NOTHING_HELD
        )
        if isinstance(ended, Failed):
            return ended
        if ended.status == "succeeded":
            return Captured(ended.amount_received)
        return Voided() if ended.status == "canceled" else Failed(_state(ended))

    def refund(
        self,
        key: str,
        *,
        order_id: str,
        reference: str,
        amount: int,
        currency: str,  # noqa: ARG002  # Stripe refunds in the currency of the charge
    ) -> Refunded | RefundPending | Failed:
        """Refund a part of the captured amount; see `shop.payments.Payments`."""
        return self._refunds.refund(key, order_id, reference, amount)

    # --- the state of an intent ---------------------------------------------------------------------------------------

    def look_up(self, reference: str) -> PaymentFound | None:
        """Return a payment as Stripe has it now; see `shop.payments.Payments`."""
        return self._lookups.look_up(reference)

    def happened(self, since: int) -> Happened:
        """Return the events of at most a day; see `shop.payments.Payments`."""
        return self._lookups.happened(since)

    def _find(self, order_id: str, deadline: Deadline, *, gone: bool) -> Authorized | ActionRequired | Declined:
        """Return the outcome of an authorization without its key. Not found is a decline only if ``gone``."""
        found = self._search(order_id, deadline)
        if found:
            return found
        if gone:
            return Declined("nothing was held")
        raise Unknown("Stripe does not find the order yet")

    def _held_before(
        self, order_id: str, deadline: Deadline, refusal: ProviderError
    ) -> Authorized | ActionRequired | Declined:
        """Return the outcome of earlier requests for an authorization after an invalid one.

        The same request would have been rejected earlier too. But Stripe rejects most of these before it reads the key,
        so an earlier valid one may exist: another version of this code sent it, or the account has changed since.
        """
        found = self._search(order_id, deadline)
        if found:
            return found
        raise NothingHeld(str(refusal))

    def _search(self, order_id: str, deadline: Deadline) -> Authorized | ActionRequired | Declined | None:
        """Find the outcome of an order's authorization by the order's id; None if search does not find it (yet)."""
        try:
            query = f"metadata['order_id']:'{order_id}'"
            found = self._requests.read(lambda options: self._intents.search({"query": query}, options), deadline).data
            # At most one holds money. The state in search results may be outdated.
            found.sort(key=lambda intent: intent.status in _NOTHING_HELD)
            return self._held(self._retrieve(found[0].id, deadline), deadline) if found else None
        except Unavailable as error:
            raise Unknown(str(error)) from None

    def _held(self, intent: "PaymentIntent", deadline: Deadline) -> Authorized | ActionRequired | Declined:
        if intent.status == "processing":  # the key keeps replaying this state
            try:
                intent = self._retrieve(intent.id, deadline)
            except Unavailable as error:
                raise Unknown(str(error)) from None
        if intent.status == "processing":
            raise Unknown("Stripe is still processing it")
        if intent.status in ("requires_capture", "succeeded"):
            return Authorized(intent.id, intent.amount_capturable or intent.amount_received, expires_at(intent))
        if intent.status == "requires_action":
            return ActionRequired(intent.id, intent.client_secret or "")
        return Declined(_last_error(intent) or _state(intent))

    def _end(
        self,
        key: str,
        reference: str,
        move: "Callable[[RequestOptions], PaymentIntent]",
        also: "Collection[str]" = (),
    ) -> "PaymentIntent | Failed":
        """Capture or cancel a hold. Return the intent in its final state, or why Stripe refuses.

        Intents of the states ``also`` are moved too.

        The state of the intent decides, not the key, which Stripe may have forgotten. So another key can do no harm: an
        intent is captured or cancelled only once.
        """
        deadline = self._requests.deadline()
        intent, refusal, movable = self._retrieve(reference, deadline), None, {"requires_capture", *also}
        if intent.status in movable:
            try:
                intent = self._move(move, key, deadline)
            except (stripe.CardError, stripe.InvalidRequestError) as error:
                refusal = error
            except stripe.StripeError as error:
                raise no_answer(error) from None
        if refusal:  # another process may have been faster
            intent = self._retrieve(reference, deadline)
            if intent.status in movable:
                if isinstance(refusal, stripe.CardError) or refusal.code in _LAPSED:
                    return Failed(refusal.code or "card_error")
                raise no_answer(refusal)
        if intent.status in movable | {"processing"}:
            raise Unknown(_state(intent))
        return intent

    def _move(self, move: "Callable[[RequestOptions], PaymentIntent]", key: str, deadline: Deadline) -> "PaymentIntent":
        try:
            return self._requests.write(move, key, deadline)
        except stripe.StripeError as error:
            if not is_replayed(error):
                raise
        # An earlier try ended in a 5xx, which the key replays for a day; the intent shows that it had no effect.
        return self._requests.write(move, f"{key}:{now_ms() // _HOUR}", deadline)

    def _retrieve(self, reference: str, deadline: Deadline) -> "PaymentIntent":
        expand: Any = {"expand": ["latest_charge"]}
        return self._requests.read(lambda options: self._intents.retrieve(reference, expand, options), deadline)


def connect() -> Stripe:
    """Return the adapter with the key in the secret that template.yaml names.

    Raises
    ------
    settings.MissingSetting
        If it names no secret.
    """
    secret = settings.text("STRIPE_SECRET_ID")
    if not secret:
        raise settings.MissingSetting("STRIPE_SECRET_ID is empty; set the template's parameter StripeSecret")
    return Stripe(stripe_key.connect(secret), settings.text("STRIPE_API_BASE"))


def _customers_mistake(error: stripe.InvalidRequestError, amount: int) -> str | None:
    """Return why the customer's payment method or total can never be charged; None if our request is wrong."""
    code = error.code or ""
    if code in _OUR_MISTAKES:
        return None
    if code in _AMOUNTS:
        return code
    if error.param == "amount":
        return "amount_too_small" if amount < 1 else "amount_invalid"
    if error.param == "payment_method" or code == "payment_intent_incompatible_payment_method":
        return code or "invalid_payment_method"
    if code.startswith("payment_method_"):
        return code
    # A PaymentMethod that was used before has no code, only a message. It is read here and stored nowhere.
    in_words_only = not code and not error.param
    return "invalid_payment_method" if in_words_only and "PaymentMethod" in (error.user_message or "") else None


def _state(intent: "PaymentIntent") -> str:
    return f"the payment is {intent.status}"


def _last_error(intent: "PaymentIntent") -> str | None:
    return getattr(intent.last_payment_error, "code", None)
