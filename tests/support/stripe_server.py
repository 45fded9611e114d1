"""A server that follows Stripe's documentation of PaymentIntents with manual capture, and of what happens to them.

It answers HTTP on loopback, so that the real library uses real sockets. Intents, refunds, disputes and events have
modules of their own. Sources:

- https://docs.stripe.com/api/idempotent_requests and https://docs.stripe.com/error-low-level: an answer is stored
  with its key once execution began, 402 and 500 too; other parameters under the same key are an error; one request at a
  time per key; rate limits and authentication come before keys; a key expires after 24 hours
- https://docs.stripe.com/search#data-freshness: a search lags behind new objects
- https://docs.stripe.com/changelog/endive/2026-09-30: `payment_method_types` is rejected
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from tests.support.resetting_server import Connections, MortalConnection, MortalServer, serving
from tests.support.stripe_disputes import Disputes
from tests.support.stripe_errors import Params, Refusal
from tests.support.stripe_events import Events
from tests.support.stripe_intents import (
    DECLINED,
    DECLINED_LATER,
    HOLD_LASTS,
    HOUR,
    NEEDS_CUSTOMER,
    SINGLE_USE,
    VISA,
    Intents,
    shown,
)
from tests.support.stripe_refunds import FAILING_REFUND, PENDING_REFUND, Refunds, moves_money

__all__ = [
    "DECLINED",
    "DECLINED_LATER",
    "FAILING_REFUND",
    "HOLD_LASTS",
    "HOUR",
    "KEYS_KEPT",
    "NEEDS_CUSTOMER",
    "PENDING_REFUND",
    "SINGLE_USE",
    "VISA",
    "Connection",
    "Request",
    "StripeServer",
    "bad_gateway",
    "fail_after",
    "fail_before",
    "hang_after",
    "hang_before",
    "hang_within",
    "lose_answer",
    "lose_request",
    "meanwhile",
    "refuse",
    "running",
    "trickle",
]

KEYS_KEPT = 24 * HOUR
_ALLOWED = {
    "create": {
        "amount",
        "currency",
        "payment_method",
        "allowed_payment_method_types",
        "capture_method",
        "confirm",
        "error_on_requires_action",
        "use_stripe_sdk",
        "metadata",
        "expand",
    },
    "retrieve": {"expand"},
    "search": {"query", "limit", "page", "expand"},
    "capture": {"amount_to_capture", "expand"},
    "cancel": {"cancellation_reason", "expand"},
    "refund": {"payment_intent", "amount", "metadata", "reason", "expand"},
    "refunds": {"payment_intent", "limit", "starting_after", "expand"},
    "disputes": {"payment_intent", "limit", "starting_after", "expand"},
    "events": {"types", "created", "limit", "starting_after", "expand"},
}


@dataclass(slots=True)
class Request:
    """One request as it arrived.

    ``operation`` is create, retrieve, search, capture or cancel, of an intent; refund; or refunds, disputes or events
    for a list of them.
    """

    operation: str
    reference: str | None
    params: Params
    api_key: str
    idempotency_key: str | None
    headers: dict[str, str]


@dataclass(slots=True)
class Kept:
    """The stored answer of a key; None while its request is in progress."""

    request: tuple[str, str | None, Params]
    at: float
    answer: tuple[int, Params] | None = None


Answer = tuple[int, Params, dict[str, str]]
Step = Callable[[], None]
Fault = Callable[["StripeServer", Request, "Connection"], Answer]


def _nothing() -> None:
    pass


@dataclass
class StripeServer:
    """Stripe's state, and the next faults."""

    api_keys: set[str] = field(default_factory=lambda: {"sk_test_first"})
    search_lags: float = 60.0
    requests: list[Request] = field(default_factory=list)
    intents: dict[str, Params] = field(default_factory=dict)
    refunds: dict[str, Params] = field(default_factory=dict)
    base: str = ""
    connections: Connections = field(default_factory=Connections)

    def __post_init__(self) -> None:
        self.events = Events()
        self.disputes = Disputes(self.events)
        self._refunds = Refunds(self.refunds, self.disputes, self.events)
        self._intents = Intents(self.intents, self._refunds, self.events)
        self._kept: dict[str, Kept] = {}
        self._faults: list[tuple[str, Fault]] = []
        self._lock = threading.RLock()
        self.arrived = threading.Event()  # set when a delayed request has arrived
        self.released = threading.Event()  # lets delayed requests continue

    # --- what tests do ------------------------------------------------------------------------------------------------

    def on(self, operation: str, fault: Fault, times: int = 1) -> None:
        """Inject a fault into the next requests of this kind."""
        self._faults += [(operation, fault)] * times

    def heal(self) -> None:
        """Remove the faults that have not struck."""
        self._faults.clear()

    def forget(self) -> None:
        """Clear all state."""
        self.requests.clear()
        self._intents.clear()
        self.refunds.clear()
        self.disputes.made.clear()
        self.events.made.clear()
        self._kept.clear()
        self._faults.clear()

    def made(self, operation: str) -> list[Request]:
        """Return the requests of one kind."""
        return [request for request in self.requests if request.operation == operation]

    def of(self, order_id: str) -> list[Params]:
        """Return the present intents of an order."""
        with self._lock:
            self._intents.lapse()
            return [intent for intent in self.intents.values() if intent["metadata"].get("order_id") == order_id]

    def refunds_of(self, order_id: str) -> list[Params]:
        """Return the present refunds of an order's captured money."""
        with self._lock:
            found = [refund for intent in self.of(order_id) for refund in self._refunds.of(intent)]
            return [refund for refund in found if moves_money(refund)]

    # --- what the merchant and the customer do without Handoff --------------------------------------------------------

    # Each method returns whether Stripe allows it.

    def act(self, order_id: str, *, succeeds: bool = True) -> bool:
        """Do what the customer does on the bank's page."""
        return self._change(order_id, lambda intent: self._intents.act(intent, succeeds=succeeds))

    def pay_with(self, order_id: str, token: str) -> bool:
        """Try another card, as the customer's page can after a failure."""
        return self._change(order_id, lambda intent: self._intents.pay_with(intent, token))

    def capture_in_dashboard(self, order_id: str, amount: int | None = None) -> bool:
        """Capture an order's hold, or a part of it."""
        wanted = {} if amount is None else {"amount_to_capture": amount}
        return self._change(order_id, lambda intent: self._intents.capture(intent, wanted))

    def cancel_in_dashboard(self, order_id: str) -> bool:
        """Cancel an order's payment that is not captured."""
        return self._change(order_id, lambda intent: self._intents.cancel(intent, "requested_by_customer"))

    def refund_in_dashboard(self, order_id: str, amount: int) -> bool:
        """Refund a part of an order's captured amount."""
        return self._change(order_id, lambda intent: self._refunds.create(intent, {"amount": amount}))

    def fail_refund(self, order_id: str) -> bool:
        """Let the customer's bank return an order's latest refund."""
        return self._change(order_id, self._refunds.fail_latest)

    def dispute(self, order_id: str) -> bool:
        """Dispute an order's payment at the customer's bank."""
        return self._change(order_id, self.disputes.open)

    def decide_dispute(self, order_id: str, state: Literal["won", "lost"]) -> bool:
        """Let the bank decide an order's dispute."""
        return self._change(order_id, lambda intent: self.disputes.decide(intent, state))

    def _change(self, order_id: str, change: Callable[[Params], object]) -> bool:
        with self._lock:
            for intent in self.of(order_id):
                try:
                    change(intent)
                except Refusal:
                    return False
                return True
        return False

    # --- a request on its way -----------------------------------------------------------------------------------------

    def answer(self, request: Request, connection: "Connection") -> Answer:
        """Answer a request, with the next fault of its kind if there is one."""
        with self._lock:
            self.requests.append(request)
            planned = next((plan for plan in self._faults if plan[0] == request.operation), None)
            if planned:
                self._faults.remove(planned)
        return planned[1](self, request, connection) if planned else self.handle(request)

    def handle(self, request: Request, *, before: Step = _nothing, after: Step = _nothing) -> Answer:
        """Answer a request as Stripe does. ``before`` and ``after`` its effect may raise a refusal."""
        try:
            self._authenticate(request)
            if request.idempotency_key:
                return self._handle_once(request, request.idempotency_key, before, after)
            before()
            body = self._execute(request)
            after()
        except Refusal as refusal:
            return refusal.status, refusal.body, {}
        return 200, body, {}

    def _authenticate(self, request: Request) -> None:
        if request.api_key not in self.api_keys:
            raise Refusal(401, "invalid_request_error")

    def _handle_once(self, request: Request, key: str, before: Step, after: Step) -> Answer:
        wanted = (request.operation, request.reference, request.params)
        with self._lock:
            kept = self._kept.get(key)
            if kept and time.time() - kept.at < KEYS_KEPT:
                if kept.request != wanted:
                    raise Refusal(400, "idempotency_error")
                if kept.answer is None:
                    raise Refusal(409, "invalid_request_error", "idempotency_key_in_use")
                return *kept.answer, {"Idempotent-Replayed": "true"}
            mine = self._kept[key] = Kept(wanted, time.time())
        try:
            before()
            body = self._execute(request)
            after()
            mine.answer = (200, body)
        except Refusal as refusal:
            if not refusal.kept:
                del self._kept[key]
                raise
            mine.answer = (refusal.status, refusal.body)
        return *mine.answer, {}

    # --- effects ------------------------------------------------------------------------------------------------------

    def _execute(self, request: Request) -> Params:
        """Have the effect, and return the body of a 200."""
        with self._lock:
            self._intents.lapse()
            params = request.params
            unknown = params.keys() - _ALLOWED[request.operation]
            if "payment_method_types" in unknown:
                raise Refusal(400, "invalid_request_error", "payment_method_types_no_longer_supported")
            if unknown:
                raise Refusal(400, "invalid_request_error", "parameter_unknown", param=sorted(unknown)[0])
            match request.operation:
                case "search":
                    return self._search(params["query"])
                case "events":
                    return self.events.page(params)
                case "refund":
                    return self._refunds.create(self._intent(params["payment_intent"]), params)
                case "refunds":
                    return self._refunds.page(self._intent(params["payment_intent"]), params)
                case "disputes":
                    return self.disputes.page(self._intent(params["payment_intent"]), params)
                case operation:
                    return shown(self._of_intent(operation, request), params)

    def _of_intent(self, operation: str, request: Request) -> Params:
        """Create, retrieve, capture or cancel an intent."""
        if operation == "create":
            return self._intents.create(request.params)
        intent = self._intent(request.reference)
        if operation == "capture":
            self._intents.capture(intent, request.params)
        if operation == "cancel":
            self._intents.cancel(intent, request.params.get("cancellation_reason"))
        return intent

    def _intent(self, reference: str | None) -> Params:
        if reference not in self.intents:
            raise Refusal(404, "invalid_request_error", "resource_missing", param="intent")
        return self.intents[reference]

    def _search(self, query: str) -> Params:
        wanted = re.fullmatch(r"metadata\['(\w+)'\]:'(\w+)'", query)
        assert wanted, query
        found = [
            shown(intent, {})
            for intent in self.intents.values()
            if intent["metadata"].get(wanted[1]) == wanted[2] and time.time() - intent["created"] >= self.search_lags
        ]
        return {"object": "search_result", "url": "/v1/payment_intents/search", "has_more": False, "data": found}


