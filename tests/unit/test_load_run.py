"""`handoff load`: its steps, after an interrupt, a refused order and an inconsistency."""

from types import SimpleNamespace

import pytest

from ops.load import run as load_run
from ops.load.measure import Level
from ops.load.run import LoadTest
from ops.load.settings import Settings
from ops.load.users import Request
from ops.shop_client import Account, Answer
from ops.smoke import Check

SETTINGS = Settings(users=(1, 3), seconds=1.0)


class FakeStage:
    """Customers without a stack; ``cancelled`` and ``cleared`` say what was done."""

    def __init__(self):
        self.deployment = SimpleNamespace(api_url="http://shop", parameters={"PackAfter": "10"})
        self.skus = ["A", "B"]
        self.accounts = {}
        self.cancelled = []
        self.cleared = False

    def set_up(self, customers):
        self.accounts = {n: Account(f"user-{n}", "token") for n in range(customers)}

    def tokens(self):
        return ["token"] * len(self.accounts)

    def cancel(self, orders):
        self.cancelled += orders
        return "all"

    def clear(self):
        self.cleared = True
        return "done"


@pytest.fixture
def world(monkeypatch):
    """A load test whose steps are replaced; the orders' ids are their keys."""
    state = SimpleNamespace(status=201, consistent=True, checked=[])

    def place(self, body, key):
        return Answer(state.status, {}, {}, 5.0)

    def measure(stage, settings, users, sent):
        sent.append(Request(1.0, 5.0, "201", 0, f"key-{users}"))
        sent.append(Request(1.0, 5.0, "503", 0, f"refused-{users}"))
        if state.interrupted_at == users:
            raise KeyboardInterrupt
        return Level(users, 1.0, {"201": [5.0]}, 0, 0.0, None)

    class FakeConsistency:
        def __init__(self, stage):
            pass

        def stored(self, ids):
            return {one: {} for one in ids if not one.startswith("refused")}

        def check(self, sent, answered, within, show):
            state.checked = [sorted(sent), sorted(answered)]
            return [Check("the stock adds up", "seen", state.consistent)]

    state.interrupted_at = 0
    monkeypatch.setattr(load_run.ShopClient, "place", place)
    monkeypatch.setattr(load_run, "uuid4", lambda: "key-0")
    monkeypatch.setattr(load_run, "order_id", lambda user, key: key)
    monkeypatch.setattr(load_run.measure, "measure", measure)
    monkeypatch.setattr(load_run.measure, "drain", lambda *_: 0.0)
    monkeypatch.setattr(load_run, "Consistency", FakeConsistency)
    state.test = LoadTest(FakeStage(), SETTINGS, lambda _: None)
    return state


def test_every_order_that_was_sent_is_cancelled_and_checked(world):
    world.test.run()

    assert [level.users for level in world.test.levels] == [1, 3]
    assert sorted(world.test.stage.cancelled) == ["key-0", "key-1", "key-3"]
    assert world.checked == [["key-0", "key-1", "key-3", "refused-1", "refused-3"], ["key-0", "key-1", "key-3"]]
    assert (world.test.passed, world.test.is_consistent, world.test.stage.cleared) == (True, True, True)


def test_an_interrupt_ends_the_load_and_the_rest_is_done(world):
    world.interrupted_at = 1
    world.test.run()

    assert world.test.levels == []
    assert sorted(world.test.stage.cancelled) == ["key-0", "key-1"]
    assert isinstance(world.test.interrupt, KeyboardInterrupt)
    assert (world.test.is_consistent, world.test.stage.cleared) == (True, True)


def test_a_stack_that_refuses_the_first_order_gets_no_load(world):
    world.status = 422
    world.test.run()

    assert world.test.levels == []
    assert "the first order was answered 422" in world.test.checks[0].seen
    assert (world.test.passed, world.test.stage.cleared) == (False, True)


def test_an_inconsistent_stack_keeps_what_shows_the_cause(world):
    world.consistent = False
    world.test.run()

    assert (world.test.passed, world.test.is_consistent, world.test.stage.cleared) == (False, False, False)


def test_an_interrupt_before_the_first_order_clears_up(world, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(world.test.stage, "set_up", interrupted)
    world.test.run()

    assert (world.test.is_consistent, world.test.stage.cleared, world.checked) == (None, True, [])
