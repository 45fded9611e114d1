"""The first-workflow example in moto: each step, the switch between the two senders, and the comparison of both."""

import subprocess
from itertools import count

import pytest

from dev.simulated import wire
from handoff import ids
from handoff.consumer import BatchFailed
from tests.support.example_stack import EXAMPLES
from tests.support.first_workflow import STEPS
from tests.support.markdown import commands

PAGE = EXAMPLES.parent / "docs/how-to/move-a-workflow-to-events.md"

SENDERS = [(0, 0), (1, 0), (2, 0), (3, 0), (3, 50), (3, 100), (5, 0)]  # each step, and the per cent of the switch


def key_in(share):
    """Return the key of an order that is the consumer's from ``share`` + 1 per cent on."""
    return next(
        key for key in map(str, count()) if ids.shard(ids.derived("fwo_", "ada@example.com", key), 100) == share
    )


def kinds(comparison):
    return [(difference.kind, difference.what) for difference in comparison.differences]


# --- each step --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step", "per_cent"), SENDERS)
def test_every_step_mails_each_order_once(shop, step, per_cent):
    shop.deploy(step)
    shop.turn(per_cent)

    placed = [answer["orderId"] for answer in shop.place_many(6)]
    shop.settle()

    text = "Thank you for your order {}.\n\n  2 x Mug: 25.00 EUR\n\nTotal: 25.00 EUR\n"
    assert sorted(shop.mails()) == sorted(
        ("Your order is confirmed", "ada@example.com", text.format(order_id)) for order_id in placed
    )
    assert shop.stock() == 1000 - 2 * 6


@pytest.mark.parametrize("step", STEPS)
def test_the_same_request_again_is_the_same_order_and_mail(shop, step):
    shop.deploy(step)

    assert shop.place() == shop.place()
    shop.settle()

    assert len(shop.mails()) == len(shop.items("orders")) == len(shop.items("payments")) == 1
    assert len(shop.published()) == (1 if step else 0)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"quantities": {"MUG": 0}}, {"error": "Invalid", "fields": ["quantities.MUG"]}),
        ({"quantities": {"CAP": 1}}, {"error": "Refused", "reason": "there is no product CAP"}),
        ({"quantities": {"GOLD": 1}}, {"error": "Refused", "reason": "the payment was declined"}),
    ],
)
def test_a_request_that_is_not_possible_says_why(shop, request_, error):
    request = {"email": "ada@example.com", "key": "1", **request_}

    assert shop.run("step_0.place", request) == shop.run("step_0.place", request) == error
    assert (shop.mails(), shop.stock("GOLD")) == ([], 1000)


def test_what_is_sold_out_is_refused(shop):
    shop.put("products", {"sku": "MUG", "name": "Mug", "unitPrice": 1250, "available": 1})

    assert shop.place()["reason"] == "a product is sold out, or its price has changed"
    assert (shop.items("orders"), shop.stock()) == ([], 1)


def test_in_the_chain_a_failing_mail_service_fails_the_request(shop):
    shop.wire.on("sesv2.SendEmail", wire.refuse("ServiceUnavailableException", 503))

    assert shop.place()["error"] == "Unavailable"
    assert shop.place()["status"] == "PLACED"
    assert len(shop.mails()) == 1


def test_with_the_consumer_a_failing_mail_service_fails_no_request(shop):
    shop.deploy(5)
    shop.wire.on("sesv2.SendEmail", wire.refuse("ServiceUnavailableException", 503))

    assert shop.place()["status"] == "PLACED"
    (event,) = shop.published()
    with pytest.raises(BatchFailed):
        shop.deliver(event)
    shop.deliver(event, receives=2)
    assert len(shop.mails()) == 1


@pytest.mark.parametrize("step", STEPS[1:])
def test_a_crash_between_writing_and_publishing_loses_no_event(shop, step):
    shop.deploy(step)
    shop.wire.on("eventbridge.PutEvents", wire.crash_before)
    with pytest.raises(wire.Crash):
        shop.place()
    assert shop.published() == []

    shop.sweep()

    assert [event["detail-type"] for event in shop.published()] == ["order_placed"]


def test_the_event_holds_no_personal_data(shop):
    shop.deploy(1)
    answer = shop.place()

    (event,) = shop.published()
    assert event["detail"]["data"] == {"orderId": answer["orderId"]}


@pytest.mark.parametrize("command", [words for words, _ in commands(PAGE.read_text()) if words[0] == "diff"])
def test_the_page_shows_the_small_difference_of_each_step(command):
    shown = subprocess.run(command, cwd=EXAMPLES.parent, capture_output=True, text=True, check=False)

    assert (shown.returncode, shown.stderr) == (1, "")
    assert 5 < sum(line.startswith(("<", ">")) for line in shown.stdout.splitlines()) < 40


# --- shadow mode ------------------------------------------------------------------------------------------------------


def test_the_shadow_composes_what_the_request_sends_and_sends_nothing(shop):
    shop.deploy(2)
    shop.place_many(5)
    before = shop.mails()
    shop.settle()

    found = shop.compare()
    assert (found.compared, found.differences) == (5, [])
    assert shop.mails() == before


