"""Customers: how a profile changes, and the store of customers."""

from math import ceil
from typing import TYPE_CHECKING

from handoff.aggregate import Transition
from handoff.clock import Deadline, from_iso
from handoff.errors import ConcurrentUpdate
from handoff.store import AggregateStore
from handoff.update import Attr, Update
from shop.errors import ProfileBusy, TooManyAddresses
from shop.events import USER_PROFILE_UPDATED, ProfileData
from shop.model import AddressChange, Customer

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

MAX_PENDING_NOTICES = 10  # changes that may wait for their event or their mails; then a customer has to wait
# How long the mails about a changed address can still be sent: its event is at most 4 days in the queue and 14 in the
# dead-letter queue (MessageRetentionPeriod of both in template.yaml).
_NOTICE_PERIOD = 18 * 86_400_000  # ms
_DAY = 86_400_000  # ms
_TRIES = 4


def changed(
    before: Customer | None, *, user_id: str, name: str, email: str, now: int, correlation_id: str
) -> Transition[Customer] | None:
    """Return the step that gives a customer this name and address, or None if nothing changes.

    ``before`` is None for a new customer, ``now`` is in epoch milliseconds.

    Raises
    ------
    ProfileBusy
        If too many earlier changes wait for their event or their mails.
    TooManyAddresses
        If the address would change once more on a day that has seen too many changes.
    """
    was = before or Customer(user_id=user_id, name="")
    fields = [field for field, old, new in (("name", was.name, name), ("email", was.email, email)) if old != new]
    if not fields:
        return None
    if "email" in fields:
        rate_limit_address_changes(was, now)
    notices = pending_notices(was, now)
    if len(was.outbox) >= MAX_PENDING_NOTICES or ("email" in fields and len(notices) >= MAX_PENDING_NOTICES):
        raise ProfileBusy()
    changes: dict[str, object] = {"name": name, "email": email, "address_changes": notices}
    if "email" in fields:
        old = "" if was.email_problem else was.email  # no mail goes to a flagged address
        notice = AddressChange(old=old, new=email, at=now)
        changes |= {"email_problem": None, "address_changes": {**notices, str(was.sequence + 1): notice}}
    data = ProfileData(user_id=user_id, changed_fields=tuple(fields))
    return was.step("UPDATED", now, event=(USER_PROFILE_UPDATED, data), correlation_id=correlation_id, changes=changes)


def rate_limit_address_changes(customer: Customer, now: int) -> None:
    """Raise `TooManyAddresses` after too many changes in a day: each mails two unverified addresses."""
    today = [at for entry in customer.history if (at := from_iso(entry.at)) > now - _DAY]
    if len(today) >= Customer.HISTORY_LIMIT:
        raise TooManyAddresses(ceil((today[0] + _DAY - now) / 1000))


def pending_notices(customer: Customer, now: int) -> dict[str, AddressChange]:
    """Return the changed addresses whose mails can still be sent. One without a time has the time of its step."""
    steps = {str(entry.sequence): from_iso(entry.at) for entry in customer.history}
    return {
        sequence: change
        for sequence, change in customer.address_changes.items()
        if now - (change.at or steps.get(sequence, 0)) < _NOTICE_PERIOD
    }


class CustomerStore(AggregateStore[Customer]):
    """Reads and conditional writes of customers."""

    def __init__(self, client: "DynamoDBClient", table: str, shards: int) -> None:
        super().__init__(client, table, Customer, shards)

    def update(
        self, user_id: str, *, name: str, email: str, now: int, correlation_id: str, deadline: Deadline
    ) -> Customer:
        """Give a customer this name and address, with the event about it, in one write.

        Raises
        ------
        ProfileBusy
            If too many earlier changes wait for their event or their mails, or others keep changing the customer.
        TooManyAddresses
            If the address would change once more on a day that has seen too many changes.
        TransactionConflict
            If no time is left.
        """
        before = self.get(user_id)
        for _ in range(_TRIES):
            change = changed(before, user_id=user_id, name=name, email=email, now=now, correlation_id=correlation_id)
            if change is None:
                return before or Customer(user_id=user_id, name=name)
            try:
                return self.write(change, deadline)
            except ConcurrentUpdate as update:
                before = update.current
        raise ProfileBusy()

    def clear_address_change(self, user_id: str, sequence: int) -> None:
        """Remove a changed address, if it is still kept: its mails are sent, or failed permanently."""
        update = self._customer(user_id).remove(f"addressChanges.{sequence}").when(Attr("addressChanges").exists())
        self._write_if(update)

    def flag_email(self, user_id: str, email: str, problem: str) -> bool:
        """Flag a customer's address as unusable; return whether it is still the customer's address."""
        return self._write_if(self._customer(user_id).set("emailProblem", problem).when(Attr("email").eq(email)))

    def _customer(self, user_id: str) -> Update:
        return Update(self._table, {"userId": user_id})

    def _write_if(self, update: Update) -> bool:
        try:
            self._client.update_item(**update.members())
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True
