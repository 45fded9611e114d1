"""The customer's e-mail address, without which no order is accepted: nobody would hear of it."""

import json

import pytest

from dev.simulated import wire
from dev.simulated.api import Api
from dev.simulated.world import MUG, body

GRACE = {"name": "Grace", "email": "grace@example.com"}


@pytest.fixture
def newcomer(world):
    """The API with the token of a user without a profile."""
    return world.api("grace")


def with_claims(world, user, **claims):
    return Api(world.functions, {"sub": user, "token_use": "id", **claims})


def introduce(api, **profile):
    assert api.call("PUT", "/me", json.dumps(GRACE | profile)).status == 200


def test_a_user_without_a_profile_orders_once_there_is_one(world, newcomer):
    # GIVEN an order that is refused, with nothing reserved, held or counted
    refused = newcomer.place(body())
    assert (refused.status, refused.problem) == (409, "no-address")
    assert "Save one with PUT /me, then retry the same request." in refused.json["detail"]
    assert world.items("OrdersTable") == world.items("SandboxTable") == world.items("LimitsTable") == []
    assert world.available() == 10

    # WHEN the customer does what the problem says, THEN the same request places the order, and it is confirmed
    introduce(newcomer)
    assert newcomer.place(body()).status == 201
    world.queues.until_quiet("EmailsFunction")
    assert ("grace@example.com", "Your order is confirmed") in [(mail["to"], mail["subject"]) for mail in world.mails()]


@pytest.mark.parametrize(("problem", "said"), [("bounced", "bounced"), ("complained", "reported as spam")])
def test_a_flagged_address_is_refused_until_it_is_saved_again(world, newcomer, problem, said):
    introduce(newcomer)
    world.change("CustomersTable", {"userId": "grace"}, emailProblem=problem)

    refused = newcomer.place(body())
    assert (refused.problem, said in refused.json["detail"]) == ("no-address", True)

    introduce(newcomer)
    assert newcomer.place(body()).status == 201


def test_the_address_is_checked_in_the_transaction_that_reserves(world, api):
    # GIVEN a report of a bounce that arrives just before the order is reserved
    def bounce():
        world.change("CustomersTable", {"userId": "ada"}, emailProblem="bounced")

    world.wire.on("dynamodb.TransactWriteItems", wire.meanwhile(bounce))

    # THEN the order is refused all the same
    assert api.place(body()).problem == "no-address"
    assert (world.items("OrdersTable"), world.available()) == ([], 10)


def test_a_repeat_gets_its_order_although_the_address_bounced_since(world, api):
    first = api.place(body())
    world.change("CustomersTable", {"userId": "ada"}, emailProblem="bounced")

    assert (api.place(body()).status, api.place(body()).json) == (201, first.json)


def test_the_verified_address_of_the_token_becomes_that_of_the_profile(world):
    api = with_claims(world, "grace", email="grace@token.example", email_verified="true")

    assert api.place(body()).status == 201

    shown = api.get("/me").json
    assert (shown["email"], shown["name"]) == ("grace@token.example", "Ada Lovelace")  # the recipient's name


def test_the_address_of_the_token_does_not_replace_that_of_the_profile(world):
    api = with_claims(world, "ada", email="ada@token.example", email_verified="true")

    assert api.place(body()).status == 201

    assert api.get("/me").json["email"] == "ada@example.com"


def test_the_address_of_the_token_does_not_help_a_profile_that_is_flagged(world):
    world.change("CustomersTable", {"userId": "ada"}, emailProblem="bounced")
    api = with_claims(world, "ada", email="ada@token.example", email_verified="true")

    assert api.place(body()).problem == "no-address"


@pytest.mark.parametrize("claims", [{}, {"email_verified": "false"}])
def test_an_address_that_the_issuer_has_not_verified_does_not_count(world, claims):
    api = with_claims(world, "grace", email="grace@token.example", **claims)

    assert api.place(body()).problem == "no-address"


def test_a_missing_address_is_reported_before_a_shortage(world, newcomer):
    # The customer can act on the address at once, and the shortage may be over then.
    world.stock(MUG, available=0)

    assert newcomer.place(body()).problem == "no-address"
