"""Profiles: what customers say of themselves, who is told, and that nothing of it is lost."""

import json

import pytest

from shop.customers import MAX_PENDING_NOTICES, REMEMBERED
from tests.support import wire
from tests.support.messages import replayed

EMAILS = "EmailsFunction"
DAY = 86_400  # seconds
COMES_BACK = 721  # just longer than the queue's visibility time-out, in seconds
REFUSED = wire.refuse("AccessDeniedException")
ADA = {"name": "Ada Lovelace", "email": "ada@example.com"}


@pytest.fixture
def api(world):
    """The API of somebody who has not said who they are."""
    return world.api("grace")


def put(api, **profile):
    return api.call("PUT", "/me", json.dumps({"name": "Grace", "email": "grace@example.com"} | profile))


def stored(world):
    return world.item("CustomersTable", userId="grace")


def told(world):
    return [(mail["to"], mail["subject"]) for mail in world.mails()]


def test_a_new_customer_has_no_profile_until_they_put_one(api):
    nobody = api.get("/me")
    assert (nobody.status, nobody.problem) == (404, "no-profile")

    answer = put(api)

    assert (answer.status, answer.json) == (200, {"userId": "grace", "name": "Grace", "email": "grace@example.com"})
    assert api.get("/me").json == answer.json


def test_a_customer_who_was_put_into_the_table_by_somebody_else_can_change(world):
    world.customer("ada", loyalty="gold")
    ada = world.api("ada")

    assert put(ada, name="Ada Lovelace").status == 200
    assert put(ada, name="Ada").status == 200

    assert world.item("CustomersTable", userId="ada")["loyalty"] == "gold"
    assert len(world.events()) == 2


def test_a_change_is_one_event_that_names_the_changed_fields(world, api):
    put(api)
    put(api, name="Grace Hopper", email="hopper@example.com")

    first, second = world.events()
    assert first["DetailType"] == second["DetailType"] == "user_profile_updated"
    assert second["Detail"]["data"] == {"userId": "grace", "changedFields": ["name", "email"]}
    assert second["Detail"]["metadata"]["sequence"] == 2
    assert second["Detail"]["metadata"]["eventId"] == "grace-2"


def test_an_event_shows_neither_the_name_nor_the_address(world, api):
    put(api, name="Grace Hopper")

    assert "Hopper" not in json.dumps(world.events())
    assert "@" not in json.dumps(world.events()[0]["Detail"]["data"])


def test_nothing_changed_is_no_event(world, api):
    put(api)
    answer = put(api)

    assert answer.status == 200
    assert len(world.wire.named("eventbridge.PutEvents")) == 1
    # ... and the bus is still good for the next one
    put(api, name="Grace Hopper")
    assert len(world.events()) == 2


def test_a_changed_address_is_told_at_the_old_and_at_the_new_one(world, api):
    put(api)
    world.queues.until_quiet(EMAILS)
    put(api, email="hopper@example.com")
    world.queues.until_quiet(EMAILS)

    changed = "Your e-mail address was changed"
    assert told(world) == [
        ("grace@example.com", changed),
        ("grace@example.com", changed),
        ("hopper@example.com", changed),
    ]
    assert stored(world)["addressChanges"] == {}


def test_several_changes_in_a_row_are_each_told_at_both_addresses(world, api):
    for email in ("one@example.com", "two@example.com", "three@example.com"):
        put(api, email=email)
    world.queues.until_quiet(EMAILS)

    assert sorted(to for to, _ in told(world)) == [
        "one@example.com",
        "one@example.com",
        "three@example.com",
        "two@example.com",
        "two@example.com",
    ]


def test_a_changed_name_alone_is_not_mailed(world, api):
    put(api)
    world.queues.until_quiet(EMAILS)
    put(api, name="Grace Hopper")
    world.queues.until_quiet(EMAILS)

    assert len(world.mails()) == 1


