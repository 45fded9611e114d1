"""Stripe: one PaymentIntent per order, confirmed when it is created, captured when the order is packed.

A table in docs/decisions.md lists what each of Stripe's answers means. Sources:

- idempotency keys and the answers that they replay: https://docs.stripe.com/api/idempotent_requests
- errors and their certainty: https://docs.stripe.com/error-low-level
- the states of a PaymentIntent: https://docs.stripe.com/payments/paymentintents/lifecycle
- holds and their duration: https://docs.stripe.com/payments/place-a-hold-on-a-payment-method
- search and its delay: https://docs.stripe.com/search#data-freshness

Stripe's error messages are never logged or stored: they can contain a card, a token or a part of an API key.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import requests
import stripe

from handoff import aws, connections
from handoff.clock import Deadline, Stopwatch, now_ms
from handoff.telemetry import logger
from shop import settings
from shop.payments import (
    LONGEST_CALL,
    Authorized,
    Captured,
    Declined,
    Failed,
    NothingHeld,
    ProviderError,
    Unavailable,
    Unknown,
    Voided,
    stripe_key,
)
from shop.payments.stripe_key import StripeKey

if TYPE_CHECKING:
    from stripe import PaymentIntent, RequestOptions

_HOUR = 3_600_000  # ms
KEY_TRUSTED_FOR = 23 * _HOUR  # Stripe keeps an idempotency key for at least 24 hours
NOTHING_AFTER = 25 * _HOUR  # search may be an hour late: an intent that it does not find by then does not exist
_CONNECT_SECONDS = 1.0

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

stripe.enable_telemetry = False  # it stores an id in the home directory and sends it

_T = TypeVar("_T")


class _LastUse(threading.local):
    """When the current thread last used its connection: Stripe's library keeps one for each thread."""

    def __init__(self) -> None:
        self.ago = Stopwatch()


