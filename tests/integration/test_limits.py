"""What a user can do within an hour: orders, cancellations and declined payments."""

import pytest

from dev.simulated import wire
from dev.simulated.world import MUG, TEE, World, body
from handoff.clock import now_ms

ORDERS, DECLINES = 20, 5  # the defaults of the template
HOUR = 3600


@pytest.fixture
def world(stack, clock):
    """A deployment with the limits that a deployment has by default, and stock for all tests."""
    return limited(stack, clock)


def limited(stack, clock, orders=ORDERS, declines=DECLINES):
    world = World(stack, clock, settings={"ORDERS_PER_HOUR": str(orders), "DECLINES_PER_HOUR": str(declines)})
    world.stock(available=1000)
    world.customer()
    world.customer("bob")
    return world


def decline(api, count, first=0):
    """Let payments be declined, each with a card of its own."""
    return [api.place(body(token="tok_decline"), key=f"card-{n}") for n in range(first, first + count)]


def authorizations(world):
    return len(world.ledger())


# --- card testing -----------------------------------------------------------------------------------------------------


def test_the_sixth_order_after_five_declines_is_refused_before_anything_is_reserved(world, api):
    # GIVEN a user whose cards were declined five times
    assert [answer.status for answer in decline(api, DECLINES)] == [402] * DECLINES

    # WHEN the user tries the next card, also a good one
    with world.wire.watched() as calls:
        answers = [*decline(api, 1, first=DECLINES), api.place(body(), key="good")]

    # THEN nothing is reserved, stored or sent to the provider
    assert [(answer.status, answer.problem) for answer in answers] == [(429, "too-many-orders")] * 2
    assert answers[0].json["detail"].startswith("Too many of your payments were declined within an hour.")
    assert "orderId" not in answers[0].json
    assert [call.name for call in calls] == ["dynamodb.TransactWriteItems"] * 2
    assert world.available() == 1000
    assert len(world.items("OrdersTable")) == authorizations(world) == DECLINES


def test_forty_cards_are_stopped_after_five(world, api):
    answers = decline(api, 40)

    assert [answer.status for answer in answers] == [402] * DECLINES + [429] * (40 - DECLINES)
    assert authorizations(world) == len(world.items("OrdersTable")) == DECLINES


def test_a_day_of_card_testing_gets_a_hundred_and_twenty_tries(world, clock, api):
    tried = 0
    for hour in range(24):
        tried += sum(answer.status == 402 for answer in decline(api, 10, first=hour * 10))
        clock.forward(HOUR)

    assert tried == authorizations(world) == 24 * DECLINES


def test_the_wait_ends_with_the_hour_by_the_clock(world, clock, api):
    # GIVEN a limit that is reached 20 minutes before the next hour
    clock.forward(40 * 60)
    decline(api, DECLINES)
    refused = api.place(body(), key="refused")
    assert refused.headers["retry-after"] == str(20 * 60)
    assert f"Retry in {20 * 60} s." in refused.json["detail"]

    # WHEN the client waits a second less, THEN it is refused; WHEN it waits that long, THEN it can order
    clock.forward(20 * 60 - 1)
    again = api.place(body(), key="refused")
    assert (again.status, again.headers["retry-after"]) == (429, "1")
    clock.forward(1)
    assert api.place(body(), key="refused").status == 201


def test_a_failed_customer_action_is_a_decline(world, api):
    for n in range(DECLINES):
        order = body(token="tok_action_fail", customerAction=True)
        waiting = api.place(order, key=f"acts-{n}").json
        api.act(waiting["clientSecret"])
        assert api.confirm(waiting["orderId"]).status == 402

    assert api.place(body(), key="next").problem == "too-many-orders"


def test_a_payment_that_needs_the_customer_of_a_client_that_cannot_is_a_decline(world, api):
    for n in range(DECLINES):
        assert api.place(body(token="tok_action"), key=f"no-{n}").status == 402

    assert api.place(body(), key="next").status == 429


def test_an_unavailable_provider_or_product_is_no_decline(world, api):
    world.stock(TEE, available=0)
    for n in range(DECLINES + 1):
        assert api.place(body((TEE, 1)), key=f"short-{n}").status == 409
        assert api.place(body(token="tok_timeout"), key=f"slow-{n}").status == 503

    assert api.place(body(), key="next").status == 201


def test_an_order_at_the_limit_of_declines_can_be_repeated(world, api):
    placed = api.place(body(), key="placed")
    answers = decline(api, DECLINES)

    assert api.place(body(), key="placed").json == placed.json
    assert [answer.problem for answer in decline(api, DECLINES)] == [answer.problem for answer in answers]


