"""Events that SES publishes about bounces and complaints.

Source: https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
"""

from typing import Literal

from pydantic import Field, TypeAdapter, ValidationError

from handoff.clock import from_iso
from handoff.errors import PermanentError
from handoff.events import Id
from handoff.model import Model
from shop.mail_tags import user_id_of

_ID = TypeAdapter(Id)


class Recipient(Model):
    """One address that a mail went to."""

    email_address: str


class Bounce(Model):
    """A mail that bounced. Only a permanent bounce is a problem of the address."""

    bounce_type: str
    bounced_recipients: tuple[Recipient, ...]


class Complaint(Model):
    """A mail that its recipient complained about."""

    complained_recipients: tuple[Recipient, ...]


class Tags(Model):
    """The tags of the mail; one of them identifies the customer."""

    user: tuple[str, ...] = Field(min_length=1)


class SentMail(Model):
    """The mail that the event is about."""

    tags: Tags


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
    def problem(self) -> Literal["bounced", "complained"] | None:
        """The problem with the address; None for a transient bounce."""
        if self.detail.complaint:
            return "complained"
        bounce = self.detail.bounce
        return "bounced" if bounce and bounce.bounce_type == "Permanent" else None

    @property
    def addresses(self) -> list[str]:
        """The addresses that the event is about."""
        bounced = self.detail.bounce.bounced_recipients if self.detail.bounce else ()
        complained = self.detail.complaint.complained_recipients if self.detail.complaint else ()
        return [recipient.email_address for recipient in (*bounced, *complained)]


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
