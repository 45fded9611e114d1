"""Bounces and complaints: the address is flagged and gets no mail until it changes or its customer saves it again."""

import json

import pytest

from dev.simulated import wire
from shop.customers import MAX_PENDING_NOTICES
from shop.mail_tags import tag_of
from shop.model import Customer

FEEDBACK, EMAILS = "FeedbackFunction", "EmailsFunction"
BOUNCE = {"bounceType": "Permanent", "bouncedRecipients": [{"emailAddress": "ada@example.com"}]}
COMPLAINT = {"complainedRecipients": [{"emailAddress": "ada@example.com"}]}


def report(user="ada", sent_to="ada@example.com", **detail):
    """Return a report from SES as EventBridge delivers it."""
    mail = {"tags": {"user": [tag_of(user)], "ses:operation": ["SendEmail"]}, "destination": [sent_to]}
    return json.dumps(
        {
            "version": "0",
            "id": "11111111-2222-3333-4444-555555555555",
            "detail-type": "Email Bounced",
            "source": "aws.ses",
            "time": "2026-11-23T10:00:00Z",
            "detail": {"mail": mail, **detail},
        }
    )


def deliver(world, text):
    world.queues.send(FEEDBACK, text)
    world.queues.deliver(FEEDBACK)
    assert world.queues.waiting(FEEDBACK) == 0


def complaint(kind):
    """Return a report about a mail whose type is the mailbox provider's."""
    return report(complaint=COMPLAINT | ({"complaintFeedbackType": kind} if kind else {}))


def problem(world):
    return world.item("CustomersTable", userId="ada").get("emailProblem")


def put(world, email="ada@example.com", name="Ada"):
    return world.api("ada").call("PUT", "/me", json.dumps({"name": name, "email": email}))


def flagged(world, problem):
    world.customer(email="ada@example.com", name="Ada", emailProblem=problem)


def test_a_mail_is_tagged_with_its_customer_in_ses_characters(world, order_id):
    world.queues.deliver(EMAILS)

    (call,) = world.wire.named("sesv2.SendEmail")
    assert call.request["EmailTags"] == [{"Name": "user", "Value": tag_of("ada")}]
    assert call.request["ConfigurationSetName"].endswith("-mail")
    assert tag_of("auth0|äöü").replace("-", "").replace("_", "").isalnum()


# --- the types of reports ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("detail", "marked"), [({"bounce": BOUNCE}, "bounced"), ({"complaint": COMPLAINT}, "complained")]
)
def test_a_bouncing_address_is_flagged(world, detail, marked):
    deliver(world, report(**detail))

    assert problem(world) == marked


def test_a_flagged_address_gets_no_mail(world, order_id):
    deliver(world, report(bounce=BOUNCE))

    world.queues.until_quiet(EMAILS)

    assert world.mails() == []
    assert world.queues.dead_letters(EMAILS) == []


@pytest.mark.parametrize("kind", ["Transient", "Undetermined"])
def test_a_transient_bounce_flags_nothing(world, kind):
    deliver(world, report(bounce=BOUNCE | {"bounceType": kind}))

    assert problem(world) is None


@pytest.mark.parametrize("kind", [None, "abuse", "fraud", "other", "a later type"])
def test_a_complaint_flags_the_address(world, kind):
    deliver(world, complaint(kind))

    assert problem(world) == "complained"


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure", "virus"])
def test_a_report_that_is_no_complaint_of_the_recipient_flags_nothing(world, kind, printed):
    printed()
    deliver(world, complaint(kind))

    assert problem(world) is None
    assert sum(printed()["EventsSkipped"].values) == 1


def test_a_mail_rescued_from_the_spam_folder_lifts_the_complaint(world, printed):
    flagged(world, "complained")

    deliver(world, complaint("not-spam"))

    assert problem(world) is None
    assert "EventsSkipped" not in printed()


def test_a_rescued_mail_does_not_lift_a_bounce(world):
    flagged(world, "bounced")

    deliver(world, complaint("not-spam"))

    assert problem(world) == "bounced"


