"""One product that everybody orders: its stock in one item, and split into shards."""

import random
import time
from collections import Counter
from functools import partial

import pytest

from shop.errors import OutOfStock, TryLater
from shop.model import Order
from tests.dynamodb_local.concurrent_load import THREADS, at_once, wish
from tests.support.invariants import (
    every_event_is_published,
    histories_are_sound,
    money_has_owners,
    nothing_is_unfinished,
    stock_adds_up,
)

MUG, TEE = "MUG-01", "TEE-02"
UNITS = 400
OTHERS = 200


def rush(shop, tally, name, sku, customers):
    """Let a crowd of customers order one unit each, and retry; return their answers and the conflicts per answer."""
    wishes = [wish({sku: 1}, user=f"{name}-{n}") for n in range(customers)]
    before, start = shop.network.counts["conflicts injected"], time.perf_counter()
    with shop.network.unhurried(), shop.network.contended():
        crowd = at_once([partial(shop.place, wanted) for wanted in wishes])
    seconds = time.perf_counter() - start
    conflicts = shop.network.counts["conflicts injected"] - before
    answers = Counter(type(answer) for answers in crowd for answer in answers.received)
    tally[f"{name}: orders placed"] = answers[Order]
    tally[f"{name}: orders placed per second"] = round(answers[Order] / seconds)
    tally[f"{name}: answers 503"] = answers[TryLater]
    tally[f"{name}: conflicts"] = conflicts
    return answers, conflicts / answers.total()


@pytest.fixture
def choose(request):
    """Seeded random choices."""
    return random.Random(request.config.getoption("--chaos-seed"))


@pytest.fixture
def checked(shop, clock):
    """Check the invariants after the test."""
    yield
    shop.sweep_until_quiet(clock, sweepers=2)
    stock_adds_up(shop, {MUG: UNITS, TEE: OTHERS})
    money_has_owners(shop)
    nothing_is_unfinished(shop)
    histories_are_sound(shop)
    every_event_is_published(shop)


@pytest.mark.usefixtures("checked")
def test_shards_let_a_crowd_order_one_product(shop, tally):
    # GIVEN a product of eight shards, which every instance knows, and one in its own item
    shop.stock({MUG: UNITS, TEE: OTHERS})
    shop.split(MUG, 8)
    shop.read_catalog()
    # WHEN more customers than there are units order the one, and then as many as there are the other
    answers, seldom = rush(shop, tally, "8 shards", MUG, UNITS + THREADS)
    few, often = rush(shop, tally, "1 item", TEE, OTHERS)
    # THEN every unit is sold and no other
    assert (answers[Order], few[Order]) == (UNITS, OTHERS)
    assert answers[OutOfStock] == THREADS
    # AND orders conflict far less often, and hardly any customer has to come back
    assert seldom < often / 5
    assert answers[TryLater] / answers.total() < 0.005
    tally["threads"] = THREADS


@pytest.mark.usefixtures("checked")
def test_the_number_of_shards_changes_while_a_crowd_orders(shop, clock, choose, tally):
    # GIVEN more demand than stock, for one to four units each
    shop.stock({MUG: UNITS, TEE: OTHERS})
    wishes = [wish({MUG: choose.randint(1, 4)}, user=f"user-{n}") for n in range(300)]
    orders = [partial(shop.place, wanted) for wanted in wishes]
    # WHEN operators raise and lower the number of shards meanwhile, sometimes two at once
    for n, shards in enumerate((8, 3, 1, 12, 5, 5, 2, 20, 1, 4)):
        orders.insert(25 * n + n % 2, partial(shop.split, MUG, shards))
    with shop.network.unhurried(), shop.network.faulty():
        at_once(orders)
    # AND all requests are repeated after the leases of failed requests have ended
    clock.forward(30)
    repeated = at_once([partial(shop.place, wanted) for wanted in wishes], 20)
    # THEN the stock is sold, up to what too few are left for
    left = UNITS - sum(
        line.quantity for answers in repeated if isinstance(answers.last, Order) for line in answers.last.lines
    )
    assert 0 <= left < 4
    tally["requests while the number of shards changed"] = len(orders)
