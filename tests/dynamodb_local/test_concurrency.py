"""Hundreds of threads on AWS's own engine, whose writes conflict and whose answers get lost."""

import random
import time
from functools import partial

import pytest

from dev.simulated.messages import message
from dev.simulated.wire import conflict
from shop.errors import InProgress, NotCancellable, OutOfStock, PaymentDeclined
from shop.events import parse
from shop.model import Order
from tests.dynamodb_local.market import THREADS, at_once, wish
from tests.support.invariants import (
    every_event_is_published,
    histories_are_sound,
    money_has_owners,
    nothing_is_unfinished,
    sales_are_exact,
    shipments_are_paid,
    stock_adds_up,
)

HOT = {"MUG-01": 60, "TEE-02": 60, "CAP-03": 60, "BAG-04": 60}
PLENTY = dict.fromkeys(HOT, 1000)
FEW = 20  # threads, for which no answer is late by itself
TOKENS = ["tok_approve"] * 12 + ["tok_decline", "tok_decline", "tok_timeout", "tok_timeout_held", "tok_fail_once"]


@pytest.fixture
def choose(request):
    """Random choices, the same in each run."""
    return random.Random(request.config.getoption("--chaos-seed"))


def any_wish(choose, token="tok_approve"):
    """One or two of the hot products, up to three of each."""
    return wish({sku: choose.randint(1, 3) for sku in choose.sample(sorted(HOT), choose.randint(1, 2))}, token=token)


def placed(market, choose, number):
    """So many orders, placed while nothing goes wrong."""
    return [market.place(any_wish(choose)).last for _ in range(number)]


def test_a_rush_oversells_nothing_and_answers_each_key_once(market, clock, choose, tally):
    # GIVEN four products, and three times as many wishes as goods, some with cards that make trouble
    market.load(HOT)
    wishes = [any_wish(choose, token) for token in choose.choices(TOKENS, k=240)]
    # WHEN hundreds of threads send them, each key from two at once
    start = time.perf_counter()
    with market.network.rough():
        rush = at_once([partial(market.place, wish) for wish in wishes for _ in range(2)])
    seconds = time.perf_counter() - start
    # THEN nothing is oversold, and there was a rush
    stock_adds_up(market, HOT)
    assert any(isinstance(answers.last, OutOfStock) for answers in rush)
    # AND nobody was left waiting for an order that nobody worked on, or announced
    died = {answers.key for answers in rush if answers.died}
    for key in {answers.key for answers in rush} - died:
        assert any(not isinstance(said, InProgress) for answers in rush if answers.key == key for said in answers.heard)
    done = {answers.last.order_id for answers in rush if answers.key not in died and isinstance(answers.last, Order)}
    assert done <= {event["Detail"]["data"]["orderId"] for event in market.events()}
    # WHEN all of them ask again, after the leases of requests that died are over
    clock.forward(30)
    again = at_once([partial(market.place, wish) for wish in wishes], FEW)
    # THEN every key has one order or one refusal, and always the same; only what is out of stock may be in stock again
    assert all(answers.definite for answers in again)
    heard = {answers.key: [] for answers in again}
    for answers in (*rush, *again):
        heard[answers.key] += [said for said in answers.heard if isinstance(said, (Order, PaymentDeclined))]
    stored = {order["orderId"]: order for order in market.items("OrdersTable")}
    for wanted in wishes:
        order = stored.get(wanted.order_id)
        for said in heard[wanted.idempotency_key]:
            assert isinstance(said, Order) == (order["status"] == "PLACED")
            if isinstance(said, Order):
                assert (said.order_id, said.placed_at, said.total) == tuple(
                    order[name] for name in ("orderId", "placedAt", "total")
                )
                assert {line.sku: line.quantity for line in said.lines} == wanted.quantities
        assert bool(order) == bool(heard[wanted.idempotency_key])
    # AND after some sweeping, everything adds up
    market.sweep_until_quiet(clock, sweepers=2)
    stock_adds_up(market, HOT)
    money_has_owners(market)
    nothing_is_unfinished(market)
    histories_are_sound(market)
    every_event_is_published(market)
    tally["threads"] = THREADS
    tally["orders asked for in the rush"] = len(rush)
    tally["orders asked for a second in the rush"] = round(len(rush) / seconds)
    tally["orders placed in the rush"] = sum(order["status"] == "PLACED" for order in stored.values())
    tally["orders refused in the rush"] = len(wishes) - sum(order["status"] == "PLACED" for order in stored.values())