# --- whose address it is ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", ["Ada@Example.com", "ada@EXAMPLE.com", "ADA@example.com"])
@pytest.mark.parametrize("sent_to", ["ada@example.com", "Ada@Example.com"])
def test_an_address_is_flagged_in_any_spelling(world, stored, sent_to):
    world.customer(email=stored)

    deliver(world, report(sent_to=sent_to, bounce=BOUNCE))

    assert problem(world) == "bounced"
    assert world.item("CustomersTable", userId="ada")["email"] == stored


def test_the_address_mailed_counts_rather_than_the_one_a_server_reports(world):
    # GIVEN a mailbox that forwards, and whose final server reports its own address
    recipients = [{"emailAddress": "countess@other.example"}]

    deliver(world, report(bounce=BOUNCE | {"bouncedRecipients": recipients}))

    assert problem(world) == "bounced"


def test_a_former_address_is_not_flagged(world, printed):
    printed()
    deliver(world, report(sent_to="old@example.com", bounce=BOUNCE))

    assert problem(world) is None
    assert sum(printed()["EventsSkipped"].values) == 1


def test_a_new_address_is_not_flagged_for_a_bounce_of_the_old_one_meanwhile(world):
    # GIVEN a bounce that is reported between the read of the customer and the write of the new address
    world.wire.on(
        "dynamodb.UpdateItem",
        wire.meanwhile(lambda: deliver(world, report(bounce=BOUNCE))),
        where=world.touching("CustomersTable"),
    )

    assert put(world, "ada@new.example").status == 200

    customer = world.item("CustomersTable", userId="ada")
    assert (customer["email"], problem(world)) == ("ada@new.example", None)


def test_a_deleted_customer_is_not_recreated(world):
    deliver(world, report(user="unknown", bounce=BOUNCE))

    assert world.item("CustomersTable", userId="unknown") == {}


# --- what a customer can lift -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("marked", ["bounced", "complained"])
@pytest.mark.parametrize("email", ["ada@example.com", "Ada@Example.com", "lovelace@example.com"])
def test_saving_an_address_lifts_its_flag(world, order_id, marked, email):
    flagged(world, marked)

    answer = put(world, email)

    assert (answer.status, answer.json) == (200, {"userId": "ada", "name": "Ada", "email": email})
    assert problem(world) is None
    world.queues.until_quiet(EMAILS)
    assert email in {mail["to"] for mail in world.mails() if mail["subject"] == "Your order is confirmed"}


def test_saving_the_same_address_sends_no_notice_and_no_event(world):
    flagged(world, "bounced")

    put(world)

    assert (world.events(), world.mails()) == ([], [])
    assert world.item("CustomersTable", userId="ada")["sequence"] == 1


def test_the_next_bounce_flags_a_saved_address_again(world):
    flagged(world, "bounced")
    put(world)

    deliver(world, report(bounce=BOUNCE))

    assert problem(world) == "bounced"


def test_lifting_is_limited_per_day(world):
    for _ in range(Customer.HISTORY_LIMIT):
        world.change("CustomersTable", {"userId": "ada"}, emailProblem="complained")
        assert put(world).status == 200
        world.clock.forward(60)
    world.change("CustomersTable", {"userId": "ada"}, emailProblem="complained")

    answer = put(world)

    assert (answer.status, answer.problem) == (429, "too-many-addresses")
    assert problem(world) == "complained"


def test_another_spelling_of_the_address_is_an_event_without_mails(world):
    put(world)
    world.queues.until_quiet(EMAILS)
    mails = len(world.mails())
    for n in range(MAX_PENDING_NOTICES + 1):  # more than could wait as notices
        answer = put(world, "Ada@Example.com" if n % 2 == 0 else "ada@example.com")
        assert answer.status == 200

    world.queues.until_quiet(EMAILS)

    assert world.item("CustomersTable", userId="ada")["email"] == "Ada@Example.com"
    assert world.events()[-1]["Detail"]["data"]["changedFields"] == ["email"]
    assert len(world.mails()) == mails


# --- malformed reports ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "{}",
        report(bounce=BOUNCE).replace('"user"', '"other"'),
        report(bounce=BOUNCE).replace('"destination"', '"to"'),
    ],
)
def test_an_invalid_report_is_a_dead_letter_with_its_reason(world, text):
    deliver(world, text)

    (letter,) = world.queues.dead_letters(FEEDBACK)
    assert letter.body == text
    assert letter.attributes["reason"].startswith("not an event of SES")
