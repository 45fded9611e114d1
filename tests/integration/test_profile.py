"""Profiles: changes, notices to old and new addresses, and events that are never lost."""

import json

import pytest

from dev.simulated import wire
from dev.simulated.messages import replayed
from dev.simulated.world import body
from handoff.consumer import BACKOFF
from shop.customers import MAX_PENDING_NOTICES
from shop.model import Customer

EMAILS = "EmailsFunction"
DAY = 86_400  # seconds
COMES_BACK = 1086  # just longer than the queue's visibility timeout, in seconds
REFUSED = wire.refuse("AccessDeniedException")
ADA = {"name": "Ada Lovelace", "email": "ada@example.com"}


@pytest.fixture
def api(world):
    """The API with the token of a user without a profile."""
    return world.api("grace")


def put(api, **profile):
    return api.call("PUT", "/me", json.dumps({"name": "Grace", "email": "grace@example.com"} | profile))


def stored(world):
    return world.item("CustomersTable", userId="grace")


def sent(world):
    return [(mail["to"], mail["subject"]) for mail in world.mails()]


def test_a_new_customer_has_no_profile_until_they_put_one(api):
    missing = api.get("/me")
    assert (missing.status, missing.problem) == (404, "no-profile")

    answer = put(api)

    assert (answer.status, answer.json) == (200, {"userId": "grace", "name": "Grace", "email": "grace@example.com"})
    assert api.get("/me").json == answer.json


def test_a_customer_created_by_another_program_can_change(world):
    world.customer("ada", loyalty="gold")
    ada = world.api("ada")

    assert put(ada, name="Ada Lovelace").status == 200
    assert put(ada, name="Ada").status == 200

    assert world.item("CustomersTable", userId="ada")["loyalty"] == "gold"
    assert len(world.events()) == 2


def test_a_change_is_one_event_with_the_changed_fields(world, api):
    put(api)
    put(api, name="Grace Hopper", email="hopper@example.com")

    first, second = world.events()
    assert first["DetailType"] == second["DetailType"] == "user_profile_updated"
    assert second["Detail"]["data"] == {"userId": "grace", "changedFields": ["name", "email"]}
    assert second["Detail"]["metadata"]["sequence"] == 2
    assert second["Detail"]["metadata"]["eventId"] == "grace-2"


def test_the_event_has_neither_name_nor_address(world, api):
    put(api, name="Grace Hopper")

    assert "Hopper" not in json.dumps(world.events())
    assert "@" not in json.dumps(world.events()[0]["Detail"]["data"])


def test_an_unchanged_profile_publishes_no_event(world, api):
    put(api)
    answer = put(api)

    assert answer.status == 200
    assert len(world.wire.named("eventbridge.PutEvents")) == 1
    # the next change is published
    put(api, name="Grace Hopper")
    assert len(world.events()) == 2


def test_an_address_change_notifies_the_old_and_the_new_address(world, api):
    put(api)
    world.queues.until_quiet(EMAILS)
    put(api, email="hopper@example.com")
    world.queues.until_quiet(EMAILS)

    changed = "Your e-mail address was changed"
    assert sent(world) == [
        ("grace@example.com", changed),
        ("grace@example.com", changed),
        ("hopper@example.com", changed),
    ]
    assert stored(world)["addressChanges"] == {}


def test_each_of_several_changes_notifies_both_addresses(world, api):
    for email in ("one@example.com", "two@example.com", "three@example.com"):
        put(api, email=email)
    world.queues.until_quiet(EMAILS)

    assert sorted(to for to, _ in sent(world)) == [
        "one@example.com",
        "one@example.com",
        "three@example.com",
        "two@example.com",
        "two@example.com",
    ]


def test_a_changed_name_sends_no_mail(world, api):
    put(api)
    world.queues.until_quiet(EMAILS)
    put(api, name="Grace Hopper")
    world.queues.until_quiet(EMAILS)

    assert len(world.mails()) == 1


