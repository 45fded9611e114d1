"""The current generation of the sales counters, and the one that a running rebuild builds.

Both are in one item of the sales table. Consumers read it once per batch, after receiving the events, together with the
orders, and count each event in every generation that it names. An event after the start of a rebuild is therefore
counted in the new generation, and an earlier one is in its order's history, where the rebuild reads it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handoff import aws
from handoff.attribute_values import from_item, to_item
from handoff.clock import Deadline
from handoff.update import Attr, Update

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

POINTER = "generations"  # the key of the item
_KEY = {"bucketId": POINTER, "entry": POINTER}
FIRST = 1  # the generation of a table that was never rebuilt
_WRITE_SECONDS = 20.0
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Generations:
    """The current generation, and the one being built, if any; ``switched_at`` in epoch milliseconds."""

    current: int = FIRST
    building: int | None = None
    built_up_to: str | None = None
    switched_at: int = 0

    @property
    def counted(self) -> tuple[int, ...]:
        """The generations that an event is counted in."""
        return (self.current,) if self.building is None else (self.current, self.building)


class Busy(Exception):
    """Another rebuild holds the lease; it ends at ``lease_until`` (epoch milliseconds)."""

    def __init__(self, lease_until: int) -> None:
        super().__init__("another rebuild is at work")
        self.lease_until = lease_until


class TakenOver(Exception):
    """Another rebuild has continued or finished the generation that this run was building."""


class GenerationStore:
    """Reads the item, and changes it under a lease. Only rebuilds change it."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def read(self) -> Generations:
        """Return the generations as they are now (a consistent read)."""
        response = self._client.query(
            TableName=self._table,
            KeyConditionExpression="bucketId = :pointer",
            ExpressionAttributeValues=to_item({":pointer": POINTER}),
            ConsistentRead=True,
        )
        return _generations(from_item(response["Items"][0])) if response["Items"] else Generations()

    @property
    def wanted(self) -> dict[str, list[dict[str, str]]]:
        """The key of the item by table, for `aws.read_together`. Then `among` has the generations."""
        return {self._table: [_KEY]}

    def among(self, items: Mapping[str, Sequence[Mapping[str, Any]]]) -> Generations:
        """Return the generations among items that were read by table, as `read` does."""
        return _generations(items[self._table][0]) if items[self._table] else Generations()

    def announce(self, builder: str, *, now: int, lease_until: int) -> Generations:
        """Begin a new generation, or continue the one of an interrupted run; times in epoch milliseconds.

        Raises
        ------
        Busy
            If another run holds the lease.
        """
        lease = 0
        for _ in range(_TRIES):
            seen = self.read()
            begin = self._pointer().set("currentGeneration", seen.current).set("nextGeneration", seen.current + 1)
            begin.set("builder", builder).set("leaseUntil", lease_until).when(
                Attr("currentGeneration").not_exists() | Attr("currentGeneration").eq(seen.current),
                Attr("nextGeneration").not_exists() | Attr("leaseUntil").lt(now),
            )
            try:
                self._write(begin)
                return self.read()
            except aws.ConditionFailed as failed:
                image = failed.images[0]
                if image.get("builder") == builder:  # an earlier try of this write had succeeded
                    return _generations(image)
                lease = image.get("leaseUntil", 0)
        raise Busy(lease)

    def keep(self, builder: str, *, built_up_to: str | None, lease_until: int) -> None:
        """Renew the lease, and record the last finished order.

        Raises
        ------
        TakenOver
            If the lease is another run's.
        """
        update = self._pointer().set("leaseUntil", lease_until)
        if built_up_to is not None:
            update.set("builtUpTo", built_up_to)
        self._write_leased(update, builder)

    def switch(self, builder: str, generation: int, *, now: int) -> None:
        """Make the new generation the current one.

        Raises
        ------
        TakenOver
            If the lease is another run's.
        """
        update = self._pointer().set("currentGeneration", generation).set("switchedAt", now).set("switchedBy", builder)
        update.remove("nextGeneration", "builder", "leaseUntil", "builtUpTo")
        self._write_leased(update, builder)

    def _write_leased(self, update: Update, builder: str) -> None:
        try:
            self._write(update.when(Attr("builder").eq(builder)))
        except aws.ConditionFailed as failed:
            if failed.images[0].get("switchedBy") != builder:  # else an earlier try of the switch had succeeded
                raise TakenOver("another rebuild has taken over") from failed

    def _pointer(self) -> Update:
        return Update(self._table, _KEY)

    def _write(self, update: Update) -> None:
        aws.write(self._client, [update.write()], Deadline(_WRITE_SECONDS))


def _generations(item: Mapping[str, Any]) -> Generations:
    return Generations(
        current=item["currentGeneration"],
        building=item.get("nextGeneration"),
        built_up_to=item.get("builtUpTo"),
        switched_at=item.get("switchedAt", 0),
    )