# --- faults -----------------------------------------------------------------------------------------------------------


def refuse(status: int, kind: str = "invalid_request_error", code: str | None = None, **members: Any) -> Fault:
    """Reject before anything else, even keys: a rate limit, a lock, an unknown parameter."""
    return lambda server, request, connection: (status, Refusal(status, kind, code, **members).body, {})


def fail_before(server: StripeServer, request: Request, connection: "Connection") -> Answer:
    """Fail without an effect after execution began; the 500 is stored with the key."""
    return server.handle(request, before=_break)


def fail_after(server: StripeServer, request: Request, connection: "Connection") -> Answer:
    """Fail after the effect; the 500 is stored with the key."""
    return server.handle(request, after=_break)


def bad_gateway(server: StripeServer, request: Request, connection: "Connection") -> Answer:
    """Answer like a proxy, not in JSON."""
    connection.write_raw(502, b"<html>Bad gateway for Ada Lovelace</html>")
    raise Closed


def lose_request(server: StripeServer, request: Request, connection: "Connection") -> Answer:
    """Close the connection without an effect."""
    raise Closed


def lose_answer(server: StripeServer, request: Request, connection: "Connection") -> Answer:
    """Close the connection after the effect."""
    server.handle(request)
    raise Closed


def hang_before(server: StripeServer, request: Request, connection: "Connection") -> Answer:
    """Never answer, without an effect."""
    server.released.wait()
    raise Closed


