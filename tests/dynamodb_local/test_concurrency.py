"""Hundreds of threads on AWS's own engine, with conflicting writes and lost answers."""

import random
import time
from dataclasses import replace
from functools import partial

import pytest

from dev.simulated.messages import message
from dev.simulated.wire import conflict
from shop.errors import (
    InProgress,
    NoAddress,
    NotCancellable,
    NotPackable,
    OutOfStock,
    PaymentDeclined,
    RefundTooLarge,
    TooManyOrders,
)
from shop.events import EVENTS
from shop.model import Order
from tests.dynamodb_local.concurrent_load import THREADS, at_once, refund_of, wish
from tests.support.invariants import (
    every_event_is_published,
    histories_are_sound,
    money_has_owners,
    nothing_is_unfinished,
    refunds_are_in_the_ledger,
    refunds_are_within_the_capture,
    sales_are_exact,
    shipments_are_paid,
    stock_adds_up,
)

HOT = {"MUG-01": 60, "TEE-02": 60, "CAP-03": 60, "BAG-04": 60}
PLENTY = dict.fromkeys(HOT, 1000)
FEW = 20  # threads: so few that no answer is late
TOKENS = ["tok_approve"] * 12 + ["tok_decline", "tok_decline", "tok_timeout", "tok_timeout_held", "tok_fail_once"]


@pytest.fixture
def choose(request):
    """Seeded random choices."""
    return random.Random(request.config.getoption("--chaos-seed"))


def any_wish(choose, token="tok_approve"):
    """Return a request for one or two products, up to three of each."""
    return wish({sku: choose.randint(1, 3) for sku in choose.sample(sorted(HOT), choose.randint(1, 2))}, token=token)


def placed(shop, choose, number):
    """Place this many orders without faults; return them."""
    return [shop.place(any_wish(choose)).last for _ in range(number)]


def test_a_load_peak_oversells_nothing_and_answers_each_key_once(shop, clock, choose, tally):
    # GIVEN four products, three times as much demand as stock, and some failing payments
    shop.stock(HOT)
    wishes = [any_wish(choose, token) for token in choose.choices(TOKENS, k=240)]
    # WHEN hundreds of threads send the requests, two for each key
    start = time.perf_counter()
    with shop.network.faulty():
        peak = at_once([partial(shop.place, wish) for wish in wishes for _ in range(2)])
    seconds = time.perf_counter() - start
    # THEN nothing is oversold, and demand exceeded the stock
    stock_adds_up(shop, HOT)
    assert any(isinstance(answers.last, OutOfStock) for answers in peak)
    # AND no key is left in progress, and every completed order is published
    died = {answers.key for answers in peak if answers.died}
    for key in {answers.key for answers in peak} - died:
        assert any(
            not isinstance(answer, InProgress) for answers in peak if answers.key == key for answer in answers.received
        )
    done = {answers.last.order_id for answers in peak if answers.key not in died and isinstance(answers.last, Order)}
    assert done <= {event["Detail"]["data"]["orderId"] for event in shop.network.events}
    # WHEN all requests are repeated after the leases of failed requests have ended
    clock.forward(30)
    repeated = at_once([partial(shop.place, wish) for wish in wishes], FEW)
    # THEN every key keeps its outcome, except that a rejection for lack of stock may become an order
    assert all(answers.definite for answers in repeated)
    outcomes = {answers.key: [] for answers in repeated}
    for answers in (*peak, *repeated):
        outcomes[answers.key] += [answer for answer in answers.received if isinstance(answer, (Order, PaymentDeclined))]
    stored = {order["orderId"]: order for order in shop.items("OrdersTable")}
    for wanted in wishes:
        order = stored.get(wanted.order_id)
        for outcome in outcomes[wanted.idempotency_key]:
            assert isinstance(outcome, Order) == (order["status"] == "PLACED")
            if isinstance(outcome, Order):
                assert (outcome.order_id, outcome.placed_at, outcome.total) == tuple(
                    order[name] for name in ("orderId", "placedAt", "total")
                )
                assert {line.sku: line.quantity for line in outcome.lines} == wanted.quantities
        assert bool(order) == bool(outcomes[wanted.idempotency_key])
    # AND after the sweeps all invariants hold
    shop.sweep_until_quiet(clock, sweepers=2)
    stock_adds_up(shop, HOT)
    money_has_owners(shop)
    nothing_is_unfinished(shop)
    histories_are_sound(shop)
    every_event_is_published(shop)
    tally["threads"] = THREADS
    tally["orders requested in the peak"] = len(peak)
    tally["orders requested per second in the peak"] = round(len(peak) / seconds)
    tally["orders placed in the peak"] = sum(order["status"] == "PLACED" for order in stored.values())
    tally["orders rejected in the peak"] = len(wishes) - sum(order["status"] == "PLACED" for order in stored.values())