def test_the_pair_is_kept_until_both_addresses_are_told(world, api, printed):
    # GIVEN a change whose second mail fails
    put(api)
    world.queues.until_quiet(EMAILS)
    put(api, email="hopper@example.com")
    changed_at = world.clock.ms
    world.wire.on("sesv2.SendEmail", wire.refuse("TooManyRequestsException", 429), nth=2)
    world.queues.deliver(EMAILS)
    pair = {"old": "grace@example.com", "new": "hopper@example.com", "at": changed_at}
    assert stored(world)["addressChanges"] == {"2": pair}

    # WHEN it is tried again
    world.clock.forward(11)
    printed()
    world.queues.until_quiet(EMAILS)

    # THEN both are told, each once, and the half that was new makes it no repeat
    assert [to for to, _ in told(world)] == ["grace@example.com", "grace@example.com", "hopper@example.com"]
    assert "EventsRepeated" not in printed()
    assert stored(world)["addressChanges"] == {}


@pytest.mark.parametrize(("refused", "reached"), [("old", "new@example.com"), ("new", "old@example.com")])
def test_an_address_that_can_not_be_written_to_keeps_the_other_one_from_nothing(world, api, refused, reached):
    # GIVEN a mail service that will never write to one of the two addresses
    put(api, email="old@example.com")
    world.queues.until_quiet(EMAILS)
    put(api, email="new@example.com")
    address = f"{refused}@example.com"
    world.wire.always(
        "sesv2.SendEmail", wire.refuse("BadRequestException"), where=lambda call: address in str(call.request)
    )
    # WHEN the change is told
    world.queues.deliver(EMAILS)
    # THEN the other one has heard, the failure is a dead letter with its reason, and no address is kept for it
    assert [to for to, _ in told(world)][1:] == [reached]
    (letter,) = world.queues.dead_letters(EMAILS)
    assert "address" in letter.attributes["reason"]
    assert stored(world)["addressChanges"] == {}


def test_addresses_that_can_not_be_written_to_keep_nobody_from_changing_theirs(world, api):
    world.wire.always("sesv2.SendEmail", wire.refuse("BadRequestException"))
    for n in range(MAX_PENDING_NOTICES + 1):
        assert put(api, email=f"grace{n}@example.com").status == 200
        world.queues.deliver(EMAILS)


def test_a_change_too_old_to_be_told_keeps_no_address(world, api):
    # GIVEN a change that comes to be told 31 days late
    put(api)
    world.queues.until_quiet(EMAILS)
    put(api, email="hopper@example.com")
    event = world.events()[-1]
    world.client("sqs").purge_queue(QueueUrl=world.stack.resource("EmailsQueue").ref)
    world.clock.forward(31 * DAY)
    # WHEN its event arrives
    world.queues.send(EMAILS, replayed(event))
    world.queues.deliver(EMAILS)
    # THEN it is not mailed, and the pair is forgotten
    assert len(told(world)) == 1
    assert stored(world)["addressChanges"] == {}


@pytest.mark.parametrize("by_now", ["gone", "put into the table anew"])
def test_a_change_too_old_to_be_told_of_a_customer_without_it_is_skipped(world, api, printed, by_now):
    # GIVEN a change that comes to be told 31 days late, when its customer has nothing to forget
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
    # THEN it is done with, and nobody was made of it
    assert printed()["EventsSkipped"].values == [1.0]
    assert world.queues.waiting(EMAILS) == 0
    assert stored(world) == before


@pytest.mark.parametrize("fault", [wire.crash_before, wire.cannot_connect], ids=["crashed", "unreachable"])
def test_a_refused_address_is_a_dead_letter_though_the_first_one_did_not_get_there(world, api, fault):
    # GIVEN an address that the mail service refuses, and a dead letter that SQS never gets
    put(api)
    world.wire.always("sesv2.SendEmail", wire.refuse("BadRequestException"))
    world.wire.always("sqs.SendMessage", fault)
    world.queues.deliver(EMAILS)
    assert world.queues.dead_letters(EMAILS) == []

    # WHEN the event comes back
    world.wire.heal()
    world.wire.always("sesv2.SendEmail", wire.refuse("BadRequestException"))
    world.clock.forward(COMES_BACK)
    world.queues.deliver(EMAILS)

    # THEN it is a dead letter, and only then no address is kept for it
    (letter,) = world.queues.dead_letters(EMAILS)
    assert "address" in letter.attributes["reason"]
    assert stored(world)["addressChanges"] == {}