def test_a_notice_is_pending_until_both_addresses_are_notified(world, api, printed):
    # GIVEN a change whose second mail fails
    put(api)
    world.queues.until_quiet(EMAILS)
    put(api, email="hopper@example.com")
    changed_at = world.clock.ms
    world.wire.on("sesv2.SendEmail", wire.refuse("TooManyRequestsException", 429), nth=2)
    world.queues.deliver(EMAILS)
    pair = {"old": "grace@example.com", "new": "hopper@example.com", "at": changed_at}
    assert stored(world)["addressChanges"] == {"2": pair}

    # WHEN it is retried
    world.clock.forward(11)
    printed()
    world.queues.until_quiet(EMAILS)

    # THEN both addresses are notified once, and the event is not a repeat
    assert [to for to, _ in sent(world)] == ["grace@example.com", "grace@example.com", "hopper@example.com"]
    assert "EventsRepeated" not in printed()
    assert stored(world)["addressChanges"] == {}


@pytest.mark.parametrize(("refused", "reached"), [("old", "new@example.com"), ("new", "old@example.com")])
def test_a_rejected_address_does_not_stop_mail_to_the_other_one(world, api, refused, reached):
    # GIVEN a mail service that permanently rejects one of the two addresses
    put(api, email="old@example.com")
    world.queues.until_quiet(EMAILS)
    put(api, email="new@example.com")
    address = f"{refused}@example.com"
    world.wire.always(
        "sesv2.SendEmail", wire.refuse("BadRequestException"), where=lambda call: address in str(call.request)
    )
    # WHEN the event is handled
    world.queues.deliver(EMAILS)
    # THEN the other address is notified, the event is a dead letter with its reason, and no notice is kept
    assert [to for to, _ in sent(world)][1:] == [reached]
    (letter,) = world.queues.dead_letters(EMAILS)
    assert "address" in letter.attributes["reason"]
    assert stored(world)["addressChanges"] == {}


def test_rejected_addresses_do_not_block_further_changes(world, api):
    world.wire.always("sesv2.SendEmail", wire.refuse("BadRequestException"))
    for n in range(MAX_PENDING_NOTICES + 1):
        assert put(api, email=f"grace{n}@example.com").status == 200
        world.queues.deliver(EMAILS)


def test_a_change_too_old_to_notify_keeps_no_address(world, api):
    # GIVEN an event that is 31 days late
    put(api)
    world.queues.until_quiet(EMAILS)
    put(api, email="hopper@example.com")
    event = world.events()[-1]
    world.client("sqs").purge_queue(QueueUrl=world.stack.resource("EmailsQueue").ref)
    world.clock.forward(31 * DAY)
    # WHEN its event arrives
    world.queues.send(EMAILS, replayed(event))
    world.queues.deliver(EMAILS)
    # THEN no mail is sent, and the notice is cleared
    assert len(sent(world)) == 1
    assert stored(world)["addressChanges"] == {}


@pytest.mark.parametrize("by_now", ["gone", "created again"])
def test_a_change_too_old_to_notify_without_a_notice_is_skipped(world, api, printed, by_now):
    # GIVEN an event that is 31 days late, and a customer without a pending notice
    put(api)
    event = world.events()[-1]
    world.client("sqs").purge_queue(QueueUrl=world.stack.resource("EmailsQueue").ref)
    world.clock.forward(31 * DAY)
    world.client("dynamodb").delete_item(TableName=world.table("CustomersTable"), Key={"userId": {"S": "grace"}})
    if by_now != "gone":
        world.customer("grace")
    before = stored(world)
    printed()
    # WHEN its event arrives
    world.queues.send(EMAILS, replayed(event))
    world.queues.deliver(EMAILS)
    # THEN it is skipped, and no customer is created
    assert printed()["EventsSkipped"].values == [1.0]
    assert world.queues.waiting(EMAILS) == 0
    assert stored(world) == before


