"""A payment provider for tests and demos: a real ledger in a table, but no money.

The payment token determines how the provider behaves:

==================  ====================================================================================
tok_approve         holds the amount
tok_decline         declines
tok_timeout_held    holds the amount, but the first answer is lost
tok_timeout         loses the first request: no hold, no answer
tok_fail_once       rejects the first request as overloaded
tok_refund_pending  holds the amount; a refund is pending first, and refunded when it is asked for again
tok_refund_fails    holds the amount; refunds fail
tok_action          needs the customer's action, and holds the amount then
tok_action_fail     needs the customer's action, which fails
tok_action_abandon  needs the customer's action, and stays so whatever the customer does
==================  ====================================================================================

Any other token is declined. Each key has one item in the ledger, so that holds, captures, voids and refunds can be
counted. A hold's item has its state, the keys and the sum of its refunds, and its dispute. `Sandbox.act` is what the
page of a provider does for a customer.
"""

import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError

from handoff import aws
from handoff.attribute_values import from_item, to_item
from handoff.clock import now_ms, to_iso
from handoff.connections import RESET_WITHIN
from handoff.telemetry import logger
from handoff.update import Attr, Update, put_new
from shop.payments import (
    AUTHENTICATION_REQUIRED,
    LONGEST_CALL,
    ActionRequired,
    Authorized,
    Captured,
    Declined,
    DisputeFound,
    Failed,
    Happened,
    PaymentFound,
    ProviderError,
    ProviderEvent,
    Refunded,
    RefundFound,
    RefundPending,
    Stage,
    Unavailable,
    Unknown,
    Voided,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

# The states of a hold.
ACTION = "action"  # the customer has to act before anything is held
ACTION_FAILED = "action_failed"
HELD = "held"
CAPTURED = "capture"
VOIDED = "void"
DECLINED = "declined"
LOST = "lost"
REFUSED = "refused"
DISPUTED = "disputed"  # after its capture, by the customer; captured again if the merchant wins
# The states of a refund.
REFUNDED = "refunded"
PENDING = "pending"
FAILED = "failed"

_NOTHING = "nothing is held under this reference"

CALLS = 2  # a call of the port asks the ledger at most twice

_FIRST = {
    "tok_approve": HELD,
    "tok_decline": DECLINED,
    "tok_timeout_held": HELD,
    "tok_timeout": LOST,
    "tok_fail_once": REFUSED,
    "tok_refund_pending": HELD,
    "tok_refund_fails": HELD,
    "tok_action": ACTION,
    "tok_action_fail": ACTION,
    "tok_action_abandon": ACTION,
}
_AFTER_ACTION = {"tok_action": HELD, "tok_action_fail": ACTION_FAILED, "tok_action_abandon": ACTION}
_STAGES = {
    ACTION: Stage.ACTION_REQUIRED,
    ACTION_FAILED: Stage.FAILED,
    DECLINED: Stage.FAILED,
    LOST: Stage.PROCESSING,
    REFUSED: Stage.PROCESSING,
    HELD: Stage.HELD,
    CAPTURED: Stage.CAPTURED,
    DISPUTED: Stage.CAPTURED,
    VOIDED: Stage.VOIDED,
}
_MARK = "_secret_"  # between the key and the random part of a client secret, as Stripe has it
_EVENTS = "events"  # the key of the item with what happened to payments without us
# The first state of a refund, where it is not `REFUNDED`. A hold keeps its own: it does not keep its token.
_FIRST_REFUND = {"tok_refund_pending": PENDING, "tok_refund_fails": FAILED}

_FIRST_ANSWER_LOST = {"tok_timeout_held"}


class Sandbox:
    """The ledger. One item per idempotency key: an authorization with its state, a capture, a void or a refund."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def authorize(
        self,
        key: str,
        *,
        order_id: str,
        amount: int,
        currency: str,
        token: str,
        can_act: bool,
        since: int,  # noqa: ARG002  # the sandbox never forgets a key
    ) -> Authorized | ActionRequired | Declined:
        """Hold an amount if the token says so; see `shop.payments.Payments`."""
        first = _FIRST.get(token, DECLINED)
        entry = {"key": key, "kind": "authorise", "orderId": order_id, "amount": amount, "currency": currency}
        if first == ACTION and not can_act:
            first, entry["reason"] = DECLINED, AUTHENTICATION_REQUIRED
        if token in _FIRST_REFUND:
            entry["refunds"] = _FIRST_REFUND[token]
        if first == ACTION:
            entry |= {
                "secret": f"{key}{_MARK}{secrets.token_urlsafe(24)}",
                "afterAction": _AFTER_ACTION[token],
            }
        entry |= {"state": first, "at": to_iso(now_ms())}
        try:
            existing = self._insert(entry)
            if existing is None:
                return self._first_answer(entry, token)
            if existing["state"] in (LOST, REFUSED):
                self._change_state(key, existing["state"], HELD)
            return _hold_answer(existing)
        except aws.ERRORS as error:
            raise _provider_error(error) from error

    def act(self, client_secret: str) -> Stage | None:
        """Do what the customer does on the provider's page; return the payment's stage then.

        None if there is no payment with this client secret.

        Raises
        ------
        ProviderError
            If the ledger gives no answer.
        """
        key = client_secret.partition(_MARK)[0]
        payment = self._read(key).get(key, {})
        if not hmac.compare_digest(str(payment.get("secret", "")).encode(), client_secret.encode()):
            return None
        if payment["state"] != ACTION:
            return _STAGES[payment["state"]]
        try:
            self._change_state(key, ACTION, payment["afterAction"])
        except aws.ERRORS as error:
            raise _provider_error(error) from error
        return _STAGES[payment["afterAction"]]

    def capture(self, key: str, *, order_id: str, reference: str) -> Captured | Failed:
        """Capture a held amount; see `shop.payments.Payments`."""
        hold = self._end(key, CAPTURED, order_id, reference)
        return Captured(_captured(hold)) if hold.get("state") in (CAPTURED, DISPUTED) else Failed(_NOTHING)

    def void(self, key: str, *, order_id: str, reference: str) -> Voided | Captured | Failed:
        """Release a held amount; see `shop.payments.Payments`."""
        hold = self._end(key, VOIDED, order_id, reference)
        if hold.get("state") in (CAPTURED, DISPUTED):
            return Captured(_captured(hold))
        return Voided() if hold.get("state") == VOIDED else Failed(_NOTHING)

    def refund(
        self, key: str, *, order_id: str, reference: str, amount: int, currency: str
    ) -> Refunded | RefundPending | Failed:
        """Refund an amount if enough of the captured amount is left; see `shop.payments.Payments`."""
        found = self._read(reference, key)
        hold, existing = found.get(reference, {}), found.get(key)
        if existing and existing["state"] == PENDING:
            self._complete(key)
            return Refunded(key)
        if existing:
            return _refund_answer(existing)
        if hold.get("state") != CAPTURED:
            return Failed(_why_not_refunded(hold))
        if amount > _captured(hold):
            return Failed("amount_too_large")
        entry = {"key": key, "kind": "refund", "orderId": order_id, "hold": reference, "at": to_iso(now_ms())}
        what = {"amount": amount, "currency": currency, "state": hold.get("refunds", REFUNDED)}
        return self._give_back({**entry, **what}, hold)

    def look_up(self, reference: str) -> PaymentFound | None:
        """Return a payment as the ledger has it; see `shop.payments.Payments`."""
        hold = self._read(reference).get(reference)
        if hold is None or hold.get("kind") != "authorise":
            return None
        refunds = self._read(*sorted(hold["refundKeys"])) if hold.get("refundKeys") else {}
        stage = _STAGES[hold["state"]]
        return PaymentFound(
            reference=reference,
            order_id=hold["orderId"],
            stage=stage,
            held=hold["amount"] if stage is Stage.HELD else 0,
            captured=_captured(hold) if stage is Stage.CAPTURED else 0,
            reason="authentication_failed" if hold["state"] == ACTION_FAILED else None,
            refunds=tuple(map(_refund_found, refunds.values())),
            dispute=DisputeFound(**hold["dispute"]) if "dispute" in hold else None,
            client_secret=hold["secret"] if stage is Stage.ACTION_REQUIRED else None,
        )

    def happened(self, since: int) -> Happened:
        """Return what happened without us; see `shop.payments.Payments`. One item of the ledger has all of it."""
        until = now_ms()
        events = self._read(_EVENTS).get(_EVENTS, {}).get("happened", ())
        found = [ProviderEvent(event["id"], event["reference"], event["at"]) for event in events]
        return Happened(tuple(event for event in found if since <= event.at < until), until)

    def _first_answer(self, entry: Mapping[str, Any], token: str) -> Authorized | ActionRequired | Declined:
        if entry["state"] == DECLINED and token not in _FIRST:
            return Declined("unknown_token")
        if entry["state"] == REFUSED:
            raise Unavailable("the sandbox refuses the first request with this token")
        if entry["state"] == LOST or token in _FIRST_ANSWER_LOST:
            raise Unknown("the sandbox loses the first request or answer with this token")
        return _hold_answer(entry)

    def _insert(self, entry: dict[str, Any]) -> dict[str, Any] | None:
        """Write an entry if its key is new; otherwise return the existing entry."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item=to_item(entry),
                ConditionExpression="attribute_not_exists(#key)",
                ExpressionAttributeNames={"#key": "key"},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            return aws.current_item(error)
        return None

    def _change_state(self, key: str, seen: str, state: str) -> None:
        """Change the state of a hold, unless another request was faster and has changed it."""
        update = Update(self._table, {"key": key}).set("state", state).when(Attr("state").eq(seen))
        try:
            self._client.update_item(**update.members())
        except self._client.exceptions.ConditionalCheckFailedException:
            logger.debug("another request was faster", key=key)

    def _read(self, *keys: str) -> dict[str, dict[str, Any]]:
        """Return the items with these keys as they are now."""
        try:
            return aws.batch_get(self._client, self._table, "key", keys)
        except aws.ERRORS as error:
            raise Unavailable(f"the sandbox can't read its ledger: {error}") from error

    def _end(self, key: str, kind: str, order_id: str, reference: str) -> dict[str, Any]:
        """Capture or void an open hold. Return the hold as it is then; empty if it does not exist.

        A payment that waits for the customer, or whose action failed, can be voided too.
        """
        hold = self._read(reference).get(reference, {})
        open_states = {HELD, ACTION, ACTION_FAILED} if kind == VOIDED else {HELD}
        if hold.get("state") not in open_states:
            return hold
        entry = {"key": key, "kind": kind, "orderId": order_id, "hold": reference, "at": to_iso(now_ms())}
        ended = Update(self._table, {"key": reference}).set("state", kind).when(Attr("state").eq(hold["state"]))
        existing, current = self._write(put_new(self._table, entry, "key"), ended.write())
        if current.get("state") in open_states and not existing:  # the customer has acted meanwhile
            raise Unavailable("the sandbox is busy with this hold")
        return current or {**hold, "state": kind}

    def _give_back(self, entry: dict[str, Any], hold: dict[str, Any]) -> Refunded | RefundPending | Failed:
        """Write a new refund, and add it to the sum of the hold unless it fails."""
        amount, most = entry["amount"], _captured(hold)
        added = Update(self._table, {"key": hold["key"]}).add("refunded", 0 if entry["state"] == FAILED else amount)
        added.add("refundKeys", {entry["key"]})
        added.when(Attr("state").eq(CAPTURED), Attr("refunded").not_exists() | Attr("refunded").lte(most - amount))
        existing, current = self._write(put_new(self._table, entry, "key"), added.write())
        if existing:  # another request with this key was faster
            return _refund_answer(existing)
        if current:
            return Failed(_why_not_refunded(current) if current["state"] != CAPTURED else "amount_too_large")
        return _refund_answer(entry)

    def _write(self, *writes: "TransactWriteItemTypeDef") -> list[dict[str, Any]]:
        """Write all or nothing. Return the items whose conditions failed, by position; all are empty if it is done."""
        try:
            self._client.transact_write_items(TransactItems=writes)
        except self._client.exceptions.TransactionCanceledException as error:
            reasons: Sequence[Mapping[str, Any]] = error.response["CancellationReasons"]
            failed = [from_item(reason.get("Item", {})) for reason in reasons]
            if any(failed):
                return failed
            raise Unavailable("the sandbox is busy with this hold") from error
        except aws.ERRORS as error:
            raise _provider_error(error) from error
        return [{} for _ in writes]

    def _complete(self, key: str) -> None:
        """Complete a pending refund."""
        update = Update(self._table, {"key": key}).set("state", REFUNDED)
        try:
            self._client.update_item(**update.members())
        except aws.ERRORS as error:
            raise _provider_error(error) from error


def _hold_answer(hold: Mapping[str, Any]) -> Authorized | ActionRequired | Declined:
    if hold["state"] == DECLINED:
        return Declined(hold.get("reason", "card_declined"))
    if hold["state"] == ACTION_FAILED:
        return Declined("authentication_failed")
    if hold["state"] == ACTION:
        return ActionRequired(hold["key"], hold["secret"])
    return Authorized(hold["key"], hold["amount"])


def _refund_found(entry: Mapping[str, Any]) -> RefundFound:
    key = None if entry.get("by") == "merchant" else entry["key"]
    failure = "expired_or_canceled_card" if entry["state"] == FAILED else None
    return RefundFound(entry["key"], entry["amount"], entry["state"], key, failure)


def _refund_answer(entry: Mapping[str, Any]) -> Refunded | RefundPending | Failed:
    if entry["state"] == FAILED:
        return Failed("expired_or_canceled_card")
    return RefundPending(entry["key"]) if entry["state"] == PENDING else Refunded(entry["key"])


def _captured(hold: Mapping[str, Any]) -> int:
    """Return the captured amount: all of it, unless a test has captured less as a merchant can elsewhere."""
    amount: int = hold.get("captured", hold["amount"])
    return amount


def _why_not_refunded(hold: Mapping[str, Any]) -> str:
    """Return why a hold in this state is not refunded."""
    if not hold:
        return _NOTHING
    return "charge_disputed" if hold["state"] == DISPUTED else f"the payment is {hold['state']}"


def _provider_error(error: BotoCoreError | ClientError) -> ProviderError:
    """Return `Unknown` if the request can have reached the ledger, else `Unavailable`."""
    refused = isinstance(error, (ConnectTimeoutError, EndpointConnectionError))
    if refused or (isinstance(error, ClientError) and error.response["ResponseMetadata"]["HTTPStatusCode"] < 500):
        return Unavailable(f"the sandbox refused the request: {error}")
    return Unknown(f"the sandbox gave no answer: {error}")


def connect(table: str) -> Sandbox:
    """Return the sandbox for the ledger in this table."""
    logger.warning("payments go to the sandbox; no money is charged")
    once = aws.config(connect_timeout=0.5, read_timeout=LONGEST_CALL / CALLS - 0.5 - RESET_WITHIN, tries=1)
    return Sandbox(aws.client("dynamodb", config=once), table)
