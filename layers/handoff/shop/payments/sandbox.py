"""A payment provider for tests and demos: a real ledger in a table, but no money.

The payment token determines how the provider behaves:

=================  =====================================================================================
tok_approve        holds the amount
tok_decline        declines
tok_timeout_held   holds the amount, but the first answer is lost
tok_timeout        loses the first request: no hold, no answer
tok_fail_once      rejects the first request as overloaded
=================  =====================================================================================

Any other token is declined. Each key has one item in the ledger, so that holds, captures and voids can be counted.
"""

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError

from handoff import aws
from handoff.clock import now_ms, to_iso
from handoff.connections import RESET_WITHIN
from handoff.telemetry import logger
from handoff.update import Attr, Update, put_new
from shop.payments import (
    LONGEST_CALL,
    Authorized,
    Captured,
    Declined,
    Failed,
    ProviderError,
    Unavailable,
    Unknown,
    Voided,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

HELD = "held"
DECLINED = "declined"
LOST = "lost"
REFUSED = "refused"

_FIRST = {
    "tok_approve": HELD,
    "tok_decline": DECLINED,
    "tok_timeout_held": HELD,
    "tok_timeout": LOST,
    "tok_fail_once": REFUSED,
}

_FIRST_ANSWER_LOST = {"tok_timeout_held"}


class Sandbox:
    """The ledger. One item per idempotency key: an authorization with its state, a capture or a void."""

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
        since: int,  # noqa: ARG002  # the sandbox never forgets a key
    ) -> Authorized | Declined:
        """Hold an amount if the token says so; see `shop.payments.Payments`."""
        first = _FIRST.get(token, DECLINED)
        entry = {"key": key, "kind": "authorise", "orderId": order_id, "amount": amount, "currency": currency}
        try:
            existing = self._insert({**entry, "state": first, "at": to_iso(now_ms())})
            if existing is None:
                return self._first_answer(key, first, token)
            if existing["state"] in (LOST, REFUSED):
                self._hold(key, existing["state"])
            return Declined("card_declined") if existing["state"] == DECLINED else Authorized(key)
        except aws.ERRORS as error:
            raise _provider_error(error) from error

    def capture(self, key: str, *, order_id: str, reference: str) -> Captured | Failed:
        """Capture a held amount; see `shop.payments.Payments`."""
        reason = self._settle(key, "capture", order_id, reference)
        return Failed(reason) if reason else Captured()

    def void(self, key: str, *, order_id: str, reference: str) -> Voided | Failed:
        """Release a held amount; see `shop.payments.Payments`."""
        reason = self._settle(key, "void", order_id, reference)
        return Failed(reason) if reason else Voided()

    def _first_answer(self, key: str, state: str, token: str) -> Authorized | Declined:
        if state == DECLINED:
            return Declined("unknown_token" if token not in _FIRST else "card_declined")
        if state == REFUSED:
            raise Unavailable("the sandbox refuses the first request with this token")
        if state == LOST or token in _FIRST_ANSWER_LOST:
            raise Unknown("the sandbox loses the first request or answer with this token")
        return Authorized(key)

    def _insert(self, entry: dict[str, Any]) -> dict[str, Any] | None:
        """Write an entry if its key is new; otherwise return the existing entry."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item=aws.to_item(entry),
                ConditionExpression="attribute_not_exists(#key)",
                ExpressionAttributeNames={"#key": "key"},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            return aws.current_item(error)
        return None

    def _hold(self, key: str, seen: str) -> None:
        """Hold an amount after a failed first request, unless another request was faster and its hold may be void."""
        update = Update(self._table, {"key": key}).set("state", HELD).when(Attr("state").eq(seen))
        try:
            self._client.update_item(**update.members())
        except self._client.exceptions.ConditionalCheckFailedException:
            logger.debug("another request was faster", key=key)

    def _settle(self, key: str, kind: str, order_id: str, reference: str) -> str | None:
        """Capture or void a hold, once per key. Return the reason if that is not possible."""
        entry = {"key": key, "kind": kind, "orderId": order_id, "hold": reference, "at": to_iso(now_ms())}
        hold = Update(self._table, {"key": reference}).set("state", kind).when(Attr("state").eq(HELD))
        try:
            self._client.transact_write_items(TransactItems=[put_new(self._table, entry, "key"), hold.write()])
        except self._client.exceptions.TransactionCanceledException as error:
            codes = [reason["Code"] for reason in error.response["CancellationReasons"]]
            if codes[0] == "ConditionalCheckFailed":
                return None
            if codes[1] == "ConditionalCheckFailed":
                return "nothing is held under this reference"
            raise Unavailable("the sandbox is busy with this hold") from error
        except aws.ERRORS as error:
            raise _provider_error(error) from error
        return None


def _provider_error(error: BotoCoreError | ClientError) -> ProviderError:
    """Return `Unknown` if the request can have reached the ledger, else `Unavailable`."""
    refused = isinstance(error, (ConnectTimeoutError, EndpointConnectionError))
    if refused or (isinstance(error, ClientError) and error.response["ResponseMetadata"]["HTTPStatusCode"] < 500):
        return Unavailable(f"the sandbox refused the request: {error}")
    return Unknown(f"the sandbox gave no answer: {error}")


def connect(table: str) -> Sandbox:
    """Return the sandbox for the ledger in this table."""
    logger.warning("payments go to the sandbox; no money is charged")
    once = aws.config(connect_timeout=1, read_timeout=LONGEST_CALL - 1 - RESET_WITHIN, tries=1)
    return Sandbox(aws.client("dynamodb", config=once), table)