# --- orders and cancellations -----------------------------------------------------------------------------------------


def test_a_user_cannot_place_more_orders_than_the_limit(world, api):
    answers = [api.place(body(), key=f"key-{n}") for n in range(ORDERS + 5)]

    assert [answer.status for answer in answers] == [201] * ORDERS + [429] * 5
    assert answers[-1].json["detail"].startswith("You have placed too many orders within an hour.")
    assert world.available() == 1000 - ORDERS


def test_sixty_orders_and_cancellations_send_ten_pairs_of_mails(world, api):
    # GIVEN a user with a stranger's address, who orders and cancels
    statuses = []
    for n in range(60):
        answer = api.place(body(), key=f"key-{n}")
        statuses.append(answer.status)
        if answer.status == 201:
            assert api.cancel(answer.json["orderId"]).status == 200

    # THEN each pair counts twice
    assert statuses == [201] * (ORDERS // 2) + [429] * (60 - ORDERS // 2)
    world.until_quiet()
    assert len(world.mails()) <= ORDERS


def test_a_cancellation_is_never_refused(world, api):
    placed = [api.place(body(), key=f"key-{n}").json["orderId"] for n in range(ORDERS)]
    assert api.place(body(), key="next").status == 429

    assert [api.cancel(order_id).status for order_id in placed] == [200] * ORDERS
    assert world.available() == 1000


def test_a_cancellation_counts_in_the_hour_of_the_cancellation(world, clock, api):
    placed = [api.place(body(), key=f"key-{n}").json["orderId"] for n in range(ORDERS)]
    clock.forward(HOUR)
    for order_id in placed:
        api.cancel(order_id)

    assert api.place(body(), key="next").status == 429


def test_repeats_are_counted_once(world, api):
    order_id = api.place(body(), key="same").json["orderId"]
    for _ in range(3):
        api.place(body(), key="same")
    decline(api, 1)
    decline(api, 1)
    for _ in range(2):
        api.cancel(order_id)

    (counts,) = world.items("LimitsTable")
    assert (counts["orders"], counts["declines"]) == (3, 1)  # two orders and a cancellation


@pytest.mark.parametrize("fault", [wire.lose_response, wire.lose_response_and_token, wire.conflict])
def test_a_write_that_is_tried_again_is_counted_once(world, api, fault):
    api.get("/catalog")
    world.wire.on("dynamodb.TransactWriteItems", fault)
    assert decline(api, 1)[0].status == 402

    world.wire.on("dynamodb.TransactWriteItems", fault, nth=2)
    assert decline(api, 1, first=1)[0].status == 402

    (counts,) = world.items("LimitsTable")
    assert (counts["orders"], counts["declines"]) == (2, 2)


def test_an_order_that_could_not_be_reserved_is_not_counted(world, api):
    assert api.place(body((MUG, 999), (MUG, 1)), key="many").status == 400
    world.stock(available=0)
    for n in range(ORDERS + 1):
        assert api.place(body(), key=f"short-{n}").status == 409
    world.stock(available=1)

    assert api.place(body(), key="good").status == 201


# --- users, and no limits ---------------------------------------------------------------------------------------------


def test_users_do_not_share_their_limits(world, api):
    decline(api, DECLINES)
    assert api.place(body(), key="next").status == 429

    assert world.api("bob").place(body(), key="next").status == 201
    assert len(world.items("LimitsTable")) == 2


def test_a_limit_of_zero_is_none(stack, clock):
    world = limited(stack, clock, orders=0, declines=0)
    api = world.api()

    assert {answer.status for answer in decline(api, 30)} == {402}
    assert {api.place(body(), key=f"key-{n}").status for n in range(30)} == {201}
    # AND nothing is counted, so that the orders of a user never conflict
    assert world.items("LimitsTable") == []


def test_each_limit_can_be_off_alone(stack, clock):
    api = limited(stack, clock, orders=0, declines=1).api()
    decline(api, 1)
    assert api.place(body(), key="next").status == 429

    api = limited(stack, clock, orders=1, declines=0).api()
    decline(api, 1)
    assert api.place(body(), key="next").json["detail"].startswith("You have placed too many orders")


def test_the_counts_are_deleted_after_their_hour(world, api):
    decline(api, 1)

    (counts,) = world.items("LimitsTable")
    assert counts["id"] == f"{now_ms() // 1000 // HOUR}#ada"
    assert counts["expireAt"] == now_ms() // 1000 + 2 * HOUR
