"""Customers: how a profile changes, and the store of customers."""

from collections.abc import Callable
from math import ceil
from typing import TYPE_CHECKING

from handoff import aws
from handoff.aggregate import Transition
from handoff.clock import Deadline, from_iso, to_iso
from handoff.errors import ConcurrentUpdate
from handoff.ids import unique
from handoff.store import AggregateStore
from handoff.unfinished import SWEEP_AFTER
from handoff.update import Attr, Update, put_if
from shop.errors import BeingErased, ProfileBusy, TooManyAddresses
from shop.events import USER_ERASED, USER_PROFILE_UPDATED, ProfileData, UserData
from shop.model import ERASED, AddressChange, Customer, EmailProblem

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

MAX_PENDING_NOTICES = 10  # changes that may wait for their event or their mails; then a customer has to wait
# How long the mails about a changed address can still be sent: its event is at most 4 days in the queue and 14 in the
# dead-letter queue (MessageRetentionPeriod of both in template.yaml).
_NOTICE_PERIOD = 18 * 86_400_000  # ms
_DAY = 86_400_000  # ms
_TRIES = 4
ADDRESS_WRITES = 2  # of a flag: in the spelling of the mail, then in the stored one


def changed(
    before: Customer | None,
    *,
    user_id: str,
    name: str,
    email: str,
    language: str | None = None,
    now: int,
    correlation_id: str,
) -> Transition[Customer] | None:
    """Return the step that gives a customer this name, address and language, or None if nothing changes.

    ``before`` is None for a new customer, ``now`` is in epoch milliseconds. Without a language, the present one stays.
    Another language is no event: earlier releases and consumers know two fields of a profile. The step also lifts the
    flag of the address, even if the address stays the same: the next bounce or complaint flags it again.

    Raises
    ------
    BeingErased
        If the customer's data is being erased. Once that is done, the change creates a new profile.
    ProfileBusy
        If too many earlier changes wait for their event or their mails.
    TooManyAddresses
        If the address would change, or its flag be lifted, on a day that has seen too many changes.
    """
    was = before or Customer(user_id=user_id)
    if was.erasing_since:
        raise BeingErased(was.erasing_since)
    old_name = "" if was.erased_at else was.name
    fields = [field for field, old, new in (("name", old_name, name), ("email", was.email, email)) if old != new]
    moves = not same_mailbox(was.email or "", email)
    lifts = was.email_problem is not None  # saving the same address again means that mail reaches it now
    language = language or was.language
    if not fields and not lifts and language == was.language:
        return None
    if moves or lifts:
        rate_limit_address_changes(was, now)
    notices = pending_notices(was, now)
    if len(was.outbox) >= MAX_PENDING_NOTICES or (moves and len(notices) >= MAX_PENDING_NOTICES):
        raise ProfileBusy()
    changes: dict[str, object] = {"name": name, "email": email, "email_problem": None, "address_changes": notices}
    changes |= {"language": language, "erased_at": None}
    if moves:
        old = "" if was.email_problem else was.email  # no mail goes to a flagged address
        notice = AddressChange(old=old, new=email, at=now)
        changes["address_changes"] = {**notices, str(was.sequence + 1): notice}
    event = (USER_PROFILE_UPDATED, ProfileData(user_id=user_id, changed_fields=tuple(fields))) if fields else None
    return was.step("UPDATED", now, event=event, correlation_id=correlation_id, changes=changes)


def erasure_begun(before: Customer | None, *, user_id: str, now: int, correlation_id: str) -> Transition[Customer]:
    """Return the step with which the erasure of a customer's data begins: the profile is gone at once.

    The addresses of a change stay until the last step, so that the notices about it can still be sent.
    """
    was = before or Customer(user_id=user_id)
    profile = dict.fromkeys(("email", "email_problem", "language", "erased_at"))
    begun = {"name": "", "erasing_since": to_iso(now), "correlation_id": correlation_id}
    return was.step("ERASING", now, changes={**profile, **begun})


def erasure_finished(was: Customer, now: int) -> Transition[Customer]:
    """Return the step with which the erasure of a customer's data ends, and its event.

    The sequence stays, so that no later event has the id of an earlier one. So do the steps of the last day: without
    them, an erasure would reset the limit on changes of the address.
    """
    left = {"name": ERASED, "address_changes": {}, "erased_at": to_iso(now)}
    changes = {**left, "erasing_since": None, "correlation_id": None}
    event = (USER_ERASED, UserData(user_id=was.user_id))
    step = was.step("ERASED", now, event=event, correlation_id=was.correlation_id or unique(), changes=changes)
    recent = tuple(entry for entry in step.after.history if from_iso(entry.at) > now - _DAY)
    return Transition(step.id, step.before, step.after.model_copy(update={"history": recent}))


def rate_limit_address_changes(customer: Customer, now: int) -> None:
    """Raise `TooManyAddresses` after too many changes in a day: each sends mails to unverified addresses."""
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