class Stripe:
    """The adapter. All requests of one call, to Stripe and to Secrets Manager, share ``seconds``."""

    def __init__(self, key: StripeKey, base: str, seconds: float = LONGEST_CALL) -> None:
        self._key = key
        self._seconds = seconds
        # These timeouts limit each wait on a socket, not the whole request: an answer can arrive byte by byte, and a
        # name can have many addresses. `_within` limits the request; these only end abandoned ones.
        self._http = stripe.RequestsClient(timeout=(_CONNECT_SECONDS, seconds))
        client = stripe.StripeClient(
            "given with each request", base_addresses={"api": base}, http_client=self._http, max_network_retries=0
        )
        self._intents = client.v1.payment_intents
        self._last_use = _LastUse()
        self._workers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="stripe")

    def authorize(
        self, key: str, *, order_id: str, amount: int, currency: str, token: str, since: int
    ) -> Authorized | Declined:
        """Hold an amount; see `shop.payments.Payments`. The token is the id of a PaymentMethod."""
        deadline = Deadline(self._seconds)
        refusal: ProviderError | None = None
        age = now_ms() - since
        if age >= KEY_TRUSTED_FOR:
            return self._find(order_id, deadline, gone=age >= NOTHING_AFTER)
        try:
            intent = self._write(
                lambda options: self._intents.create(
                    {
                        "amount": amount,
                        "currency": currency.lower(),
                        "payment_method": token,
                        "allowed_payment_method_types": ["card"],  # other types can redirect the customer
                        "capture_method": "manual",
                        "confirm": True,
                        "error_on_requires_action": True,  # the customer cannot act, so the answer is final
                        "metadata": {"order_id": order_id},
                        "expand": ["latest_charge"],
                    },
                    options,
                ),
                key,
                deadline,
            )
        except stripe.CardError as error:
            return Declined(error.code or "card_declined")
        except stripe.InvalidRequestError as error:
            reason = _customers_mistake(error, amount)
            if reason:
                return Declined(reason)
            refusal = _no_answer(error)
            if error.http_status != 400:
                raise refusal from None
        except stripe.StripeError as error:
            if not isinstance(error, stripe.IdempotencyError) and not _is_replayed(error):
                raise _no_answer(error) from None
        else:
            return self._held(intent, deadline)
        if refusal:
            return self._held_before(order_id, deadline, refusal)
        # The key replays this answer until Stripe forgets it.
        return self._find(order_id, deadline, gone=False)

    def capture(self, key: str, *, order_id: str, reference: str) -> Captured | Failed:  # noqa: ARG002
        """Capture a held amount; see `shop.payments.Payments`."""
        reason = self._end(
            key, reference, "succeeded", lambda options: self._intents.capture(reference, options=options)
        )
        return Failed(reason) if reason else Captured()

    def void(self, key: str, *, order_id: str, reference: str) -> Voided | Failed:  # noqa: ARG002
        """Release a held amount; see `shop.payments.Payments`."""
        reason = self._end(key, reference, "canceled", lambda options: self._intents.cancel(reference, options=options))
        return Failed(reason) if reason else Voided()

    # --- the state of an intent ---------------------------------------------------------------------------------------

    def _find(self, order_id: str, deadline: Deadline, *, gone: bool) -> Authorized | Declined:
        """Return the outcome of an authorization without its key. Not found is a decline only if ``gone``."""
        found = self._search(order_id, deadline)
        if found:
            return found
        if gone:
            return Declined("nothing was held")
        raise Unknown("Stripe does not find the order yet")

    def _held_before(self, order_id: str, deadline: Deadline, refusal: ProviderError) -> Authorized | Declined:
        """Return the outcome of earlier requests for an authorization after an invalid one.

        The same request would have been rejected earlier too. But Stripe rejects most of these before it reads the key,
        so an earlier valid one may exist: another version of this code sent it, or the account has changed since.
        """
        found = self._search(order_id, deadline)
        if found:
            return found
        raise NothingHeld(str(refusal))

    def _search(self, order_id: str, deadline: Deadline) -> Authorized | Declined | None:
        """Find the outcome of an order's authorization by the order's id; None if search does not find it (yet)."""
        try:
            query = f"metadata['order_id']:'{order_id}'"
            found = self._read(lambda options: self._intents.search({"query": query}, options), deadline).data
            # At most one holds money. The state in search results may be outdated.
            found.sort(key=lambda intent: intent.status in _NOTHING_HELD)
            return self._held(self._retrieve(found[0].id, deadline), deadline) if found else None
        except Unavailable as error:
            raise Unknown(str(error)) from None

    def _held(self, intent: "PaymentIntent", deadline: Deadline) -> Authorized | Declined:
        if intent.status == "processing":  # the key keeps replaying this state
            try:
                intent = self._retrieve(intent.id, deadline)
            except Unavailable as error:
                raise Unknown(str(error)) from None
        if intent.status == "processing":
            raise Unknown("Stripe is still processing it")
        if intent.status in ("requires_capture", "succeeded"):
            return Authorized(intent.id, _expires_at(intent))
        return Declined(_last_error(intent) or f"the payment is {intent.status}")

    def _end(
        self,
        key: str,
        reference: str,
        wanted: Literal["succeeded", "canceled"],
        move: "Callable[[RequestOptions], PaymentIntent]",
    ) -> str | None:
        """Capture or cancel a hold. Return the reason if that is not possible.

        The state of the intent decides, not the key, which Stripe may have forgotten. So another key can do no harm: an
        intent is captured or cancelled only once.
        """
        deadline = Deadline(self._seconds)
        intent, refusal = self._retrieve(reference, deadline), None
        if intent.status == "requires_capture":
            try:
                intent = self._move(move, key, deadline)
            except (stripe.CardError, stripe.InvalidRequestError) as error:
                refusal = error
            except stripe.StripeError as error:
                raise _no_answer(error) from None
        if refusal:  # another process may have been faster
            intent = self._retrieve(reference, deadline)
            if intent.status == "requires_capture":
                if isinstance(refusal, stripe.CardError) or refusal.code in _LAPSED:
                    return refusal.code or "card_error"
                raise _no_answer(refusal)
        if intent.status in ("requires_capture", "processing"):
            raise Unknown(f"the payment is {intent.status}")
        if intent.status == wanted or (wanted == "canceled" and intent.status in _NOTHING_HELD):
            return None
        return f"the payment is {intent.status}"

    def _move(self, move: "Callable[[RequestOptions], PaymentIntent]", key: str, deadline: Deadline) -> "PaymentIntent":
        try:
            return self._write(move, key, deadline)
        except stripe.StripeError as error:
            if not _is_replayed(error):
                raise
        # An earlier try ended in a 5xx, which the key replays for a day; the intent shows that it had no effect.
        return self._write(move, f"{key}:{now_ms() // _HOUR}", deadline)

    # --- requests -----------------------------------------------------------------------------------------------------

    def _retrieve(self, reference: str, deadline: Deadline) -> "PaymentIntent":
        expand: Any = {"expand": ["latest_charge"]}
        return self._read(lambda options: self._intents.retrieve(reference, expand, options), deadline)

    def _read(self, request: "Callable[[RequestOptions], _T]", deadline: Deadline) -> _T:
        """Send a request that changes nothing, so that every error means `Unavailable`."""
        try:
            return self._ask(request, {}, deadline, at_least=0.0)
        except stripe.StripeError as error:
            raise Unavailable(str(_no_answer(error))) from None
        except Unknown as error:
            raise Unavailable(str(error)) from None

    def _write(self, request: "Callable[[RequestOptions], _T]", key: str, deadline: Deadline) -> _T:
        """Send a request that changes something, unless there is too little time left for its answer."""
        return self._ask(request, {"idempotency_key": key}, deadline, at_least=self._seconds / 4)

    def _ask(
        self, request: "Callable[[RequestOptions], _T]", options: "RequestOptions", deadline: Deadline, at_least: float
    ) -> _T:
        """Send a request if ``at_least`` seconds are left. If the API key is rejected, retry with the current one."""
        api_key = self._api_key(self._key.text, deadline)
        try:
            return self._send(request, {**options, "api_key": api_key}, deadline, at_least)
        except stripe.AuthenticationError:
            renewed = self._api_key(self._key.read, deadline)
            if renewed == api_key:
                raise
            logger.info("stripe key rotated")
            return self._send(request, {**options, "api_key": renewed}, deadline, at_least)

    def _send(
        self, request: "Callable[[RequestOptions], _T]", options: "RequestOptions", deadline: Deadline, at_least: float
    ) -> _T:
        if deadline.remaining() < at_least:
            raise Unavailable("no time left to ask Stripe")
        try:
            return self._within(deadline, lambda: self._on_live_connection(request, options))
        except stripe.APIConnectionError as error:
            if not _was_closed(error):
                raise
            return self._send_again(request, options, deadline, at_least, error)

    def _send_again(
        self,
        request: "Callable[[RequestOptions], _T]",
        options: "RequestOptions",
        deadline: Deadline,
        at_least: float,
        lost: stripe.APIConnectionError,
    ) -> _T:
        """Repeat a request whose connection was closed; its idempotency key makes that safe.

        The library's own retries would also follow timeouts, and would continue after the deadline in a thread that was
        left behind.
        """
        if deadline.remaining() < at_least:
            raise lost
        try:
            return self._within(deadline, lambda: self._on_live_connection(request, options))
        except (stripe.CardError, stripe.InvalidRequestError):
            raise
        except (stripe.StripeError, ProviderError):
            raise lost from lost.__cause__  # the first try may have been done, whatever this error means

    def _on_live_connection(self, request: "Callable[[RequestOptions], _T]", options: "RequestOptions") -> _T:
        """Send a request in a worker thread, on a new connection if the thread's own was not used for too long."""
        if self._last_use.ago.seconds() > connections.TRUSTED_FOR:
            self._http.close()  # type: ignore[no-untyped-call]  # the thread's connections; it connects again
        try:
            return request(options)
        finally:
            self._last_use.ago.restart()

    def _api_key(self, read: Callable[[], str], deadline: Deadline) -> str:
        try:
            return self._within(deadline, read)
        except aws.ERRORS as error:
            logger.error("stripe key not readable", exc_info=error)
            raise Unavailable("Stripe's key can't be read") from None
        except Unknown:
            raise Unavailable("Stripe's key was not read in time") from None

    def _within(self, deadline: Deadline, work: Callable[[], _T]) -> _T:
        """Run the work in another thread, and wait for it until the deadline."""
        done = self._workers.submit(work)
        try:
            return done.result(timeout=max(0.0, deadline.remaining()))
        except TimeoutError:
            if done.cancel():  # it never started
                raise Unavailable("no time left to ask Stripe") from None
            raise Unknown("Stripe gave no answer in time") from None


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