@pytest.mark.parametrize("fault", [wire.crash_before, wire.cannot_connect], ids=["crashed", "unreachable"])
def test_a_rejected_address_becomes_a_dead_letter_on_the_next_try(world, api, fault):
    # GIVEN an address that the mail service rejects, and a dead letter that cannot be sent
    put(api)
    world.wire.always("sesv2.SendEmail", wire.refuse("BadRequestException"))
    world.wire.always("sqs.SendMessage", fault)
    world.queues.deliver(EMAILS)
    assert world.queues.dead_letters(EMAILS) == []

    # WHEN the event is redelivered
    world.wire.heal()
    world.wire.always("sesv2.SendEmail", wire.refuse("BadRequestException"))
    world.clock.forward(COMES_BACK)
    world.queues.deliver(EMAILS)

    # THEN it becomes a dead letter, and the notice is cleared
    (letter,) = world.queues.dead_letters(EMAILS)
    assert "address" in letter.attributes["reason"]
    assert stored(world)["addressChanges"] == {}


@pytest.mark.parametrize("fault", [wire.crash_before, REFUSED], ids=["crashed", "refused"])
@pytest.mark.parametrize("tries_before", [0, 1])
def test_a_notice_not_cleared_with_its_dead_letter_is_cleared_next(world, api, fault, tries_before):
    # GIVEN a rejected address whose dead letter was sent, and a notice that could not be cleared
    put(api)
    for _ in range(tries_before):
        world.wire.on("sesv2.SendEmail", wire.crash_before)
        world.queues.deliver(EMAILS)
        world.clock.forward(COMES_BACK)
    world.wire.always("sesv2.SendEmail", wire.refuse("BadRequestException"))
    world.wire.on("dynamodb.UpdateItem", fault, where=world.touching("CustomersTable"))
    world.queues.deliver(EMAILS)
    assert stored(world)["addressChanges"].keys() == {"1"}

    # WHEN the event is redelivered
    world.clock.forward(COMES_BACK)
    world.queues.deliver(EMAILS)

    # THEN the notice is cleared, and there is a second dead letter
    assert stored(world)["addressChanges"] == {}
    assert len(world.queues.dead_letters(EMAILS)) == 2
    assert world.queues.waiting(EMAILS) == 0


@pytest.fixture
def pending_notices(world, api):
    """The maximum of pending notices, whose mails were all rejected: all events are dead letters."""
    world.wire.always("sesv2.SendEmail", wire.refuse("MessageRejected"))
    for n in range(MAX_PENDING_NOTICES):
        assert put(api, email=f"grace{n}@example.com").status == 200
    for _ in range(6):
        world.queues.deliver(EMAILS)
        world.clock.forward(max(BACKOFF) + 1)
    assert len(world.queues.dead_letters(EMAILS)) == MAX_PENDING_NOTICES
    return stored(world)


def test_address_changes_are_rate_limited(world, api):
    # GIVEN a customer who has changed the address every hour for most of a day
    for n in range(Customer.HISTORY_LIMIT):
        assert put(api, email=f"stranger{n}@example.com").status == 200
        world.queues.until_quiet(EMAILS)
        world.clock.forward(3_600)
    mails = len(world.mails())
    # WHEN the address is changed again
    answer = put(api, email="hopper@example.com")
    # THEN the change is rejected until the first is a day old, but other changes are not
    assert (answer.status, answer.problem) == (429, "too-many-addresses")
    wait = int(answer.headers["retry-after"])
    assert 0 < wait <= DAY - Customer.HISTORY_LIMIT * 3_600
    assert put(api, name="Grace Hopper", email=f"stranger{Customer.HISTORY_LIMIT - 1}@example.com").status == 200
    world.queues.until_quiet(EMAILS)
    assert len(world.mails()) == mails
    assert put(api, email="hopper@example.com").status == 429
    world.clock.forward(wait + 3_700)  # the changed name counts as well
    assert put(api, email="hopper@example.com").status == 200


def test_a_mail_to_an_unverified_address_has_no_customer_input(world, api):
    assert put(api, name="Visit https://evil.example", email="stranger@example.com").status == 400
    assert put(api, name="Visit evil example", email="stranger@example.com").status == 200
    world.queues.until_quiet(EMAILS)
    assert "evil" not in str(world.mails()[0])


def without_time(customer):
    """Return the item in its older form, in which notices have no time."""
    pairs = {key: {"old": pair.get("old"), "new": pair["new"]} for key, pair in customer["addressChanges"].items()}
    return {**customer, "addressChanges": pairs}


