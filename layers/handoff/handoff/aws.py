"""Calls to AWS: clients, timeouts, retries, transactions."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from handoff import sdk_data
from handoff.attribute_values import Item, from_item, to_item
from handoff.clock import Deadline
from handoff.errors import TransactionConflict

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

# The longest that one call can take with `config()`: two tries of 1 s + 2 s, and botocore's pause of up to 1 s.
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
LONGEST_CALL = 7.0

# Raised by a call to AWS that is refused or gets no answer.
ERRORS = (BotoCoreError, ClientError)

_CONFLICT_TRIES = 8
KEYS_PER_READ = 100  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
ITEMS_PER_WRITE = 100  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_FAILED = "ConditionalCheckFailed"
# Reasons for which a transaction is cancelled and that pass by themselves. Source:
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_PASSING = {"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}

_NO_DEADLINE = Deadline(float("inf"))


def config(*, connect_timeout: float = 1.0, read_timeout: float = 2.0, tries: int = 2) -> Config:
    """Return client settings that keep a request's worst case inside its deadline; times in seconds."""
    return Config(
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        retries={"mode": "standard", "total_max_attempts": tries},
        tcp_keepalive=True,
    )


_DEFAULT = config()


if TYPE_CHECKING:
    from boto3 import client as client  # noqa: PLC0414, TID251  # its type, which depends on the service's name
else:

    def client(service, *, config=None):
        """Return a client of an AWS service whose requests survive that Lambda freezes the environment between them.

        ``config`` is `config()` with other timeouts or tries, by default `config()` itself. See `handoff.sdk_data`.
        """
        return sdk_data.client(service, config or _DEFAULT)


def failure_reason(error: BaseException) -> str:
    """Return why a call failed, without data: the operation and AWS's error code, or the exception's name."""
    if isinstance(error, ClientError):
        return f"{error.operation_name}: {error.response['Error']['Code']}"
    return type(error).__name__


def conflict_pauses(deadline: Deadline) -> Iterator[None]:
    """Yield once per try of a contended write or read, with full jitter between the tries.

    No try is started that might not end within the deadline.
    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    for attempt in range(_CONFLICT_TRIES):
        if deadline.remaining() < LONGEST_CALL:
            return
        yield
        time.sleep(random.uniform(0, min(0.4, 0.02 * 2**attempt)))


def current_item(error: ClientError) -> dict[str, Any]:
    """Return the item that failed a condition, as it is now; empty if it does not exist or was not asked for."""
    response: Mapping[str, Any] = error.response
    return from_item(response.get("Item", {}))


def batch_get(
    client: "DynamoDBClient", table: str, key_name: str, keys: Iterable[str], deadline: Deadline = _NO_DEADLINE
) -> dict[str, dict[str, Any]]:
    """Return the items with these keys as they are now, by key; see `read_together`."""
    wanted = {table: [{key_name: key} for key in dict.fromkeys(keys)]}
    return {item[key_name]: item for item in read_together(client, wanted, deadline)[table]}


def read_together(
    client: "DynamoDBClient", wanted: Mapping[str, Iterable[Mapping[str, str]]], deadline: Deadline = _NO_DEADLINE
) -> dict[str, list[dict[str, Any]]]:
    """Return items of several tables as they are now (consistent reads), by table, without missing ones.

    ``wanted`` are their keys by table, each key once. Up to 100 items take one call.

    Raises
    ------
    ClientError
        If DynamoDB kept leaving keys out, or no time is left.
    """
    every = [(table, to_item(key)) for table, keys in wanted.items() for key in keys]
    found: dict[str, list[dict[str, Any]]] = {table: [] for table in wanted}
    for start in range(0, len(every), KEYS_PER_READ):
        for table, item in _batch(client, every[start : start + KEYS_PER_READ], deadline):
            found[table].append(from_item(item))
    return found


def _batch(
    client: "DynamoDBClient", keys: "Sequence[tuple[str, Item]]", deadline: Deadline
) -> "list[tuple[str, Item]]":
    """Return the items with these keys, each with its table; keys that DynamoDB leaves out are read after a pause.

    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
    """
    found: list[tuple[str, Item]] = []
    for _ in conflict_pauses(deadline):
        requested = {
            table: {"Keys": [key for of, key in keys if of == table], "ConsistentRead": True} for table, _ in keys
        }
        response = client.batch_get_item(RequestItems=requested)  # type: ignore[arg-type]
        found += [(table, item) for table, items in response["Responses"].items() for item in items]
        keys = [(table, key) for table, rest in response["UnprocessedKeys"].items() for key in rest["Keys"]]
        if not keys:
            return found
    # What DynamoDB itself answers if it can process none of the keys.
    code = "ProvisionedThroughputExceededException"
    raise ClientError({"Error": {"Code": code, "Message": f"{len(keys)} keys were left out"}}, "BatchGetItem")


class ConditionFailed(Exception):
    """A conditional write was refused. ``images`` are the items whose condition failed, by position, as they are now.

    An item that does not exist, or whose write did not ask for its image, is empty.
    """

    def __init__(self, images: Mapping[int, dict[str, Any]]) -> None:
        super().__init__(f"the condition of item {', '.join(map(str, images))} failed")
        self.images = images


def write(client: "DynamoDBClient", writes: "Sequence[TransactWriteItemTypeDef]", deadline: Deadline) -> None:
    """Write all or nothing, and try again after conflicts with other writers; see `try_write`.

    Raises
    ------
    ConditionFailed
        If a condition does not hold. An earlier try of this very write may be why: compare the image.
    TransactionConflict
        If others kept writing the same items.
    """
    until_written(lambda: try_write(client, writes), deadline)


def until_written(attempt: Callable[[], bool], deadline: Deadline) -> None:
    """Repeat a write that returns False after a conflict.

    Raises
    ------
    TransactionConflict
        If others kept writing the same items.
    """
    for _ in conflict_pauses(deadline):
        if attempt():
            return
    raise TransactionConflict("others kept writing the same items, or no time was left; nothing was changed")


def try_write(client: "DynamoDBClient", writes: "Sequence[TransactWriteItemTypeDef]") -> bool:
    """Write all or nothing: one update alone, several items as one transaction. Return False after a conflict.

    botocore gives each call a request token of its own, which its retries share.

    Raises
    ------
    ConditionFailed
        If a condition does not hold. An earlier try of this very write may be why: compare the image.
    """
    try:
        if len(writes) == 1 and "Update" in writes[0]:
            client.update_item(**writes[0]["Update"])
        else:
            client.transact_write_items(TransactItems=writes)
    except client.exceptions.ConditionalCheckFailedException as error:
        raise ConditionFailed({0: current_item(error)}) from error
    except client.exceptions.TransactionCanceledException as error:
        reasons: Sequence[Mapping[str, Any]] = error.response["CancellationReasons"]
        failed = {n: from_item(reason.get("Item", {})) for n, reason in enumerate(reasons) if reason["Code"] == _FAILED}
        if failed:
            raise ConditionFailed(failed) from error
        if not all(reason["Code"] in _PASSING for reason in reasons):
            raise
        return False
    except client.exceptions.TransactionConflictException:
        return False
    return True