def test_an_order_is_canceled_or_packed_never_both(shop, clock, choose, tally):
    # GIVEN placed orders
    shop.stock(PLENTY)
    orders = placed(shop, choose, 80)
    # WHEN customers cancel each order twice while a warehouse packs each twice
    requests = [(request, order) for order in orders for request in (shop.cancel, shop.pack) * 2]
    with shop.network.faulty():
        answers = at_once([partial(request, order) for request, order in requests])
        # AND several sweepers settle the payments
        shop.sweep_until_quiet(clock, sweepers=4)
    # THEN each order has one of the outcomes, and both callers got the matching answer
    statuses = {order["orderId"]: order["status"] for order in shop.items("OrdersTable")}
    assert set(statuses.values()) == {"PREPARED", "CANCELLED"}
    for (request, _), answer in zip(requests, answers, strict=True):
        wanted, refusal = ("CANCELLED", NotCancellable) if request == shop.cancel else ("PREPARED", NotPackable)
        assert isinstance(answer.last, (Order, refusal)), answer
        assert isinstance(answer.last, Order) == (statuses[answer.key] == wanted)
    # AND the invariants of stock, money, shipments and events hold
    stock_adds_up(shop, PLENTY)
    money_has_owners(shop)
    nothing_is_unfinished(shop)
    histories_are_sound(shop)
    every_event_is_published(shop)
    shipments_are_paid(shop)
    tally["cancellations and packings of the same orders"] = len(answers)