@pytest.mark.parametrize("fault", [wire.crash_before, REFUSED], ids=["crashed", "refused"])
@pytest.mark.parametrize("tries_before", [0, 1])
def test_a_pair_that_was_not_forgotten_with_its_dead_letter_is_with_the_next(world, api, fault, tries_before):
    # GIVEN a refused address whose dead letter was sent, and a pair that could not be forgotten then
    put(api)
    for _ in range(tries_before):
        world.wire.on("sesv2.SendEmail", wire.crash_before)
        world.queues.deliver(EMAILS)
        world.clock.forward(COMES_BACK)
    world.wire.always("sesv2.SendEmail", wire.refuse("BadRequestException"))
    world.wire.on("dynamodb.UpdateItem", fault, where=world.touching("CustomersTable"))
    world.queues.deliver(EMAILS)
    assert stored(world)["addressChanges"].keys() == {"1"}

    # WHEN the event comes back
    world.clock.forward(COMES_BACK)
    world.queues.deliver(EMAILS)

    # THEN it is forgotten, at the price of a second letter
    assert stored(world)["addressChanges"] == {}
    assert len(world.queues.dead_letters(EMAILS)) == 2
    assert world.queues.waiting(EMAILS) == 0


@pytest.fixture
def untold(world, api):
    """As many changed addresses as may wait, none of which could be told: all are dead letters."""
    world.wire.always("sesv2.SendEmail", wire.refuse("MessageRejected"))
    for n in range(MAX_PENDING_NOTICES):
        assert put(api, email=f"grace{n}@example.com").status == 200
    for _ in range(6):
        world.queues.deliver(EMAILS)
        world.clock.forward(3_600)
    assert len(world.queues.dead_letters(EMAILS)) == MAX_PENDING_NOTICES
    return stored(world)


def test_strangers_are_not_written_to_as_often_as_one_likes(world, api):
    # GIVEN a customer who has given one new address an hour for most of a day
    for n in range(REMEMBERED):
        assert put(api, email=f"stranger{n}@example.com").status == 200
        world.queues.until_quiet(EMAILS)
        world.clock.forward(3_600)
    mails = len(world.mails())
    # WHEN another one is given
    answer = put(api, email="hopper@example.com")
    # THEN it is refused until the first is a day ago, and nothing but the address is
    assert (answer.status, answer.problem) == (429, "too-many-addresses")
    wait = int(answer.headers["retry-after"])
    assert 0 < wait <= DAY - REMEMBERED * 3_600
    assert put(api, name="Grace Hopper", email=f"stranger{REMEMBERED - 1}@example.com").status == 200
    world.queues.until_quiet(EMAILS)
    assert len(world.mails()) == mails
    assert put(api, email="hopper@example.com").status == 429
    world.clock.forward(wait + 3_700)  # the changed name was one more
    assert put(api, email="hopper@example.com").status == 200


def test_a_mail_to_an_address_that_nobody_has_checked_has_nothing_in_it_that_the_customer_typed(world, api):
    put(api, name="Visit https://evil.example", email="stranger@example.com")
    world.queues.until_quiet(EMAILS)
    assert "evil" not in str(world.mails()[0])


def without_time(customer):
    """As items were before a pair had a time."""
    pairs = {key: {"old": pair.get("old"), "new": pair["new"]} for key, pair in customer["addressChanges"].items()}
    return {**customer, "addressChanges": pairs}


def test_addresses_that_are_not_told_yet_keep_nobody_from_changing_their_name(world, api, untold):
    assert put(api, email="hopper@example.com").problem == "profile-busy"

    assert put(api, name="Grace Hopper", email=untold["email"]).status == 200

    assert stored(world)["addressChanges"] == untold["addressChanges"]