def test_pending_notices_do_not_block_a_change_of_the_name(world, api, pending_notices):
    assert put(api, email="hopper@example.com").problem == "profile-busy"

    assert put(api, name="Grace Hopper", email=pending_notices["email"]).status == 200

    assert stored(world)["addressChanges"] == pending_notices["addressChanges"]


@pytest.mark.parametrize("written", [dict, without_time], ids=["with its time", "without"])
def test_expired_notices_are_cleared_by_the_next_change(world, api, pending_notices, written):
    # GIVEN pending notices, and a time after which no queue has their events
    world.put("CustomersTable", written(pending_notices))
    queues = world.stack.template.of_type("AWS::SQS::Queue")
    kept = sum(queues[name]["MessageRetentionPeriod"] for name in ("EmailsQueue", "EmailsDeadLetters"))
    world.clock.forward(kept - 7 * 3_600)
    assert put(api, email="hopper@example.com").status == 503
    # WHEN this time has passed
    world.clock.forward(7 * 3_600)
    # THEN the address can be changed and is notified, and the old notices are cleared
    assert put(api, email="hopper@example.com").status == 200
    assert stored(world)["addressChanges"].keys() == {str(MAX_PENDING_NOTICES + 1)}
    world.wire.heal()
    world.queues.until_quiet(EMAILS)
    assert [to for to, _ in sent(world)] == [pending_notices["email"], "hopper@example.com"]
    assert stored(world)["addressChanges"] == {}


def test_a_notice_without_a_time_or_history_entry_is_not_kept(world, api, pending_notices):
    world.put("CustomersTable", {**without_time(pending_notices), "history": []})

    assert put(api, email="hopper@example.com").status == 200

    assert stored(world)["addressChanges"].keys() == {str(MAX_PENDING_NOTICES + 1)}


def test_a_notice_without_a_time_is_sent(world, api):
    put(api)
    world.put("CustomersTable", without_time(stored(world)))

    world.queues.until_quiet(EMAILS)

    assert [to for to, _ in sent(world)] == ["grace@example.com"]


def test_a_bounced_old_address_is_not_mailed(world, api):
    # GIVEN an address with bounces
    put(api)
    world.queues.until_quiet(EMAILS)
    world.change("CustomersTable", {"userId": "grace"}, emailProblem="bounced")
    # WHEN it is changed
    put(api, email="hopper@example.com")
    world.queues.until_quiet(EMAILS)
    # THEN only the new one is notified
    assert [to for to, _ in sent(world)] == ["grace@example.com", "hopper@example.com"]


def test_a_change_already_notified_at_both_addresses_is_a_repeat(world, api, printed):
    # GIVEN a change that was notified, and whose notice could not be cleared
    put(api)
    world.queues.until_quiet(EMAILS)
    put(api, email="hopper@example.com")
    world.wire.on("dynamodb.UpdateItem", REFUSED, where=world.touching("CustomersTable"))
    world.queues.deliver(EMAILS)

    # WHEN it is retried
    world.clock.forward(11)
    printed()
    world.queues.deliver(EMAILS)

    # THEN no mail is sent, and it counts as one repeat
    metrics = printed()
    assert metrics["EventsRepeated"].values == [1.0]
    assert "MailsSent" not in metrics


def test_the_sweeper_publishes_an_event_that_the_bus_rejected(world, api):
    world.wire.on("eventbridge.PutEvents", wire.refuse("InternalFailure", 500))
    assert put(api).status == 200
    assert list(stored(world)["outbox"]) == ["1"]

    world.settle_down(2)

    assert len(world.events()) == 1
    assert stored(world)["outbox"] == {}
    assert "unfinished" not in stored(world)


def test_a_later_change_keeps_the_age_of_unfinished_work(world, api):
    world.wire.always("eventbridge.PutEvents", wire.refuse("InternalFailure", 500))
    put(api)
    since = stored(world)["unfinishedSince"]
    world.clock.forward(30)

    put(api, name="Grace Hopper")

    assert stored(world)["unfinishedSince"] == since


def test_an_index_entry_of_a_finished_customer_is_removed(world, api):
    put(api)
    now = world.clock.ms
    world.change("CustomersTable", {"userId": "grace"}, unfinished=0, dueAt=now, unfinishedSince=now)

    world.sweep()

    assert "unfinished" not in stored(world)


