"""Events that SES publishes about bounces and complaints.

Source: https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, TypeAdapter, ValidationError

from handoff.clock import from_iso
from handoff.errors import PermanentError
from handoff.events import Id
from handoff.model import Model
from shop.mail_tags import user_id_of
from shop.model import EmailProblem

_ID = TypeAdapter(Id)
Finding = EmailProblem | Literal["rescued"]
# A complaint's type is the Feedback-Type of the mailbox provider's report. Of these, only the absent ones are wishes of
# the recipient not to get mails: `abuse`, `fraud`, `other`, and types that are not known.
# https://www.iana.org/assignments/marf-parameters/marf-parameters.xhtml
_FINDINGS: Mapping[str, Finding | None] = {
    "not-spam": "rescued",  # the recipient has moved the mail out of the spam folder
    "auth-failure": None,  # the provider could not verify the sender
    "virus": None,
}


class Bounce(Model):
    """A mail that bounced. Only a permanent bounce is a problem of the address."""

    bounce_type: str


class Complaint(Model):
    """A report about a mail that was delivered; None if the recipient's mailbox provider names no type."""

    complaint_feedback_type: str | None = None


class Tags(Model):
    """The tags of the mail; one of them identifies the customer."""

    user: tuple[str, ...] = Field(min_length=1)


class SentMail(Model):
    """The mail that the event is about; ``destination`` is the address that it was sent to."""

    tags: Tags
    destination: tuple[str, ...] = Field(min_length=1, max_length=1)


class Detail(Model):
    """A bounce or a complaint."""

    mail: SentMail
    bounce: Bounce | None = None
    complaint: Complaint | None = None


class MailEvent(Model):
    """An event from SES as EventBridge delivers it; only the fields that are used."""

    id: Id
    time: str
    detail: Detail

    @property
    def event_id(self) -> str:
        """The id from EventBridge."""
        return self.id

    @property
    def happened_at(self) -> int:
        """The time of the event, in epoch milliseconds."""
        return from_iso(self.time)

    @property
    def log_keys(self) -> dict[str, str]:
        """Keys added to every log line about this event."""
        return {"event_id": self.id}

    @property
    def user_id(self) -> str:
        """The customer to whom the mail was sent."""
        return user_id_of(self.detail.mail.tags.user[0])

    @property
    def finding(self) -> Finding | None:
        """The finding about the address; None if the event has none."""
        complaint, bounce = self.detail.complaint, self.detail.bounce
        if complaint:
            return _FINDINGS.get(complaint.complaint_feedback_type or "", "complained")
        return "bounced" if bounce and bounce.bounce_type == "Permanent" else None

    @property
    def address(self) -> str:
        """The address that the mail was sent to.

        The one that the report names is not used: the recipient's mail server wrote it, in a spelling of its own, or
        as the address that it forwards to.
        """
        return self.detail.mail.destination[0]


def read(body: str) -> MailEvent:
    """Parse the event in a message.

    Raises
    ------
    PermanentError
        If the message is not such an event. The text has the names of the invalid fields, but no values.
    """
    try:
        event = MailEvent.model_validate_json(body)
    except ValidationError as error:
        fields = sorted({".".join(map(str, problem["loc"])) or "body" for problem in error.errors()})
        raise PermanentError(f"not an event of SES: {', '.join(fields)[:200]}") from None  # the error has values
    try:
        _ = event.happened_at, _ID.validate_python(event.user_id)
    except ValueError:
        raise PermanentError("not an event of SES: time or tags") from None
    return event