def test_racing_refunds_never_exceed_what_was_captured(shop, clock, choose, tally):
    # GIVEN captured orders
    shop.stock(PLENTY)
    orders = placed(shop, choose, 13)
    for order in orders:
        shop.pack(order)
    shop.sweep_until_quiet(clock, sweepers=2)
    # WHEN sixteen programs refund a third of each order at the same time, and repeat their requests
    requests = [refund_of(order, order.total // 3) for order in orders for _ in range(16)]
    with shop.network.faulty():
        answers = at_once([partial(shop.refund, request) for request in requests])
        repeated = at_once([partial(shop.refund, request) for request in requests], FEW)
        # AND several sweepers make the refunds
        shop.sweep_until_quiet(clock, sweepers=4)
    # THEN three refunds of each order are accepted, and a repeat gets the same answer
    accepted = [isinstance(answer.last, Order) for answer in answers]
    assert all(isinstance(answer.last, (Order, RefundTooLarge)) for answer in (*answers, *repeated))
    assert accepted == [isinstance(answer.last, Order) for answer in repeated]
    for n, order in enumerate(orders):
        assert accepted[16 * n : 16 * (n + 1)].count(True) == 3, order.order_id
    # AND each is made once, and no more
    refunds_are_in_the_ledger(shop)
    refunds_are_within_the_capture(shop)
    nothing_is_unfinished(shop)
    histories_are_sound(shop)
    every_event_is_published(shop)
    stock_adds_up(shop, PLENTY)
    tally["refunds requested"] = len(answers)
    tally["refunds made"] = accepted.count(True)


@pytest.mark.parametrize("then", [(), (conflict,)], ids=["same token", "new token"])
def test_a_lost_answer_has_no_effect_on_the_outcome(shop, choose, tally, then):
    # GIVEN customers with valid cards
    shop.stock(PLENTY)
    wishes = [any_wish(choose) for _ in range(60)]
    # WHEN each write loses its first answer and is retried: with the same request token, or after a conflict
    with shop.network.losing_answers(*then):
        orders = [answers.last for answers in at_once([partial(shop.place, wish) for wish in wishes], FEW)]
        cancelled = [answers.last for answers in at_once([partial(shop.cancel, order) for order in orders], FEW)]
    # THEN every order is placed, and nothing is done twice or left to the sweeper
    assert all(isinstance(order, Order) for order in cancelled)
    stock_adds_up(shop, PLENTY)
    every_event_is_published(shop)
    tally["orders and cancellations with every answer lost"] = 2 * len(orders)


def test_sales_are_exact_under_concurrent_duplicate_deliveries(shop, choose, tally):
    # GIVEN the events of orders, some of them canceled
    shop.stock(PLENTY)
    orders = placed(shop, choose, 100)
    for order in orders[::4]:
        shop.cancel(order)
    events = [
        EVENTS.parse(
            message(event["DetailType"], event["Detail"]["data"]["orderId"], event["Detail"]["metadata"]["sequence"])
        )
        for event in shop.network.events
    ]
    # WHEN each event is delivered ten times, shuffled, in batches to hundreds of threads
    deliveries = events * 10
    choose.shuffle(deliveries)
    batches = [deliveries[start : start + 5] for start in range(0, len(deliveries), 5)]
    with shop.network.faulty():
        at_once([partial(shop.count, batch) for batch in batches])
    # THEN each is counted once
    sales_are_exact(shop)
    tally["events counted by analytics"] = len(events)
    tally["deliveries to analytics"] = len(deliveries)


def test_concurrent_sweepers_finish_all_work_once(shop, clock, choose, tally):
    # GIVEN a dead bus, so that no event is published
    shop.stock(PLENTY)
    shop.network.bus_works = False
    orders = placed(shop, choose, 40)
    for order in orders[::2]:
        shop.cancel(order)
    # AND abandoned orders whose payments have no answer
    left = [wish({"MUG-01": 1}, token=token) for token in ("tok_timeout", "tok_timeout_held") * 15]
    for abandoned in left:
        shop.place_once(abandoned)
    shop.network.bus_works = True
    # WHEN several sweepers run concurrently
    with shop.network.faulty():
        done = shop.sweep_until_quiet(clock, sweepers=8)
    # THEN all work is finished, and each abandoned order expired once
    assert done["OrdersExpired"] == len(left)
    stock_adds_up(shop, PLENTY)
    money_has_owners(shop)
    nothing_is_unfinished(shop)
    histories_are_sound(shop)
    every_event_is_published(shop)
    tally["orders finished by sweepers"] = len(orders) + len(left)


LIMIT = 5


@pytest.mark.parametrize("shop", [{"ORDERS_PER_HOUR": str(LIMIT)}], indirect=True)
def test_parallel_orders_of_one_user_stop_exactly_at_the_limit(shop, clock, tally):
    # GIVEN a user who may place five orders in an hour
    shop.stock(PLENTY)
    # WHEN sixteen threads place orders at once, while writes conflict and answers are lost
    with shop.network.faulty():
        answers = at_once([partial(shop.place, wish({"MUG-01": 1})) for _ in range(16)], 16)
    # THEN exactly five are accepted, and all others are refused without an order
    stored = shop.items("OrdersTable")
    assert len(stored) == LIMIT
    assert sum(isinstance(each.last, TooManyOrders) for each in answers) >= 16 - LIMIT
    assert [item["orders"] for item in shop.items("LimitsTable") if "orders" in item] == [LIMIT]
    # AND nothing is left of the others
    shop.sweep_until_quiet(clock, sweepers=2)
    stock_adds_up(shop, PLENTY)
    tally["orders of one user at once, of which five are accepted"] = len(answers)


def test_parallel_confirmations_place_an_order_once(shop, clock, tally):
    # GIVEN orders whose customers have acted at the payment provider
    shop.stock(PLENTY)
    wishes = [wish({"MUG-01": 1}, token="tok_action") for _ in range(10)]
    for wanted in wishes:
        shop.start(wanted)
    # WHEN each is confirmed by several pages, and its request is repeated, while writes conflict and answers are lost
    confirmations = [partial(shop.confirm, wanted.order_id) for wanted in wishes for _ in range(4)]
    repeats = [partial(shop.place, wanted) for wanted in wishes for _ in range(4)]
    with shop.network.faulty():
        answers = at_once([job for pair in zip(confirmations, repeats, strict=True) for job in pair], 40)
    # THEN each answer is the placed order
    assert {type(each.last) for each in answers if each.definite} == {Order}
    shop.sweep_until_quiet(clock, sweepers=2)
    orders = shop.items("OrdersTable")
    assert [[step["status"] for step in order["history"]] for order in orders] == [["PENDING"] * 2 + ["PLACED"]] * 10
    # AND each was placed with one event
    placed = [event for event in shop.network.events if event["DetailType"] == "order_placed"]
    assert len({event["Detail"]["metadata"]["eventId"] for event in placed}) == 10
    stock_adds_up(shop, PLENTY)
    money_has_owners(shop)
    histories_are_sound(shop)
    every_event_is_published(shop)
    tally["parallel confirmations"] = len(answers)


def test_no_order_is_accepted_after_the_customers_address_is_flagged(shop, clock, choose, tally):
    # GIVEN customers with an address; half of their tokens have it too
    shop.stock(PLENTY)
    users = [f"user-{n}" for n in range(30)]
    shop.customers(*users)

    def order(user):
        wanted = wish({choose.choice(sorted(HOT)): 1}, user=user)
        return wanted if choose.random() < 0.5 else replace(wanted, verified_email=None)

    def flag_then_place(user, wanted):
        shop.flag(user)
        return shop.place(wanted)

    # WHEN mails to them bounce while they place orders, and each orders again after that
    early = [partial(shop.place, order(user)) for user in users for _ in range(3)]
    late = [partial(flag_then_place, user, order(user)) for user in users]
    jobs = [*early, *late]
    shuffled = choose.sample(range(len(jobs)), len(jobs))
    with shop.network.faulty():
        answers = dict(zip(shuffled, at_once([jobs[n] for n in shuffled], 60), strict=True))
    # THEN every later order is refused, and an earlier one is accepted or refused
    refused = [answers[n].last for n in range(len(early), len(jobs))]
    assert {type(answer) for answer in refused} == {NoAddress}
    assert {answer.problem for answer in refused} == {"bounced"}
    outcomes = [type(answers[n].last) for n in range(len(early)) if answers[n].definite]
    assert set(outcomes) == {Order, NoAddress}
    # AND of a refused order nothing is left
    shop.sweep_until_quiet(clock, sweepers=2)
    accepted = {order["orderId"] for order in shop.items("OrdersTable")}
    assert len(accepted) <= len(early)
    assert {answer.last.order_id for answer in answers.values() if isinstance(answer.last, Order)} <= accepted
    stock_adds_up(shop, PLENTY)
    money_has_owners(shop)
    # WHEN the customers save their addresses again, the same orders are accepted
    at_once([partial(shop.save_address, user) for user in users], FEW)
    again = at_once([partial(shop.place, order(user)) for user in users], FEW)
    assert {type(each.last) for each in again} == {Order}
    tally["orders at once with a bounce of their customer's address"] = len(jobs)


def test_parallel_first_orders_of_a_user_take_the_address_of_the_token_once(shop, clock, choose, tally):
    # GIVEN users without a profile, whose tokens have a verified address
    shop.stock(PLENTY)
    wishes = [wish({choose.choice(sorted(HOT)): 1}, user=f"user-{n}") for n in range(10) for _ in range(4)]
    # WHEN each places four orders at once
    with shop.network.faulty():
        answers = at_once([partial(shop.place, wanted) for wanted in wishes], 40)
    # THEN all are accepted, and each user has one address
    assert {type(each.last) for each in answers if each.definite} == {Order}
    found = {customer["userId"]: customer["email"] for customer in shop.items("CustomersTable")}
    assert found == {f"user-{n}": f"user-{n}@example.com" for n in range(10)}
    shop.sweep_until_quiet(clock, sweepers=2)
    stock_adds_up(shop, PLENTY)
    tally["first orders of users without a profile"] = len(answers)