def hang_after(server: StripeServer, request: Request, connection: "Connection") -> Answer:
    """Never answer, after the effect."""
    answer = server.handle(request)
    server.released.wait()
    return answer


def hang_within(server: StripeServer, request: Request, connection: "Connection") -> Answer:
    """Start under the key, and continue when released, long after the client's timeout."""

    def wait() -> None:
        server.arrived.set()
        server.released.wait()

    return server.handle(request, before=wait)


def trickle(server: StripeServer, request: Request, connection: "Connection") -> Answer:
    """Answer byte by byte after the effect: no single wait is long."""
    server.handle(request)
    connection.trickle(until=server.released)
    raise Closed


def meanwhile(do: Callable[[], object], then: Fault | None = None) -> Fault:
    """Run another action first, then answer or fail."""

    def fault(server: StripeServer, request: Request, connection: "Connection") -> Answer:
        do()
        return then(server, request, connection) if then else server.handle(request)

    return fault


def _break() -> None:
    raise Refusal(500, "api_error", kept=True)


class Closed(Exception):
    """The connection is closed without an answer."""


# --- the wire ---------------------------------------------------------------------------------------------------------

_ROUTES = [
    ("POST", r"/v1/payment_intents", "create"),
    ("GET", r"/v1/payment_intents/search", "search"),
    ("GET", r"/v1/payment_intents/(\w+)", "retrieve"),
    ("POST", r"/v1/payment_intents/(\w+)/capture", "capture"),
    ("POST", r"/v1/payment_intents/(\w+)/cancel", "cancel"),
    ("POST", r"/v1/refunds", "refund"),
    ("GET", r"/v1/refunds", "refunds"),
    ("GET", r"/v1/disputes", "disputes"),
    ("GET", r"/v1/events", "events"),
]