@pytest.mark.parametrize("written", [dict, without_time], ids=["with its time", "without"])
def test_addresses_that_can_not_be_told_any_more_are_forgotten_with_the_next_change(world, api, untold, written):
    # GIVEN untold addresses, and a time after which neither queue has their events
    world.put("CustomersTable", written(untold))
    queues = world.stack.template.of_type("AWS::SQS::Queue")
    kept = sum(queues[name]["MessageRetentionPeriod"] for name in ("EmailsQueue", "EmailsDeadLetters"))
    world.clock.forward(kept - 7 * 3_600)
    assert put(api, email="hopper@example.com").status == 503
    # WHEN it is over
    world.clock.forward(7 * 3_600)
    # THEN the address can be changed again, and is told, and no other is kept
    assert put(api, email="hopper@example.com").status == 200
    assert stored(world)["addressChanges"].keys() == {str(MAX_PENDING_NOTICES + 1)}
    world.wire.heal()
    world.queues.until_quiet(EMAILS)
    assert [to for to, _ in told(world)] == [untold["email"], "hopper@example.com"]
    assert stored(world)["addressChanges"] == {}


def test_an_address_without_a_time_or_a_remembered_step_is_not_kept(world, api, untold):
    world.put("CustomersTable", {**without_time(untold), "history": []})

    assert put(api, email="hopper@example.com").status == 200

    assert stored(world)["addressChanges"].keys() == {str(MAX_PENDING_NOTICES + 1)}


def test_an_address_without_a_time_is_told_all_the_same(world, api):
    put(api)
    world.put("CustomersTable", without_time(stored(world)))

    world.queues.until_quiet(EMAILS)

    assert [to for to, _ in told(world)] == ["grace@example.com"]


def test_an_old_address_that_bounced_is_not_written_to(world, api):
    # GIVEN an address that mails came back from
    put(api)
    world.queues.until_quiet(EMAILS)
    world.change("CustomersTable", {"userId": "grace"}, emailProblem="bounced")
    # WHEN it is changed
    put(api, email="hopper@example.com")
    world.queues.until_quiet(EMAILS)
    # THEN only the new one hears of it
    assert [to for to, _ in told(world)] == ["grace@example.com", "hopper@example.com"]


def test_a_change_that_was_told_at_both_addresses_before_is_a_repeat(world, api, printed):
    # GIVEN a change that was told, and whose pair of addresses could not be forgotten
    put(api)
    world.queues.until_quiet(EMAILS)
    put(api, email="hopper@example.com")
    world.wire.on("dynamodb.UpdateItem", REFUSED, where=world.touching("CustomersTable"))
    world.queues.deliver(EMAILS)

    # WHEN it is tried again
    world.clock.forward(11)
    printed()
    world.queues.deliver(EMAILS)

    # THEN nobody is told again, and it is one repeat
    metrics = printed()
    assert metrics["EventsRepeated"].values == [1.0]
    assert "MailsSent" not in metrics


def test_an_event_that_the_bus_refused_is_swept_up(world, api):
    world.wire.on("eventbridge.PutEvents", wire.refuse("InternalFailure", 500))
    assert put(api).status == 200
    assert list(stored(world)["outbox"]) == ["1"]

    world.settle_down(2)

    assert len(world.events()) == 1
    assert stored(world)["outbox"] == {}
    assert "unfinished" not in stored(world)


def test_a_later_change_leaves_the_age_of_what_is_unfinished(world, api):
    world.wire.always("eventbridge.PutEvents", wire.refuse("InternalFailure", 500))
    put(api)
    since = stored(world)["unfinishedSince"]
    world.clock.forward(30)

    put(api, name="Grace Hopper")

    assert stored(world)["unfinishedSince"] == since


def test_an_index_entry_of_a_finished_customer_is_taken_out(world, api):
    put(api)
    now = world.clock.ms
    world.change("CustomersTable", {"userId": "grace"}, unfinished=0, dueAt=now, unfinishedSince=now)

    world.sweep()

    assert "unfinished" not in stored(world)


