"""Orders whose customer has to confirm the payment at the provider first."""

import json
from datetime import datetime

import pytest

from dev.simulated import wire
from dev.simulated.world import MUG, World, body
from handoff.clock import now_ms
from tests.support import invariants, provider_events

EXPIRES_AFTER = 900  # seconds, the default of ActionExpiresAfter


def acting(token="tok_action", **values):
    """A body whose client lets the customer act."""
    return body(token=token, customerAction=True, **values)


@pytest.fixture
def waiting(api):
    """The 202 of an order that waits for its customer."""
    answer = api.place(acting())
    assert answer.status == 202
    return answer.json


def seconds_until(timestamp):
    return (datetime.fromisoformat(timestamp).timestamp() * 1000 - now_ms()) / 1000


def nothing_is_left(world):
    """Check that the order has ended: no work, stock or money is left."""
    invariants.nothing_is_unfinished(world)
    invariants.stock_adds_up(world, {MUG: 10})
    invariants.money_has_owners(world)


# --- the 202 ----------------------------------------------------------------------------------------------------------


def test_an_order_whose_customer_has_to_act_is_answered_with_202(api):
    answer = api.place(acting())

    assert answer.status == 202
    assert answer.headers["location"] == f"/orders/{answer.json['orderId']}"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json.keys() == {"orderId", "status", "clientSecret", "expiresAt", "total", "currency"}
    assert (answer.json["status"], answer.json["total"], answer.json["currency"]) == ("ACTION_REQUIRED", 1250, "EUR")
    assert seconds_until(answer.json["expiresAt"]) == EXPIRES_AFTER


def test_an_order_that_waits_is_pending_with_its_stock_reserved(world, api, waiting):
    shown = api.get(f"/orders/{waiting['orderId']}").json

    assert world.available() == 9
    assert (shown["status"], shown["payment"], shown["placedAt"]) == ("PENDING", "none", None)
    assert shown["actionExpiresAt"] == waiting["expiresAt"]
    assert shown["history"][-1] == {
        "sequence": 1,
        "status": "PENDING",
        "at": "2026-11-23T10:00:00.000Z",
        "actionRequired": True,
    }
    assert world.events() == []
    assert world.ledger() == {waiting["orderId"]: "action"}


def test_the_client_secret_is_in_no_log_event_or_order(world, logged, api, capsys):
    waiting = api.place(acting()).json
    api.act(waiting["clientSecret"])
    api.confirm(waiting["orderId"])

    written = [logged(), capsys.readouterr().out, json.dumps(world.events())]
    written += [str(world.items(table)) for table in ("OrdersTable", "LimitsTable", "CustomersTable")]
    secret = waiting["clientSecret"].rpartition("_secret_")[2]
    assert len(secret) >= 24
    assert [text for text in written if secret in text] == []


def test_without_customer_action_the_payment_is_declined_with_advice(world, api):
    answer = api.place(body(token="tok_action"))

    assert (answer.status, answer.problem) == (402, "payment-declined")
    assert "Send customerAction: true" in answer.json["detail"]
    assert world.available() == 10
    assert world.ledger() == {answer.json["orderId"]: "declined"}


def test_a_payment_without_need_of_the_customer_is_answered_with_201(api):
    assert api.place(acting("tok_approve")).status == 201
    assert api.place(acting("tok_decline"), key="declined").status == 402


# --- acting and confirming --------------------------------------------------------------------------------------------


def test_a_confirmed_order_is_placed_with_one_event(world, api, waiting):
    # GIVEN a customer who has acted
    assert api.act(waiting["clientSecret"]).json == {"state": "held"}

    # WHEN the page confirms the order
    answer = api.confirm(waiting["orderId"])

    # THEN it is placed once, and nothing is unfinished
    assert (answer.status, answer.json["status"], answer.json["payment"]) == (200, "PLACED", "authorised")
    assert "actionExpiresAt" not in answer.json
    assert world.event_types() == ["order_placed"]
    consumers = world.stack.template.event_consumers()
    assert world.unfinished() == [found.function_id for found in consumers if "order_placed" in found.detail_types]
    world.until_quiet()
    assert world.order(waiting["orderId"])["payment"]["state"] == "captured"
    nothing_is_left(world)