def _no_answer(error: stripe.StripeError) -> ProviderError:
    """Return the error for an indefinite answer: `Unknown` if something can have been done, else `Unavailable`."""
    text = f"Stripe: {_described(error)}"
    match error:
        case stripe.RateLimitError():  # before anything is done, or while another request locks the intent
            kind: type[ProviderError] = Unavailable
        case stripe.AuthenticationError() | stripe.PermissionError() | stripe.InvalidRequestError():
            logger.error("stripe rejected our key or request", error=text)
            kind = Unavailable
        case stripe.APIConnectionError() if _never_connected(error):
            kind = Unavailable
        case _:
            kind = Unknown
    logger.warning("no answer from stripe", error=text, doubtful=kind is Unknown)
    return kind(text)


def _described(error: stripe.StripeError) -> str:
    """Return the error's type, status, code and request id; never its message."""
    cause = error.__cause__
    parts = [type(error).__name__, error.http_status, _code(error), error.request_id, cause and type(cause).__name__]
    return " ".join(str(part) for part in parts if part)


def _code(error: stripe.StripeError) -> str | None:
    body = error.json_body
    details = body.get("error") if isinstance(body, dict) else None
    return details.get("code") if isinstance(details, dict) else None


def _is_replayed(error: stripe.StripeError) -> bool:
    """Return whether this answers an earlier request with the same key. Stripe replays its own errors too."""
    return isinstance(error, stripe.APIError) and (error.headers or {}).get("idempotent-replayed") == "true"