def test_an_order_is_cancelled_or_prepared_never_both(market, clock, choose, tally):
    # GIVEN placed orders
    market.load(PLENTY)
    orders = placed(market, choose, 80)
    # WHEN customers cancel them, each twice, while fulfillment prepares them, each twice
    jobs = [job for order in orders for job in (partial(market.cancel, order), partial(market.prepare, order)) * 2]
    with market.network.rough():
        answers = [answer for answer in at_once(jobs) if answer]
        # AND several sweepers settle the payments
        market.sweep_until_quiet(clock, sweepers=4)
    # THEN each went one way, and its customer was told so
    statuses = {order["orderId"]: order["status"] for order in market.items("OrdersTable")}
    assert set(statuses.values()) == {"PREPARED", "CANCELLED"}
    for answer in answers:
        cancelled = isinstance(answer.last, Order)
        assert cancelled or isinstance(answer.last, NotCancellable)
        assert cancelled == (statuses[answer.key] == "CANCELLED")
    # AND stock, money, shipments and events are as they should be
    stock_adds_up(market, PLENTY)
    money_has_owners(market)
    nothing_is_unfinished(market)
    histories_are_sound(market)
    every_event_is_published(market)
    shipments_are_paid(market)
    tally["cancellations that raced with fulfillment"] = len(answers)


@pytest.mark.parametrize("then", [(), (conflict,)], ids=["same token", "new token"])
def test_a_lost_answer_costs_nobody_anything(market, choose, tally, then):
    # GIVEN customers with cards that are good
    market.load(PLENTY)
    wishes = [any_wish(choose) for _ in range(60)]
    # WHEN each write loses its first answer, and is repeated: under the token of the first, or after a conflict
    with market.network.losing(*then):
        orders = [answers.last for answers in at_once([partial(market.place, wish) for wish in wishes], FEW)]
        cancelled = [answers.last for answers in at_once([partial(market.cancel, order) for order in orders], FEW)]
    # THEN everybody has been served, and nothing was done twice or left to the sweeper
    assert all(isinstance(order, Order) for order in cancelled)
    stock_adds_up(market, PLENTY)
    every_event_is_published(market)
    tally["orders and cancellations of which every answer was lost"] = 2 * len(orders)


def test_sales_are_exact_however_often_and_at_once_events_come(market, choose, tally):
    # GIVEN the events of orders, some of them cancelled
    market.load(PLENTY)
    orders = placed(market, choose, 100)
    for order in orders[::4]:
        market.cancel(order)
    events = [
        parse(message(event["DetailType"], event["Detail"]["data"]["orderId"], event["Detail"]["metadata"]["sequence"]))
        for event in market.events()
    ]
    # WHEN they come, each ten times, in no order, in batches to hundreds of threads
    deliveries = events * 10
    choose.shuffle(deliveries)
    batches = [deliveries[start : start + 5] for start in range(0, len(deliveries), 5)]
    with market.network.rough():
        at_once([partial(market.count, batch) for batch in batches])
    # THEN each is counted once
    sales_are_exact(market)
    tally["events counted by analytics"] = len(events)
    tally["deliveries of them"] = len(deliveries)


def test_several_sweepers_at_once_finish_what_is_left_and_nothing_twice(market, clock, choose, tally):
    # GIVEN that the bus is down, so that no event is out
    market.load(PLENTY)
    market.network.bus_works = False
    orders = placed(market, choose, 40)
    for order in orders[::2]:
        market.cancel(order)
    # AND customers who left while their payments had no answer
    left = [wish({"MUG-01": 1}, token=token) for token in ("tok_timeout", "tok_timeout_held") * 15]
    for given_up in left:
        market.place_once(given_up)
    market.network.bus_works = True
    # WHEN several sweepers come by at once
    with market.network.rough():
        done = market.sweep_until_quiet(clock, sweepers=8)
    # THEN everything is finished, and each order given up once
    assert done["OrdersExpired"] == len(left)
    stock_adds_up(market, PLENTY)
    money_has_owners(market)
    nothing_is_unfinished(market)
    histories_are_sound(market)
    every_event_is_published(market)
    tally["orders finished by sweepers"] = len(orders) + len(left)
