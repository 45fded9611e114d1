"""Requests to Stripe: the API key, the connection, the deadline, and the certainty of an answer.

Sources:

- errors and their certainty: https://docs.stripe.com/error-low-level
- idempotency keys and the answers that they replay: https://docs.stripe.com/api/idempotent_requests

Stripe's error messages are never logged or stored: they can contain a card, a token or a part of an API key.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import requests
import stripe

from handoff import aws, connections
from handoff.clock import Deadline, Stopwatch
from handoff.telemetry import logger
from shop.payments import ProviderError, Unavailable, Unknown
from shop.payments.stripe_key import StripeKey

if TYPE_CHECKING:
    from stripe import RequestOptions

_CONNECT_SECONDS = 1.0

stripe.enable_telemetry = False  # it stores an id in the home directory and sends it
# For DEBUG the library logs requests and responses, with the customer's client secret in them.
logging.getLogger("stripe").setLevel(logging.INFO)

_T = TypeVar("_T")


class _LastUse(threading.local):
    """When the current thread last used its connection: Stripe's library keeps one for each thread."""

    def __init__(self) -> None:
        self.ago = Stopwatch()


class StripeRequests:
    """Sends requests within a deadline. A call of the port takes ``seconds``, its reads of the API key included."""

    def __init__(self, key: StripeKey, base: str, seconds: float) -> None:
        self._key = key
        self._seconds = seconds
        # These timeouts limit each wait on a socket, not the whole request: an answer can arrive byte by byte, and a
        # name can have many addresses. `_within` limits the request; these only end abandoned ones.
        self._http = stripe.RequestsClient(timeout=(_CONNECT_SECONDS, seconds))
        self.v1 = stripe.StripeClient(
            "given with each request", base_addresses={"api": base}, http_client=self._http, max_network_retries=0
        ).v1
        self._last_use = _LastUse()
        self._workers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="stripe")

    def deadline(self) -> Deadline:
        """Return the deadline of a call of the port that starts now."""
        return Deadline(self._seconds)

    def read(self, request: "Callable[[RequestOptions], _T]", deadline: Deadline) -> _T:
        """Send a request that changes nothing, so that every error means `Unavailable`."""
        try:
            return self._ask(request, {}, deadline, at_least=0.0)
        except stripe.StripeError as error:
            raise Unavailable(str(no_answer(error))) from None
        except Unknown as error:
            raise Unavailable(str(error)) from None

    def find(self, request: "Callable[[RequestOptions], _T]", deadline: Deadline) -> _T | None:
        """Read one object, like `read`; None if Stripe has no such object."""

        def ask(options: "RequestOptions") -> _T | None:
            try:
                return request(options)
            except stripe.InvalidRequestError as error:
                if error.http_status == 404 and error.code == "resource_missing":
                    return None
                raise

        return self.read(ask, deadline)

    def write(self, request: "Callable[[RequestOptions], _T]", key: str, deadline: Deadline) -> _T:
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


def no_answer(error: stripe.StripeError) -> ProviderError:
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


def is_replayed(error: stripe.StripeError) -> bool:
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