def test_waiting_events_are_published_with_the_next_change_in_order(world, api):
    # GIVEN a change with an unpublished event, and a bus that rejects the first of two events
    world.wire.on("eventbridge.PutEvents", wire.refuse("InternalFailure", 500))
    put(api)
    world.clock.forward(60)
    second = {
        "FailedEntryCount": 1,
        "Entries": [{"ErrorCode": "InternalFailure", "ErrorMessage": ""}, {"EventId": "2"}],
    }
    world.wire.on("eventbridge.PutEvents", wire.answer(second))

    # WHEN the profile is changed again
    put(api, name="Grace Hopper")

    # THEN both were sent in order, and the first keeps its index entry
    entries = world.wire.named("eventbridge.PutEvents")[-1].request["Entries"]
    assert [json.loads(entry["Detail"])["metadata"]["sequence"] for entry in entries] == [1, 2]
    assert list(stored(world)["outbox"]) == ["1"]
    assert {"unfinished", "dueAt", "unfinishedSince"} <= stored(world).keys()


def test_an_event_ahead_of_its_stored_customer_is_retried(world, api):
    # GIVEN a change that is not yet visible in the table
    put(api)
    world.queues.until_quiet(EMAILS)
    before = stored(world)
    put(api, email="hopper@example.com")
    after = stored(world)
    world.put("CustomersTable", before)
    world.queues.deliver(EMAILS)
    assert len(world.mails()) == 1

    # WHEN it is visible
    world.put("CustomersTable", after)
    world.clock.forward(11)
    world.queues.until_quiet(EMAILS)

    # THEN both addresses are notified
    assert [to for to, _ in sent(world)][1:] == ["grace@example.com", "hopper@example.com"]


def test_a_crash_after_the_write_loses_no_event(world, api):
    world.wire.on("eventbridge.PutEvents", wire.crash_before)
    with pytest.raises(wire.Crash):
        put(api)

    world.settle_down(2)

    assert sent(world) == [("grace@example.com", "Your e-mail address was changed")]


def test_a_write_whose_answer_is_lost_is_one_change(world, api):
    put(api)
    world.wire.on("dynamodb.UpdateItem", wire.lose_response)

    assert put(api, name="Grace Hopper").status == 200

    assert stored(world)["sequence"] == 2
    assert len(world.events()) == 2


def test_a_retried_write_does_not_undo_a_later_one(world, api):
    # GIVEN a write whose answer is lost, and another change before its retry
    put(api)
    world.wire.on("dynamodb.UpdateItem", wire.lose_response)
    world.wire.on("dynamodb.UpdateItem", wire.meanwhile(lambda: put(api, name="Rear Admiral Hopper")), nth=2)

    # WHEN it is retried
    assert put(api, name="Grace Hopper").status == 200

    # THEN it is recognized by its id as done
    assert (stored(world)["name"], stored(world)["sequence"]) == ("Rear Admiral Hopper", 3)


def test_a_concurrent_change_is_not_overwritten(world, api):
    put(api)
    world.wire.on("dynamodb.UpdateItem", wire.meanwhile(lambda: put(api, email="hopper@example.com")))

    assert put(api, name="Grace Hopper", email="hopper@example.com").status == 200

    assert stored(world)["sequence"] == 3
    assert [event["Detail"]["data"]["changedFields"] for event in world.events()][1:] == [["email"], ["name"]]


def test_a_customer_with_too_many_pending_notices_has_to_wait(world, api):
    world.wire.always("eventbridge.PutEvents", wire.refuse("InternalFailure", 500))
    for n in range(MAX_PENDING_NOTICES):
        assert put(api, name=f"Grace {n}").status == 200

    answer = put(api, name="Grace Hopper")

    assert (answer.status, answer.problem, answer.headers["retry-after"]) == (503, "profile-busy", "30")
    assert len(stored(world)["outbox"]) == MAX_PENDING_NOTICES


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": 1}, "name"),
        ({"email": "nobody"}, "email"),
        ({"email": "a@b"}, "email"),
        ({"email": "a b@example.com"}, "email"),
        ({"email": "a@example.com\nBcc: b@example.com"}, "email"),
        ({"email": "x" * 255 + "@example.com"}, "email"),
        ({"email": "a..b@example.com"}, "email"),
        ({"email": "a@b-.com"}, "email"),
        ({"email": None}, "email"),
        ({"admin": True}, "admin"),
    ],
)
def test_an_invalid_profile_is_rejected_by_field(world, api, change, field):
    answer = put(api, **change)

    assert (answer.status, answer.fields) == (400, [field])
    assert stored(world) == {}