class Connection(MortalConnection):
    """One connection of a client."""

    stripe: StripeServer

    def do_GET(self) -> None:  # noqa: N802
        """Answer any request."""
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        for method, pattern, operation in _ROUTES:
            found = re.fullmatch(pattern, parts.path)
            if found and method == self.command:
                request = Request(
                    operation=operation,
                    reference=found[1] if found.groups() else None,
                    params=_nested(parse_qsl(body or parts.query, strict_parsing=bool(body or parts.query))),
                    api_key=self.headers["authorization"].removeprefix("Bearer "),
                    idempotency_key=self.headers["idempotency-key"],
                    headers={name.lower(): value for name, value in self.headers.items()},
                )
                break
        else:
            raise AssertionError(f"{self.command} {self.path}")
        try:
            status, document, headers = self.stripe.answer(request, self)
        except Closed:
            self.close_with_reset()
            return
        self.write_raw(status, json.dumps(document).encode(), headers)

    do_POST = do_GET  # noqa: N815

    def write_raw(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in {"Request-Id": "req_1", "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def trickle(self, until: threading.Event) -> None:
        """Send an endless answer, a byte at a time."""
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        while not until.wait(0.05):
            self.wfile.write(b" ")


@contextmanager
def running(certificate: Path | None = None) -> Iterator[StripeServer]:
    """Run a server on a free port of loopback."""
    stripe = StripeServer()
    connection = type("_Connection", (Connection,), {"stripe": stripe, "connections": stripe.connections})
    with serving(MortalServer(connection, certificate)) as stripe.base:
        try:
            yield stripe
        finally:
            stripe.released.set()


def _nested(pairs: list[tuple[str, str]]) -> Params:
    """Return form fields such as ``metadata[order_id]`` as dictionaries."""
    params: Params = {}
    for name, value in pairs:
        head, *rest = re.findall(r"[^\[\]]+", name)
        if rest:
            params.setdefault(head, {})[rest[0]] = value
        else:
            params[head] = value
    return params