def test_confirming_twice_places_the_order_once(world, api, waiting):
    api.act(waiting["clientSecret"])

    answers = [api.confirm(waiting["orderId"]) for _ in range(3)]

    assert [answer.status for answer in answers] == [200] * 3
    assert len({json.dumps(answer.json) for answer in answers}) == 1
    assert world.event_types() == ["order_placed"]


def test_confirming_before_the_customer_has_acted_is_answered_with_the_same_202(api, waiting):
    answer = api.confirm(waiting["orderId"])

    assert (answer.status, answer.json) == (202, waiting)
    assert answer.headers["cache-control"] == "no-store"


def test_a_repeated_request_gets_the_same_202_and_the_order_once_the_customer_has_acted(world, api, waiting):
    repeat = api.place(acting())
    assert (repeat.status, repeat.json) == (202, waiting)

    api.act(waiting["clientSecret"])
    placed = [api.place(acting()) for _ in range(2)]

    assert [answer.status for answer in placed] == [201, 201]
    assert placed[0].json == placed[1].json
    assert placed[0].json["orderId"] == waiting["orderId"]
    assert world.event_types() == ["order_placed"]
    assert world.available() == 9


def test_a_repeat_from_a_client_that_knows_no_202_is_told_to_wait(world, api, waiting):
    repeat = api.place(body(token="tok_action"))

    assert (repeat.status, repeat.problem) == (409, "in-progress")
    assert repeat.headers["retry-after"] == str(EXPIRES_AFTER)
    assert "clientSecret" not in repeat.json
    api.act(waiting["clientSecret"])
    assert api.place(body(token="tok_action")).status == 201


def test_a_key_means_the_same_with_and_without_customer_action(api):
    placed = api.place(body())

    assert api.place(acting("tok_approve")).json == placed.json
    assert api.place(acting("tok_approve", expectedTotal=1250)).problem == "key-reused"


def test_a_failed_action_is_a_decline_with_stock_and_hold_returned(world, api):
    waiting = api.place(acting("tok_action_fail")).json
    assert api.act(waiting["clientSecret"]).json == {"state": "failed"}

    answer = api.confirm(waiting["orderId"])

    assert (answer.status, answer.problem) == (402, "payment-declined")
    assert world.available() == 10
    assert api.place(acting("tok_action_fail")).problem == "payment-declined"
    world.clock.forward(60)
    world.sweep()  # voids the payment, which the customer's page could try again
    assert world.ledger() == {waiting["orderId"]: "void"}
    assert world.events() == []
    assert world.unfinished() == []
    assert api.act(waiting["clientSecret"]).json == {"state": "voided"}


# --- the other ways to the end ----------------------------------------------------------------------------------------


def test_the_sweeper_places_an_order_whose_customer_never_came_back(world, api, waiting):
    api.act(waiting["clientSecret"])

    world.clock.forward(120)
    world.sweep()

    assert world.order(waiting["orderId"])["status"] == "PLACED"
    assert world.event_types() == ["order_placed"]
    assert api.confirm(waiting["orderId"]).json["status"] == "PLACED"


def test_the_providers_event_places_the_order(world, api, waiting):
    api.act(waiting["clientSecret"])

    provider_events.publish(world, waiting["orderId"])
    provider_events.publish(world, waiting["orderId"], "evt_2")
    world.queues.until_quiet("SettlementFunction")

    assert world.order(waiting["orderId"])["status"] == "PLACED"
    assert world.event_types() == ["order_placed"]


