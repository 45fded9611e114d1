"""Hundreds of threads on AWS's own engine, with conflicting writes and lost answers."""

import random
import time
from functools import partial

import pytest

from dev.simulated.messages import message
from dev.simulated.wire import conflict
from shop.errors import InProgress, NotCancellable, OutOfStock, PaymentDeclined
from shop.events import EVENTS
from shop.model import Order
from tests.dynamodb_local.concurrent_load import THREADS, at_once, wish
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


def test_an_order_is_canceled_or_prepared_never_both(shop, clock, choose, tally):
    # GIVEN placed orders
    shop.stock(PLENTY)
    orders = placed(shop, choose, 80)
    # WHEN customers cancel each order twice while fulfillment prepares each twice
    jobs = [job for order in orders for job in (partial(shop.cancel, order), partial(shop.prepare, order)) * 2]
    with shop.network.faulty():
        answers = [answer for answer in at_once(jobs) if answer]
        # AND several sweepers settle the payments
        shop.sweep_until_quiet(clock, sweepers=4)
    # THEN each order has one of the outcomes, and its customer got the matching answer
    statuses = {order["orderId"]: order["status"] for order in shop.items("OrdersTable")}
    assert set(statuses.values()) == {"PREPARED", "CANCELLED"}
    for answer in answers:
        cancelled = isinstance(answer.last, Order)
        assert cancelled or isinstance(answer.last, NotCancellable)
        assert cancelled == (statuses[answer.key] == "CANCELLED")
    # AND the invariants of stock, money, shipments and events hold
    stock_adds_up(shop, PLENTY)
    money_has_owners(shop)
    nothing_is_unfinished(shop)
    histories_are_sound(shop)
    every_event_is_published(shop)
    shipments_are_paid(shop)
    tally["cancellations during preparation"] = len(answers)


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