def test_what_waits_is_published_with_the_next_change_oldest_first_and_stays_if_it_is_refused_again(world, api):
    # GIVEN a change of which the bus has not heard, and a bus that refuses the first of two events
    world.wire.on("eventbridge.PutEvents", wire.refuse("InternalFailure", 500))
    put(api)
    world.clock.forward(31)
    second = {
        "FailedEntryCount": 1,
        "Entries": [{"ErrorCode": "InternalFailure", "ErrorMessage": ""}, {"EventId": "2"}],
    }
    world.wire.on("eventbridge.PutEvents", wire.answer(second))

    # WHEN the profile is changed again
    put(api, name="Grace Hopper")

    # THEN both were published in their order, and the first keeps its place in the index
    entries = world.wire.named("eventbridge.PutEvents")[-1].request["Entries"]
    assert [json.loads(entry["Detail"])["metadata"]["sequence"] for entry in entries] == [1, 2]
    assert list(stored(world)["outbox"]) == ["1"]
    assert {"unfinished", "dueAt", "unfinishedSince"} <= stored(world).keys()


def test_an_event_that_its_customer_is_behind_of_is_tried_again(world, api):
    # GIVEN a change that the table does not show yet
    put(api)
    world.queues.until_quiet(EMAILS)
    before = stored(world)
    put(api, email="hopper@example.com")
    after = stored(world)
    world.put("CustomersTable", before)
    world.queues.deliver(EMAILS)
    assert len(world.mails()) == 1

    # WHEN it does
    world.put("CustomersTable", after)
    world.clock.forward(11)
    world.queues.until_quiet(EMAILS)

    # THEN both addresses are told
    assert [to for to, _ in told(world)][1:] == ["grace@example.com", "hopper@example.com"]


def test_a_crash_after_the_write_loses_no_event(world, api):
    world.wire.on("eventbridge.PutEvents", wire.crash_before)
    with pytest.raises(wire.Crash):
        put(api)

    world.settle_down(2)

    assert told(world) == [("grace@example.com", "Your e-mail address was changed")]


def test_a_write_whose_answer_is_lost_is_one_change(world, api):
    put(api)
    world.wire.on("dynamodb.UpdateItem", wire.lose_response)

    assert put(api, name="Grace Hopper").status == 200

    assert stored(world)["sequence"] == 2
    assert len(world.events()) == 2


def test_a_write_whose_answer_is_lost_does_not_undo_a_later_one(world, api):
    # GIVEN a write whose answer is lost, and another change before its retry
    put(api)
    world.wire.on("dynamodb.UpdateItem", wire.lose_response)
    world.wire.on("dynamodb.UpdateItem", wire.meanwhile(lambda: put(api, name="Rear Admiral Hopper")), nth=2)

    # WHEN it is tried again
    assert put(api, name="Grace Hopper").status == 200

    # THEN it knows by its id that it was done
    assert (stored(world)["name"], stored(world)["sequence"]) == ("Rear Admiral Hopper", 3)


def test_a_change_meanwhile_is_not_overwritten_unseen(world, api):
    put(api)
    world.wire.on("dynamodb.UpdateItem", wire.meanwhile(lambda: put(api, email="hopper@example.com")))

    assert put(api, name="Grace Hopper", email="hopper@example.com").status == 200

    assert stored(world)["sequence"] == 3
    assert [event["Detail"]["data"]["changedFields"] for event in world.events()][1:] == [["email"], ["name"]]


def test_a_customer_whose_changes_are_not_told_yet_has_to_wait(world, api):
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
def test_a_profile_that_will_not_do_is_refused_by_field(world, api, change, field):
    answer = put(api, **change)

    assert (answer.status, answer.fields) == (400, [field])
    assert stored(world) == {}


def test_everybody_sees_their_own_profile_only(world, api):
    put(api)

    assert world.api("mallory").get("/me").status == 404
