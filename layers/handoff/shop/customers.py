"""Customers: how a profile changes, and how customers are kept in DynamoDB."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from handoff import aws, ids
from handoff.aggregate import HistoryEntry
from handoff.clock import Deadline, from_iso, to_iso
from handoff.unfinished import SWEEP_AFTER, UnfinishedStore, parse_or_log
from shop import events
from shop.errors import ProfileBusy, TooManyAddresses
from shop.model import AddressChange, Customer

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

MAX_PENDING_NOTICES = 10  # changes that may wait for their event or their mails; beyond, a customer has to wait
# How long a changed address can still be told: its event is 4 days in the queue and 14 among the dead letters, at most
# (MessageRetentionPeriod of both in template.yaml).
_TELLABLE = 18 * 86_400_000  # ms
# Steps of the history that are kept. As many within a day, and there is no new address: each is written to unasked.
REMEMBERED = 20
_DAY = 86_400_000  # ms
_TRIES = 4


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """One step of a customer; ``before`` is None for a new one."""

    id: str
    before: Customer | None
    after: Customer


def changed(
    before: Customer | None, *, user_id: str, name: str, email: str, now: int, correlation_id: str
) -> ProfileChange | None:
    """The step that gives a customer this name and address; None if nothing changes. ``now`` in epoch milliseconds.

    Raises
    ------
    ProfileBusy
        If too many earlier changes have not been told yet.
    TooManyAddresses
        If the address would change once more on a day that has seen too many changes.
    """
    was = before or Customer(user_id=user_id, name="")
    fields = [field for field, old, new in (("name", was.name, name), ("email", was.email, email)) if old != new]
    if not fields:
        return None
    if "email" in fields:
        rate_limit_address_changes(was, now)
    untold = pending_notices(was, now)
    if len(was.outbox) >= MAX_PENDING_NOTICES or ("email" in fields and len(untold) >= MAX_PENDING_NOTICES):
        raise ProfileBusy()
    sequence = was.sequence + 1
    key = str(sequence)
    change_id = ids.unique()
    event = events.profile_updated(
        user_id=user_id, changed_fields=fields, sequence=sequence, at=now, correlation_id=correlation_id
    )
    entry = HistoryEntry(sequence=sequence, status="UPDATED", at=to_iso(now), transition_id=change_id)
    told = "" if was.email_problem else was.email  # no mail goes to an address that is marked
    moved = {key: AddressChange(old=told, new=email, at=now)} if "email" in fields else {}
    after = was.model_copy(
        update={
            "name": name,
            "email": email,
            "email_problem": None if moved else was.email_problem,
            "sequence": sequence,
            "history": (*was.history, entry)[-REMEMBERED:],
            "outbox": {**was.outbox, key: event},
            "address_changes": {**untold, **moved},
            "due_at": now + SWEEP_AFTER,
            "unfinished_since": was.unfinished_since or now,
        }
    )
    return ProfileChange(change_id, before, after)


def rate_limit_address_changes(customer: Customer, now: int) -> None:
    """Raise `TooManyAddresses` if nobody could be meant by so many changes but those who get the mails."""
    today = [at for entry in customer.history if (at := from_iso(entry.at)) > now - _DAY]
    if len(today) >= REMEMBERED:
        raise TooManyAddresses(ceil((today[0] + _DAY - now) / 1000))


def pending_notices(customer: Customer, now: int) -> dict[str, AddressChange]:
    """The changed addresses that can still be told. One without a time of its own goes by its step's."""
    steps = {str(entry.sequence): from_iso(entry.at) for entry in customer.history}
    return {
        sequence: change
        for sequence, change in customer.address_changes.items()
        if now - (change.at or steps.get(sequence, 0)) < _TELLABLE
    }


