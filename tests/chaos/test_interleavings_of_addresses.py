"""Orders and changes of the customer's address, in any interleaving of their calls: no order has no one to write to."""

import json

import pytest

from dev import samples
from dev.simulated.world import body
from shop.model import Customer
from tests.support.races import ORDER, race, said
from tests.support.scheduler import Race

pytestmark = pytest.mark.timeout(7200)
FEEDBACK = "FeedbackFunction"
TOKEN = {"email": "ada@token.example", "email_verified": "true"}


def save(api, email):
    return api.call("PUT", "/me", json.dumps({"name": "Ada", "email": email}))


def report_bounce(harness):
    report = samples.bounced(Customer(user_id="ada", name="Ada", email="ada@example.com"))
    harness.world.queues.send(FEEDBACK, json.dumps(report))
    feedback = harness.queues(FEEDBACK)
    return lambda: feedback.deliver(FEEDBACK)


@race
def test_an_order_and_a_bounce(harness):
    shopper, bounce = harness.api(), report_bounce(harness)

    order, _ = yield Race([lambda: shopper.place(body()), bounce])

    # THEN the order is refused; or accepted, and says why its mails were not sent (an invariant of the harness)
    assert said(order) in (["201"], ["no-address"])
    assert bool(harness.world.order(ORDER)) == (order.status == 201)
    assert harness.world.item("CustomersTable", userId="ada")["emailProblem"] == "bounced"


@race
def test_a_crashing_order_and_a_bounce(harness):
    shopper, bounce = harness.api(), report_bounce(harness)

    yield Race([lambda: shopper.place(body()), bounce], deaths=1)

    assert harness.world.item("CustomersTable", userId="ada")["emailProblem"] == "bounced"


@race
def test_an_order_and_an_address_that_is_saved_again(harness):
    harness.world.customer(emailProblem="bounced")
    shopper, editor = harness.api(), harness.api()

    order, saved = yield Race([lambda: shopper.place(body()), lambda: save(editor, "ada@example.com")])

    assert said(saved) == ["200"]
    assert said(order) in (["201"], ["no-address"])
    assert bool(harness.world.order(ORDER)) == (order.status == 201)


@race
def test_a_bounce_and_an_address_that_is_changed(harness):
    editor, bounce = harness.api(), report_bounce(harness)

    saved, _ = yield Race([lambda: save(editor, "ada@new.example"), bounce])

    # THEN the new address is not flagged for the mail to the old one
    customer = harness.world.item("CustomersTable", userId="ada")
    assert said(saved) == ["200"]
    assert (customer["email"], "emailProblem" in customer) == ("ada@new.example", False)


@race
def test_two_first_orders_by_tokens_with_an_address(harness):
    forget_profile(harness)
    one, two = harness.api(**TOKEN), harness.api(**TOKEN)

    answers = yield Race([lambda: one.place(body(), "key-1"), lambda: two.place(body(), "key-2")])

    assert said(*answers) == ["201", "201"]
    assert harness.world.item("CustomersTable", userId="ada")["email"] == TOKEN["email"]


@race
def test_a_first_order_by_a_token_and_a_saved_address(harness):
    forget_profile(harness)
    shopper, editor = harness.api(**TOKEN), harness.api()

    answers = yield Race([lambda: shopper.place(body()), lambda: save(editor, "ada@new.example")])

    # THEN the address that the customer has chosen stays
    assert said(*answers) == ["200", "201"]
    assert harness.world.item("CustomersTable", userId="ada")["email"] == "ada@new.example"


def forget_profile(harness):
    table = harness.world.table("CustomersTable")
    harness.world.client("dynamodb").delete_item(TableName=table, Key={"userId": {"S": "ada"}})