def test_the_providers_event_about_a_failed_action_rejects_the_order(world, api):
    waiting = api.place(acting("tok_action_fail")).json
    api.act(waiting["clientSecret"])

    provider_events.publish(world, waiting["orderId"])
    world.queues.until_quiet("SettlementFunction")

    assert world.order(waiting["orderId"])["status"] == "REJECTED"
    assert world.available() == 10
    assert api.confirm(waiting["orderId"]).problem == "payment-declined"


@pytest.mark.parametrize("token", ["tok_action", "tok_action_abandon"])
def test_an_abandoned_order_is_rejected_within_the_window_and_two_minutes(world, api, token):
    # GIVEN an order whose customer never succeeds
    waiting = api.place(acting(token)).json
    if token == "tok_action_abandon":
        assert api.act(waiting["clientSecret"]).json == {"state": "action_required"}

    # WHEN the window is almost over, THEN it still waits
    for _ in range(EXPIRES_AFTER // 60 - 1):
        world.clock.forward(60)
        world.sweep()
    assert world.order(waiting["orderId"])["status"] == "PENDING"

    # WHEN the window and two minutes are over, THEN the stock is back and nothing can be held anymore
    for _ in range(3):
        world.clock.forward(60)
        world.sweep()
    order = world.order(waiting["orderId"])
    assert (order["status"], order["history"][-1].get("payment"), world.available()) == ("REJECTED", "voided", 10)
    assert world.ledger() == {waiting["orderId"]: "void"}
    assert api.confirm(waiting["orderId"]).problem == "order-expired"
    assert api.act(waiting["clientSecret"]).json == {"state": "voided"}
    assert world.unfinished() == []
    nothing_is_left(world)


def test_an_order_that_waits_has_no_age_until_its_time_is_over(world, api, waiting):
    order = world.order(waiting["orderId"])

    assert order["unfinishedSince"] == order["expiresAt"] == now_ms() + EXPIRES_AFTER * 1000
    assert order["dueAt"] == now_ms() + 120_000
    assert order["leaseUntil"] == 0


def test_a_rejected_order_is_deleted_after_30_days(world, api):
    waiting = api.place(acting("tok_action_fail")).json
    api.act(waiting["clientSecret"])
    api.confirm(waiting["orderId"])
    declined = api.place(body(token="tok_decline"), key="declined").json
    placed = api.place(body(), key="placed").json

    for rejected in (waiting, declined):
        assert world.order(rejected["orderId"])["expireAt"] == now_ms() // 1000 + 30 * 86_400
    assert "expireAt" not in world.order(placed["orderId"])


# --- cancelling, and orders that cannot be confirmed ------------------------------------------------------------------


@pytest.mark.parametrize("has_acted", [False, True])
def test_a_customer_can_cancel_while_the_order_waits(world, api, waiting, has_acted):
    if has_acted:
        api.act(waiting["clientSecret"])

    answer = api.cancel(waiting["orderId"])

    assert (answer.status, answer.json["status"]) == (200, "REJECTED")
    assert world.available() == 10
    assert api.confirm(waiting["orderId"]).problem == "order-abandoned"
    world.clock.forward(60)
    world.sweep()
    assert world.ledger() == {waiting["orderId"]: "void"}
    assert world.events() == []


def test_confirming_an_order_that_never_waited_returns_it(api, order_id):
    answer = api.confirm(order_id)

    assert (answer.status, answer.json["status"]) == (200, "PLACED")


def test_confirming_a_declined_order_is_declined_again(api):
    declined = api.place(body(token="tok_decline")).json["orderId"]

    assert api.confirm(declined).problem == "payment-declined"


def test_confirming_an_unknown_or_foreign_order_is_answered_with_404(world, waiting):
    assert world.api().confirm("ord_" + "b" * 26).problem == "no-such-order"
    assert world.api("eve").confirm(waiting["orderId"]).problem == "no-such-order"


def test_confirming_an_order_that_is_still_being_placed_is_in_progress(world, api):
    placed = {}

    def confirm():
        (order,) = world.items("OrdersTable")
        placed["answer"] = api.confirm(order["orderId"])

    world.wire.on("dynamodb.PutItem", wire.meanwhile(confirm), where=world.to_provider)
    api.place(acting())

    assert (placed["answer"].status, placed["answer"].problem) == (409, "in-progress")


def test_the_client_secret_of_another_payment_is_not_found(api, waiting):
    key, mark, _ = waiting["clientSecret"].partition("_secret_")

    assert api.act(f"{key}{mark}guessed").problem == "no-such-payment"
    assert api.act("nothing").problem == "no-such-payment"


# --- the provider is down ---------------------------------------------------------------------------------------------


def test_a_provider_that_is_down_at_the_confirmation_loses_nothing(world, api, waiting):
    api.act(waiting["clientSecret"])
    world.wire.always("dynamodb.*", wire.refuse("ServiceUnavailable", 503), where=world.to_provider)

    answer = api.confirm(waiting["orderId"])

    assert (answer.status, answer.problem) == (503, "try-later")
    assert int(answer.headers["retry-after"]) > 0
    assert world.order(waiting["orderId"])["status"] == "PENDING"
    world.wire.heal()
    assert api.confirm(waiting["orderId"]).json["status"] == "PLACED"
    assert world.event_types() == ["order_placed"]


def test_an_order_does_not_expire_while_the_provider_is_down(world, api, waiting):
    # GIVEN a customer who has acted, and a provider that is down for longer than the window
    api.act(waiting["clientSecret"])
    world.wire.always("dynamodb.*", wire.refuse("ServiceUnavailable", 503), where=world.to_provider)
    for _ in range(40):
        world.clock.forward(60)
        world.sweep()
    assert world.order(waiting["orderId"])["status"] == "PENDING"
    assert world.available() == 9

    # WHEN the provider is back
    world.wire.heal()
    world.until_quiet()

    # THEN the order is placed
    assert "order_placed" in world.event_types()
    assert world.order(waiting["orderId"])["payment"]["state"] == "captured"
    nothing_is_left(world)


def test_a_failed_publication_does_not_fail_the_confirmation(world, api, waiting):
    api.act(waiting["clientSecret"])
    world.wire.on("eventbridge.PutEvents", wire.refuse("InternalFailure", 500))

    assert api.confirm(waiting["orderId"]).json["status"] == "PLACED"
    assert world.events() == []
    world.settle_down(2)
    assert world.event_types().count("order_placed") == 1


# --- settings and older releases --------------------------------------------------------------------------------------


def test_the_time_to_act_is_a_setting(stack, clock):
    world = World(stack, clock, settings={"ACTION_EXPIRES_AFTER": "60"})
    world.stock()
    world.customer()

    assert seconds_until(world.api().place(acting()).json["expiresAt"]) == 60


def test_an_order_of_an_earlier_release_is_read_and_finished(world, api, order_id):
    # GIVEN an order without the fields of this release
    stored = world.order(order_id)
    added = {"canAct", "dispute", "expireAt"} & stored.keys()
    world.put("OrdersTable", {name: value for name, value in stored.items() if name not in added})

    # WHEN it is read, repeated and packed
    assert api.get(f"/orders/{order_id}").json["status"] == "PLACED"
    assert api.place(body()).status == 201
    world.until_quiet()

    # THEN it is paid
    assert world.order(order_id)["payment"]["state"] == "captured"
    assert world.ledger() == {order_id: "capture"}


def test_the_sandbox_is_acted_on_only_where_it_is_the_provider(api, waiting, monkeypatch):
    monkeypatch.setattr("sandbox_routes.ActsForCustomer", type("Other", (), {}), raising=False)

    assert api.act(waiting["clientSecret"]).problem == "no-such-route"


def test_the_sum_of_waiting_orders_cannot_exceed_the_stock(world, api):
    waiting = [api.place(acting(), key=f"key-{n}") for n in range(11)]

    assert [answer.status for answer in waiting] == [202] * 10 + [409]
    assert world.available(MUG) == 0