def _was_closed(error: BaseException) -> bool:
    """Return whether the connection was closed in place of an answer: it was dead, or Stripe's end of it has died."""
    cause = error.__cause__
    if isinstance(cause, requests.exceptions.SSLError):  # a reset that arrives while TLS writes
        return True
    reason = cause.args[0] if isinstance(cause, requests.ConnectionError) and cause.args else None
    return type(reason).__name__ == "ProtocolError"  # of urllib3; `requests` does not expose it


def _never_connected(error: BaseException) -> bool:
    cause = error.__cause__
    if isinstance(cause, requests.exceptions.ConnectTimeout):
        return True
    # Connection refused or unknown host: urllib3 has classes for these that requests does not expose.
    reason = getattr(cause.args[0], "reason", None) if isinstance(cause, requests.ConnectionError) and cause.args else 0
    return type(reason).__name__ in {"NewConnectionError", "NameResolutionError"}


def _expires_at(intent: "PaymentIntent") -> int | None:
    """Return when the hold expires; for cards, the charge has the time."""
    details: Any = getattr(intent.latest_charge, "payment_method_details", None)
    before = getattr(getattr(details, "card", None), "capture_before", None)
    return before * 1000 if before else None


def _last_error(intent: "PaymentIntent") -> str | None:
    return getattr(intent.last_payment_error, "code", None)