def same_mailbox(one: str, other: str) -> bool:
    """Return whether two addresses lead to the same mailbox.

    Domains have no case. Mail servers could tell local parts by their case, but none that is in use does (RFC 5321,
    2.4 discourages it).
    """
    return one.casefold() == other.casefold()


class CustomerStore(AggregateStore[Customer]):
    """Reads and conditional writes of customers."""

    def __init__(self, client: "DynamoDBClient", table: str, shards: int) -> None:
        super().__init__(client, table, Customer, shards)

    def update(
        self,
        user_id: str,
        *,
        name: str,
        email: str,
        language: str | None = None,
        now: int,
        correlation_id: str,
        deadline: Deadline,
    ) -> Customer:
        """Give a customer this name, address and language, with the event about it, in one write.

        Raises
        ------
        BeingErased
            If the customer's data is being erased.
        ProfileBusy
            If too many earlier changes wait for their event or their mails, or others keep changing the customer.
        TooManyAddresses
            If the address would change once more on a day that has seen too many changes.
        TransactionConflict
            If no time is left.
        """
        before = self.get(user_id)
        for _ in range(_TRIES):
            change = changed(
                before,
                user_id=user_id,
                name=name,
                email=email,
                language=language,
                now=now,
                correlation_id=correlation_id,
            )
            if change is None:
                return before or Customer(user_id=user_id, name=name)
            try:
                return self.write(change, deadline)
            except ConcurrentUpdate as update:
                before = update.current
        raise ProfileBusy()

    def begin_erasure(self, user_id: str, *, now: int, correlation_id: str, deadline: Deadline) -> Customer:
        """Begin to erase a customer's data, unless that has begun; return the customer.

        From then on no new order of the customer is accepted: `OrderStore.reserve` checks it in its transaction.

        Raises
        ------
        ProfileBusy
            If others keep changing the customer.
        TransactionConflict
            If no time is left.
        """
        before = self.get(user_id)
        for _ in range(_TRIES):
            if before and before.erasing_since:
                return before
            try:
                step = erasure_begun(before, user_id=user_id, now=now, correlation_id=correlation_id)
                return self.write(step, deadline)
            except ConcurrentUpdate as update:
                before = update.current
        raise ProfileBusy()

    def finish_erasure(self, customer: Customer, now: int, deadline: Deadline) -> Customer:
        """Replace the item by one without personal data, also without attributes that other programs have added.

        Raises
        ------
        aws.ConditionFailed
            If the customer has changed since it was read.
        TransactionConflict
            If others keep changing the item, or no time is left.
        """
        step = erasure_finished(customer, now)
        keys = {"unfinished": self.shard(customer.key), "dueAt": now + SWEEP_AFTER, "unfinishedSince": now}
        replaced = put_if(self._table, step.after.dump() | keys, Attr("sequence").eq(customer.sequence))
        aws.write(self._client, [replaced], deadline)
        return step.after

    def clear_address_change(self, user_id: str, sequence: int) -> None:
        """Remove a changed address, if it is still kept: its mails are sent, or failed permanently."""
        update = self._customer(user_id).remove(f"addressChanges.{sequence}").when(Attr("addressChanges").exists())
        self._write_if(update)

    def flag_email(self, user_id: str, address: str, problem: EmailProblem) -> bool:
        """Flag a customer's address as unusable; return whether a mail to ``address`` was one to the customer's."""
        return self._update_address(user_id, address, lambda customer: customer.set("emailProblem", problem))

    def lift_complaint(self, user_id: str, address: str) -> bool:
        """Remove the flag of a complaint about mail to ``address``; return whether the customer's address had it."""
        complained = Attr("emailProblem").eq("complained")
        return self._update_address(user_id, address, lambda customer: customer.remove("emailProblem").when(complained))

    def _update(self, step: Transition[Customer], seen: Customer) -> Update:
        """Return the update that writes a step. A new address does not get a flag of the old one from meanwhile."""
        update = super()._update(step, seen)
        had_flag = step.before.email_problem is not None  # the step itself removes it
        return update if had_flag or step.after.email == step.before.email else update.remove("emailProblem")

    def _update_address(self, user_id: str, address: str, change: Callable[[Update], Update]) -> bool:
        """Change a customer whose address is this one, in any spelling; return whether it is."""
        stored: str | None = address
        for _ in range(ADDRESS_WRITES):
            if stored is None or not same_mailbox(stored, address):
                return False
            try:
                update = change(self._customer(user_id)).when(Attr("email").eq(stored))
                self._client.update_item(**update.members())
            except self._client.exceptions.ConditionalCheckFailedException as error:
                before, stored = stored, aws.current_item(error).get("email")
                if stored == before:
                    return False
            else:
                return True
        return False

    def _customer(self, user_id: str) -> Update:
        return Update(self._table, {"userId": user_id})

    def _write_if(self, update: Update) -> bool:
        try:
            self._client.update_item(**update.members())
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True
