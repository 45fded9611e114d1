"""Effects that happen exactly once: a marker is written in the same transaction as the effect.

SQS and EventBridge deliver at least once. A marker per event, kept for good, makes the second delivery a no-op.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from handoff import aws
from handoff.update import put_new

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

    from handoff.clock import Deadline

K = TypeVar("K")


def write_once(
    client: "DynamoDBClient",
    table: str,
    markers: Mapping[K, Mapping[str, Any]],
    effects: "Callable[[Sequence[K]], list[TransactWriteItemTypeDef]]",
    deadline: "Deadline",
) -> list[K]:
    """Write the effects of those keys that have no marker yet, all or nothing; return these keys.

    ``markers`` are the marker items by key; each begins with the table's partition key. Markers and effects together
    are at most 100 items, the limit of a DynamoDB transaction; effects carry no conditions.

    Raises
    ------
    TransactionConflict
        If other writers kept changing the same items, or no time is left.
    """
    left = list(markers)
    while left:
        puts = [put_new(table, markers[key], key=next(iter(markers[key]))) for key in left]
        try:
            aws.write(client, [*puts, *effects(left)], deadline)
            break
        except aws.ConditionFailed as failed:
            repeated = {n for n in failed.images if n < len(left)}
            if not repeated:
                raise
            left = [key for n, key in enumerate(left) if n not in repeated]
    return left
