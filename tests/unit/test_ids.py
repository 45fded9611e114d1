"""Derived ids."""

import re

from handoff.ids import event_id, shard, unique
from shop import ids


def test_the_same_user_and_key_give_the_same_order_id():
    assert ids.order_id("ada", "key") == ids.order_id("ada", "key")


def test_another_user_or_key_gives_another_order_id():
    assert len({ids.order_id(user, key) for user in ("ada", "bob") for key in ("one", "two")}) == 4


def test_the_boundary_between_user_and_key_matters():
    assert ids.order_id("ada", "1:key") != ids.order_id("ada1", ":key") != ids.order_id("ada1:", "key")
    assert ids.order_id("a", "b:c") != ids.order_id("a:b", "c")


def test_an_order_id_is_short_and_plain():
    assert re.fullmatch(r"ord_[a-z2-7]{26}", ids.order_id("ada", "key"))


def test_the_order_id_never_changes():
    assert ids.order_id("ada", "key-1") == "ord_bdhwtmrqnfa6dzwethmmvxi4pi"


def test_event_and_payment_ids_are_derived():
    assert event_id("ord_x", 2) == "ord_x-2"
    assert len({ids.payment_key("ord_x", step) for step in ("authorise", "capture", "void")}) == 3


def test_unique_ids_are_unique():
    assert len({unique() for _ in range(100)}) == 100


def test_all_shards_are_used_and_stable():
    orders = [ids.order_id("ada", str(n)) for n in range(100)]

    assert {shard(order, 4) for order in orders} == {0, 1, 2, 3}
    assert [shard(order, 4) for order in orders] == [shard(order, 4) for order in orders]