def test_shadow_records_hold_no_personal_data_and_expire(shop):
    shop.deploy(2)
    shop.place(email="grace@example.org")
    shop.settle()

    records = shop.items("shadow")
    assert {record["writer"] for record in records} == {"request", "event"}
    assert "grace" not in str(records)
    assert {record["expiresAt"] - record["at"] // 1000 for record in records} == {30 * 86_400}


def test_a_shadow_record_that_cannot_be_written_costs_no_answer_and_no_second_mail(shop):
    shop.deploy(3)
    shop.wire.always(
        "dynamodb.UpdateItem", wire.refuse("InternalServerError", 500), where=lambda call: "shadow" in call.tables
    )

    assert shop.place()["status"] == "PLACED"
    shop.place()
    assert len(shop.mails()) == 1

    shop.wire.heal()
    shop.settle()
    assert kinds(shop.compare()) == [("missing", "composed by event, never made")]


# --- the switch -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("per_cent", "by_event"), [(0, []), (10, [9]), (50, [9, 10, 49]), (100, [9, 10, 49, 50, 99])])
def test_the_switch_decides_for_its_share_of_orders(shop, per_cent, by_event):
    shop.deploy(3)
    shop.turn(per_cent)

    answers = {share: shop.place(key_in(share)) for share in (9, 10, 49, 50, 99)}

    assert [share for share, answer in answers.items() if answer["mailBy"] == "event"] == by_event
    for answer in answers.values():
        assert shop.order(answer["orderId"])["mailBy"] == answer["mailBy"]


@pytest.mark.parametrize(("placed_at", "consumed_at"), [(0, 100), (100, 0)])
def test_the_consumer_obeys_the_order_not_the_switch(shop, placed_at, consumed_at):
    shop.deploy(3)
    shop.turn(placed_at)
    (order_id,) = [answer["orderId"] for answer in shop.place_many(1)]
    shop.turn(consumed_at)

    shop.settle()

    assert len(shop.mails_of(order_id)) == 1
    assert shop.compare().differences == []


def test_a_repeated_request_keeps_the_first_decision(shop):
    shop.deploy(3)
    first = shop.place()
    shop.turn(100)

    assert shop.place() == first
    shop.settle()
    assert len(shop.mails()) == 1


@pytest.mark.parametrize("value", ["", "all", None])
def test_while_the_switch_cannot_be_read_the_last_value_stays(shop, value):
    shop.deploy(3)
    shop.turn(100)
    shop.place("1")
    if value is None:
        shop.wire.always("ssm.GetParameter", wire.refuse("InternalServerError", 500))
        shop.clock.forward(6)
    else:
        shop.turn(value or "none")

    assert shop.place("2")["mailBy"] == "event"


def test_a_new_process_without_the_switch_lets_the_request_send(shop):
    shop.deploy(3)
    shop.turn(100)
    shop.wire.always("ssm.GetParameter", wire.refuse("InternalServerError", 500))

    assert shop.place()["mailBy"] == "request"
    assert len(shop.mails()) == 1


def test_orders_of_earlier_steps_are_not_mailed_again_by_later_ones(shop):
    events = []
    for step in (1, 2, 3):
        shop.deploy(step)
        shop.place_many(2, start=10 * step)
    events = shop.published()
    assert len(shop.mails()) == 6

    for step in (3, 5):
        shop.deploy(step)
        shop.deliver(*events)

    assert len(shop.mails()) == 6


def test_an_event_delivered_twice_is_mailed_once(shop):
    shop.deploy(5)
    shop.place()

    for _ in range(2):
        shop.deliver(*shop.published())

    assert len(shop.mails()) == 1


# --- the comparison ---------------------------------------------------------------------------------------------------


@pytest.fixture
def compared(shop):
    """A shop with orders of both senders, none of which differ, and the id of one of them."""
    shop.deploy(3)
    shop.turn(50)
    order_id = next(answer["orderId"] for answer in shop.place_many(8) if answer["mailBy"] == "request")
    shop.settle()
    assert (shop.compare().compared, shop.compare().differences) == (8, [])
    return shop, order_id


def test_a_missing_mail_is_found(compared):
    shop, order_id = compared
    shop.shadow(order_id, "request")

    assert kinds(shop.compare()) == [("missing", "composed by event, never made")]


def test_a_surplus_mail_is_found(compared):
    shop, order_id = compared
    shop.shadow(order_id, "event")

    assert kinds(shop.compare()) == [("surplus", "made by request, not composed by the other side")]


def test_two_senders_of_one_mail_are_found(compared):
    shop, order_id = compared
    shop.shadow(order_id, "event", made=1)

    assert kinds(shop.compare()) == [("doubled", "made 2 times: event 1, request 1")]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"email": "ada@example.net "}, "recipient: 15 characters by request, 16 characters by event"),
        ({"email": "bob@example.com"}, "recipient: 15 characters by request, 15 characters by event"),
        ({"total": 250}, "text: 97 characters by request, 96 characters by event"),
    ],
)
def test_a_mail_that_the_two_sides_compose_differently_is_found(shop, change, what):
    shop.deploy(2)
    order_id = shop.place()["orderId"]
    shop.put("orders", shop.order(order_id) | change)
    shop.settle()

    assert kinds(shop.compare()) == [("different", what)]


def test_an_order_whose_event_is_on_its_way_is_no_difference(shop):
    shop.deploy(2)
    shop.place()

    found = shop.compare(settled_before=0)
    assert (found.compared, found.waiting, found.differences) == (0, 1, [])
    assert kinds(shop.compare()) == [("surplus", "made by request, not composed by the other side")]