def test_customers_see_their_own_profile_only(world, api):
    put(api)

    assert world.api("mallory").get("/me").status == 404


# --- the language of mails --------------------------------------------------------------------------------------------


def test_a_language_is_kept_until_another_one_is_chosen(world, api):
    assert put(api, language="de").json["language"] == "de"
    assert api.get("/me").json["language"] == "de"

    assert put(api, name="Grace Hopper").json["language"] == "de"
    assert put(api, name="Grace Hopper", language=None).json["language"] == "de"
    assert put(api, name="Grace Hopper", language="fr").json["language"] == "fr"


def test_another_language_is_no_event_and_no_mail(world, api):
    put(api)
    world.queues.until_quiet(EMAILS)

    put(api, language="de")
    world.queues.until_quiet(EMAILS)

    assert (len(world.events()), len(world.mails())) == (1, 1)
    assert stored(world)["language"] == "de"


@pytest.mark.parametrize("language", ["DE", "deu", "de-DE", "", 1])
def test_a_language_that_is_no_code_is_refused(world, api, language):
    answer = put(api, language=language)

    assert (answer.status, answer.fields) == (400, ["language"])


def test_mails_are_in_the_customers_language(world, api):
    put(api, language="de")
    api.place(body())
    world.queues.until_quiet(EMAILS)

    assert [mail["subject"] for mail in world.mails()] == [
        "Ihre E-Mail-Adresse wurde geändert",
        "Ihre Bestellung ist bestätigt",
    ]
    assert "Summe: 12,50\xa0€" in world.mails()[1]["text"]


def test_mails_are_in_the_shops_language_if_the_customers_has_no_translations(world, api):
    world.functions.settings = {"MAIL_LANGUAGE": "fr"}
    world.functions.stop(EMAILS)
    put(api, language="it")
    world.queues.until_quiet(EMAILS)

    assert sent(world) == [("grace@example.com", "Votre adresse e-mail a été modifiée")]


def test_mails_name_the_seller_of_the_deployment(world, api):
    world.functions.settings = {
        "SELLER_NAME": "Example GmbH",
        "SELLER_ADDRESS": "Musterstr. 1; Berlin",
        "TERMS_URL": "https://shop.example/terms",
    }
    world.functions.stop(EMAILS)
    put(api)
    api.place(body())
    world.queues.until_quiet(EMAILS)

    confirmation = world.mails()[-1]["text"]
    assert confirmation.endswith("Seller:\n  Example GmbH\n  Musterstr. 1\n  Berlin\n")
    assert "https://shop.example/terms" in confirmation


# --- advice about the address -----------------------------------------------------------------------------------------


def test_a_profile_with_a_working_address_has_no_advice(api):
    put(api)

    assert api.get("/me").json.keys() == {"userId", "name", "email"}


@pytest.mark.parametrize(("problem", "said"), [("bounced", "once it works"), ("complained", "which can be the same")])
def test_a_profile_says_what_to_do_about_its_address(world, api, problem, said):
    put(api)
    world.change("CustomersTable", {"userId": "grace"}, emailProblem=problem)

    shown = api.get("/me").json

    assert shown["emailProblem"] == problem
    assert "PUT /me" in shown["emailAdvice"]
    assert said in shown["emailAdvice"]
    assert api.place(body()).problem == "no-address"


def test_a_profile_without_an_address_says_so(world, api):
    world.put("CustomersTable", {"userId": "grace", "name": "Grace"})

    shown = api.get("/me").json

    assert "email" not in shown
    assert shown["emailAdvice"] == "There is no address for the confirmation of an order. Save one with PUT /me."