class CustomerStore:
    """Reads and conditional writes of customers."""

    def __init__(self, client: "DynamoDBClient", table: str, shards: int) -> None:
        self._client = client
        self._table = table
        self._shards = shards
        self.unfinished = UnfinishedStore(client, table, "userId", Customer)

    def get(self, user_id: str) -> Customer | None:
        """The customer as they are now (a consistent read)."""
        response = self._client.get_item(
            TableName=self._table, Key=aws.to_item({"userId": user_id}), ConsistentRead=True
        )
        return _customer(aws.from_item(response.get("Item", {})))

    def get_many(self, user_ids: Iterable[str]) -> dict[str, Customer]:
        """The customers as they are now, by id; what does not exist, or is no customer, is left out."""
        items = aws.batch_get(self._client, self._table, "userId", user_ids)
        return {user_id: found for user_id, item in items.items() if (found := parse_or_log(Customer, item, "userId"))}

    def update(
        self, user_id: str, *, name: str, email: str, now: int, correlation_id: str, deadline: Deadline
    ) -> Customer:
        """Give a customer this name and address, and put the event of it into the outbox, in one write.

        Raises
        ------
        ProfileBusy
            If too many earlier changes have not been told yet, or others keep changing the same customer.
        TooManyAddresses
            If the address would change once more on a day that has seen too many changes.
        aws.TransactionConflict
            If there is no time left.
        """
        before = self.get(user_id)
        for _ in range(_TRIES):
            change = changed(before, user_id=user_id, name=name, email=email, now=now, correlation_id=correlation_id)
            if change is None:
                return before or Customer(user_id=user_id, name=name)
            try:
                aws.write(self._client, [self._writing(change)], deadline)
                return change.after
            except aws.ConditionFailed as failed:
                before = _customer(failed.images[0])
                # Our own id in the history means that an earlier try of this write succeeded, its answer lost.
                if before and before.took(change.id):
                    return before
        raise ProfileBusy()

    def clear_address_change(self, user_id: str, sequence: int) -> None:
        """Forget a changed address, if it is still kept: the old and the new one have been told, or given up."""
        with suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.update_item(
                TableName=self._table,
                Key=aws.to_item({"userId": user_id}),
                UpdateExpression="REMOVE addressChanges.#sequence",
                ConditionExpression="attribute_exists(addressChanges)",
                ExpressionAttributeNames={"#sequence": str(sequence)},
            )

    def flag_email(self, user_id: str, email: str, problem: str) -> bool:
        """Mark a customer's address as unusable, if it is still theirs; returns whether it is."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=aws.to_item({"userId": user_id}),
                UpdateExpression="SET emailProblem = :problem",
                ConditionExpression="email = :email",
                ExpressionAttributeValues=aws.to_item({":problem": problem, ":email": email}),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _writing(self, change: ProfileChange) -> "TransactWriteItemTypeDef":
        """The write of a change, if the customer is still at the sequence that was read."""
        before, after = change.before, change.after
        seen = before.sequence if before else 0
        stored = after.model_dump(mode="json", by_alias=True, exclude_none=True)
        stored["unfinished"] = ids.shard(after.user_id, self._shards)
        sets = ["unfinishedSince = if_not_exists(unfinishedSince, :unfinishedSince)"]
        names: dict[str, str] = {}
        values = {":unfinishedSince": stored["unfinishedSince"], ":seen": seen}
        removes = ["emailProblem"] if str(after.sequence) in after.address_changes else []
        changed = ["name", "email", "sequence", "history", "unfinished", "dueAt"]
        if before is None or seen == 0:  # new, or put into the table by somebody else: the maps may not be there yet
            changed += ["outbox", "addressChanges"]
        else:
            names["#key"] = key = str(after.sequence)
            sets.append("outbox.#key = :event")
            values[":event"] = stored["outbox"][key]
            if key in stored["addressChanges"]:
                sets.append("addressChanges.#key = :pair")
                values[":pair"] = stored["addressChanges"][key]
            gone = sorted(before.address_changes.keys() - after.address_changes.keys())
            names |= {f"#gone{n}": sequence for n, sequence in enumerate(gone)}
            removes += [f"addressChanges.#gone{n}" for n in range(len(gone))]
        sets += [f"#{field} = :{field}" for field in changed]
        names |= {f"#{field}": field for field in changed}
        values |= {f":{field}": stored[field] for field in changed}
        return {
            "Update": {
                "TableName": self._table,
                "Key": aws.to_item({"userId": after.user_id}),
                "UpdateExpression": "SET " + ", ".join(sets) + (" REMOVE " + ", ".join(removes) if removes else ""),
                "ConditionExpression": "#sequence = :seen"
                + (" OR attribute_not_exists(#sequence)" if not seen else ""),
                "ExpressionAttributeNames": names,
                "ExpressionAttributeValues": aws.to_item(values),
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }


def _customer(item: dict[str, Any]) -> Customer | None:
    return Customer.model_validate(item) if item else None
