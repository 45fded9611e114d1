"""Scenarios of a shop, from the request to the last consumer. Experiments repeat them with faults."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dev import samples
from dev.simulated import wire
from dev.simulated.api import Answer
from dev.simulated.wire import Crash
from dev.simulated.world import MUG, TEE, World, body
from ops.stock_shards import set_shards
from shop import ids
from shop.model import Customer
from tests.support import provider_events
from tests.support.merchant import Merchant

LOADED = {MUG: 10, TEE: 5}
EARLIER = ids.order_id("ada", "earlier")  # the order that a scenario begins with, if it has one
ORDER = ids.order_id("ada", "key-1")
_TRIES = 8
_RETRY_AFTER = "retry-after"


@dataclass
class Client:
    """A customer's client, which retries as the answers say, or not at all unless ``patient``."""

    world: World
    patient: bool = True
    tokens: Mapping[str, str] = field(default_factory=dict)  # the provider's, for the sandbox's
    claims: dict[str, str] = field(default_factory=dict)  # of its customer's token
    placed: list[dict[str, Any]] = field(default_factory=list)
    answers: list[Answer | None] = field(default_factory=list)

    def send(self, request: Callable[[], Answer]) -> Answer | None:
        """Retry a request until it has a definite answer; return that, or None."""
        answer: Answer | None = None
        for _ in range(_TRIES if self.patient else 1):
            answer = self._try(request)
            if answer is not None and answer.status != 503 and _RETRY_AFTER not in answer.headers:
                break
            self.world.clock.forward(int(answer.headers.get(_RETRY_AFTER, 5)) if answer else 5)
        self.answers.append(answer)
        return answer

    def place(self, wanted: dict[str, Any], key: str = "key-1") -> Answer | None:
        """``POST /orders``."""
        token = wanted["paymentToken"]
        wanted = wanted | {"paymentToken": self.tokens.get(token, token)}
        answer = self.send(lambda: self.world.api(**self.claims).place(wanted, key))
        if answer is not None and answer.status == 201:
            self.placed.append(answer.json)
        return answer

    def confirm(self) -> Answer | None:
        """``POST /orders/{orderId}/confirm``."""
        answer = self.send(lambda: self.world.api().confirm(ORDER))
        if answer is not None and answer.status == 200:
            self.placed.append(answer.json)
        return answer

    def cancel(self) -> Answer | None:
        """Cancel the first placed order, if there is one."""
        return self.send(lambda: self.world.api().cancel(self.placed[0]["orderId"])) if self.placed else None

    def refund(self, key: str = "refund-1", **wanted: Any) -> Answer | None:
        """Refund a part of the earlier order, or all that is left of it."""
        return self.send(lambda: self.world.program("refunds:write").refund(EARLIER, key, **wanted))

    def statuses(self) -> list[int]:
        """Return the statuses of the answers."""
        return [answer.status for answer in self.answers if answer]

    def _try(self, request: Callable[[], Answer]) -> Answer | None:
        try:
            answer = request()
        except Crash:
            return None
        assert answer.status != 500, answer
        return answer


@dataclass(frozen=True)
class Scenario:
    """``ready`` prepares the world without faults, ``act`` runs with faults, ``expect`` checks the quiet system.

    ``settings`` replace environment variables of the functions.
    """

    name: str
    act: Callable[[Client], None]
    ready: Callable[[Client], None] = lambda client: None
    expect: Callable[[Client], None] = lambda client: None
    patient: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)


WANTED = body((MUG, 2), (TEE, 1))
TOTAL = 3 * 1250


def prepare(client: Client, scenario: Scenario) -> None:
    """Write the products and a customer, and prepare the scenario."""
    for sku, available in LOADED.items():
        client.world.stock(sku, available)
    client.world.customer()
    scenario.ready(client)


def _place(client: Client) -> None:
    client.place(WANTED)


def _decline(client: Client) -> None:
    client.place(body((MUG, 2), token="tok_decline"))


def _out_of_stock(client: Client) -> None:
    client.place(body((MUG, 11)))


def _provider_timeout(client: Client) -> None:
    client.place(body((MUG, 2), token="tok_timeout_held"))


def _repeat(client: Client) -> None:
    client.place(WANTED)
    client.place(WANTED)


def _cancel(client: Client) -> None:
    client.place(WANTED)
    client.cancel()


def _cancel_by_program(client: Client) -> None:
    client.place(WANTED)
    if client.placed:
        shop = client.world.program("orders:write")
        client.send(lambda: shop.cancel(client.placed[0]["orderId"], reason="The last mug fell down."))


def _cancel_earlier(client: Client) -> None:
    client.send(lambda: client.world.api().cancel(EARLIER))


def _cancel_late(client: Client) -> None:
    client.place(WANTED)
    client.world.queues.deliver("FulfillmentFunction")
    client.cancel()


def _cancel_meanwhile(client: Client) -> None:
    """Cancel between fulfillment's read and its write."""
    world = client.world
    client.place(WANTED)
    world.wire.on("dynamodb.TransactWriteItems", wire.meanwhile(client.cancel), where=world.touching("ShipmentsTable"))
    world.queues.deliver("FulfillmentFunction")


def _pack_by_hand(client: Client) -> None:
    """Place an order, open its shipment, and pack what the list of open shipments shows."""
    client.place(WANTED)
    client.world.queues.deliver("FulfillmentFunction")
    warehouse = client.world.program("shipments:write")
    shown = client.send(warehouse.shipments)
    for shipment in shown.json["shipments"] if shown else ():
        client.send(lambda: warehouse.pack(shipment["orderId"]))  # noqa: B023
    for placed in client.placed:  # it may not have been open yet
        client.send(lambda: warehouse.pack(placed["orderId"]))  # noqa: B023


def _refund_lines(client: Client) -> None:
    client.refund(lines=[{"sku": MUG, "quantity": 1}], restock=True)


def _refund_amount(client: Client) -> None:
    client.refund(amount=100)


def _refund_everything(client: Client) -> None:
    client.refund(restock=True)


def _refund_twice(client: Client) -> None:
    client.refund(amount=100)
    client.refund(amount=100)


def _refund_in_parts(client: Client) -> None:
    client.refund("first", amount=3000)
    client.refund("second", amount=751)
    client.refund("third", amount=750)


def _return_and_refund(client: Client) -> None:
    client.send(lambda: client.world.api().return_order(EARLIER, lines=[{"sku": MUG, "quantity": 1}]))
    client.refund(lines=[{"sku": MUG, "quantity": 1}], restock=True)


def _place_and_act(client: Client, token: str = "tok_action") -> None:
    """Place an order whose payment needs the customer, who then acts on the page of the bank."""
    client.place(_acting(token))
    Merchant(client.world).act(ORDER)


def _acting(token: str) -> dict[str, Any]:
    return body((MUG, 2), (TEE, 1), token=token, customerAction=True)


def _confirm(client: Client) -> None:
    _place_and_act(client)
    client.confirm()


def _fail_to_act(client: Client) -> None:
    _place_and_act(client, "tok_action_fail")
    client.confirm()


def _never_act(client: Client) -> None:
    """Place an order, and let most of the customer's time pass."""
    client.place(_acting("tok_action_abandon"))
    client.world.clock.forward(840)


def _cancel_before_acting(client: Client) -> None:
    client.place(_acting("tok_action"))
    client.send(lambda: client.world.api().cancel(ORDER))


def _repeat_after_acting(client: Client) -> None:
    _place_and_act(client)
    client.place(_acting("tok_action"))


def _hear_of_action(client: Client) -> None:
    """Let the provider report the action that the customer's page never confirms."""
    _place_and_act(client)
    if client.world.order(ORDER):
        _report(client)


def _see_action(client: Client) -> None:
    """Let neither the page nor the provider report the action: the sweeper looks."""
    _place_and_act(client)
    client.world.clock.forward(120)


def _cancel_in_dashboard(client: Client) -> None:
    if Merchant(client.world).cancel(EARLIER):  # not if a fault has kept the payment from the provider
        _report(client, EARLIER)


def _capture_in_part(client: Client) -> None:
    if Merchant(client.world).capture(EARLIER, 1000):
        _report(client, EARLIER)


def _refund_in_dashboard(client: Client) -> None:
    if Merchant(client.world).refund(EARLIER, 500):
        _report(client, EARLIER)


def _dispute_and_win(client: Client) -> None:
    """Dispute a payment before its order is packed, and decide it afterwards."""
    merchant = Merchant(client.world)
    if not merchant.capture(EARLIER):
        return
    _report(client, EARLIER)
    merchant.dispute(EARLIER)
    _report(client, EARLIER)
    client.world.queues.deliver("FulfillmentFunction")
    client.world.queues.deliver("SettlementFunction")
    merchant.decide(EARLIER, "won")
    _report(client, EARLIER)


def _report(client: Client, order_id: str = ORDER) -> None:
    """Let the provider report that something has happened to an order's payment."""
    provider_events.publish(client.world, order_id, f"evt_{len(client.world.wire.calls)}")
    client.world.queues.deliver("SettlementFunction")


def _scattered(client: Client) -> None:
    """Leave one mug in each shard: an order of two takes them from elsewhere."""
    set_shards(client.world.client("dynamodb"), client.world.table("ProductsTable"), MUG, LOADED[MUG] - 2)


def _empty_shards(client: Client) -> None:
    """Add shards that are empty: an order refills one."""
    client.world.stock(MUG, 0)
    set_shards(client.world.client("dynamodb"), client.world.table("ProductsTable"), MUG, 2)
    client.world.change("ProductsTable", {"sku": MUG}, available=LOADED[MUG])


def _new_price(client: Client) -> None:
    """Change a price after the function has read the catalog."""
    client.world.api().get("/catalog")
    client.world.stock(MUG, LOADED[MUG], 1500)


def _bus_down(client: Client) -> None:
    with _bus_refusing(client.world):
        client.place(WANTED, "earlier")


def _abandoned(client: Client) -> None:
    """Crash a request between the provider's answer and the commit, and let ten minutes pass."""
    _crashed(client)
    client.world.clock.forward(590)


def _crashed(client: Client) -> None:
    """Crash a request between the provider's answer and the commit, and let its lease end."""
    world = client.world
    world.wire.on("dynamodb.UpdateItem", wire.crash_before, where=lambda call: ":placedAt" in call.values)
    Client(world, patient=False, tokens=client.tokens).place(WANTED, "earlier")
    world.wire.heal()
    world.clock.forward(30)


def _void_refused(client: Client) -> None:
    """Cancel an order whose void the provider then rejects."""
    _placed(client)
    client.world.api().cancel(EARLIER)
    _settle_without_provider(client.world)


def _capture_refused(client: Client) -> None:
    """Pack an order whose capture the provider then rejects."""
    _placed(client)
    client.world.queues.deliver("FulfillmentFunction")
    _settle_without_provider(client.world)


def _refund_refused(client: Client) -> None:
    """Request a refund that the provider then rejects."""
    _shipped(client)
    client.refund(amount=100)
    _settle_without_provider(client.world)


def _refund_unpublished(client: Client) -> None:
    _shipped(client)
    with _bus_refusing(client.world):
        client.refund(amount=100)


def _placed(client: Client) -> None:
    client.place(WANTED, "earlier")


def _captured_elsewhere(client: Client) -> None:
    """Place an order whose hold, if a fault has not prevented it, the merchant then captures at the provider."""
    _placed(client)
    Merchant(client.world).capture(EARLIER)


def _shipped(client: Client) -> None:
    _ship(client, "tok_approve")


def _shipped_with_pending_refunds(client: Client) -> None:
    _ship(client, "tok_refund_pending")


def _shipped_with_failing_refunds(client: Client) -> None:
    _ship(client, "tok_refund_fails")


def _ship(client: Client, token: str) -> None:
    client.place(body((MUG, 2), (TEE, 1), token=token), "earlier")
    client.world.until_quiet()


def _settle_without_provider(world: World) -> None:
    world.wire.always("*", wire.refuse("ProvisionedThroughputExceededException"), world.to_provider)
    world.queues.deliver("SettlementFunction")
    world.wire.heal()


@contextmanager
def _bus_refusing(world: World) -> Iterator[None]:
    world.wire.always("eventbridge.PutEvents", wire.refuse("InternalException", 500))
    yield
    world.wire.heal()


def _wait(client: Client) -> None:
    client.world.clock.forward(60)


def _new_address(client: Client) -> None:
    profile = {"name": "Ada", "email": "ada@new.example"}
    client.send(lambda: client.world.api().call("PUT", "/me", json.dumps(profile)))


def _both_addresses_notified(client: Client) -> None:
    """Check the profile, and that both addresses were notified."""
    assert client.world.item("CustomersTable", userId="ada")["email"] == "ada@new.example"
    notified = {mail["to"] for mail in client.world.mails() if mail["subject"] == "Your e-mail address was changed"}
    assert notified == {"ada@example.com", "ada@new.example"}


def _erase(client: Client) -> None:
    client.send(lambda: client.world.api().call("DELETE", "/me"))


def _place_and_erase(client: Client) -> None:
    client.place(WANTED)
    _erase(client)


def _erase_meanwhile(client: Client) -> None:
    """Place an order between the erasure's look at the orders and its beginning."""
    world = client.world
    world.wire.on(
        "dynamodb.UpdateItem",
        wire.meanwhile(lambda: client.place(WANTED)),
        where=lambda call: ":erasingSince" in call.values,
    )
    _erase(client)


def _erased(*statuses: int) -> Callable[[Client], None]:
    """Return a check that nothing personal is left, and of the customer only that the data is erased."""

    def expect(client: Client) -> None:
        assert set(client.statuses()) <= set(statuses)
        tables = ("OrdersTable", "ShipmentsTable", "CustomersTable", "LimitsTable", "SandboxTable")
        texts = {table: json.dumps(client.world.items(table)) for table in tables}
        for secret in ("Lovelace", "12 Engine Way", "E1 7AA", "ada@example.com"):
            assert [table for table, text in texts.items() if secret in text] == [], secret
        customer = client.world.item("CustomersTable", userId="ada")
        assert customer["erasedAt"]
        assert [item for table in tables for item in client.world.items(table) if '"ada"' in json.dumps(item)] == [
            customer
        ]
        erased = [event for event in client.world.events() if event["DetailType"] == "user_erased"]
        assert {event["Detail"]["metadata"]["eventId"] for event in erased} == {f"ada-{customer['sequence']}"}

    return expect


def _stranger(client: Client) -> None:
    """Delete the profile."""
    table = client.world.table("CustomersTable")
    client.world.client("dynamodb").delete_item(TableName=table, Key={"userId": {"S": "ada"}})


def _bounced(client: Client) -> None:
    client.world.customer(emailProblem="bounced")


def _place_by_token(client: Client) -> None:
    """Place an order with a token that has an address that its issuer has verified."""
    client.claims = {"email": "ada@token.example", "email_verified": "true"}
    client.place(WANTED)


def _place_after_address(client: Client) -> None:
    """Save an address because the order was refused without one; then send the same request."""
    client.place(WANTED)
    profile = {"name": "Ada", "email": "ada@new.example"}
    client.send(lambda: client.world.api().call("PUT", "/me", json.dumps(profile)))
    client.place(WANTED)


def _bounce_meanwhile(client: Client) -> None:
    """Report a bounce just before the order is reserved."""

    def bounce() -> None:
        _bounce(client)
        client.world.queues.deliver("FeedbackFunction")

    where = client.world.touching("OrdersTable")
    client.world.wire.on("dynamodb.TransactWriteItems", wire.meanwhile(bounce), where=where)
    client.place(WANTED)


def _mailed_to(address: str) -> Callable[[Client], None]:
    """Return a check that the order was placed once, and mailed to this address only."""

    def expect(client: Client) -> None:
        assert client.statuses()[-1] == 201, client.answers
        assert client.world.available() == LOADED[MUG] - 2
        about = [mail for mail in client.world.mails() if mail["subject"] != "Your e-mail address was changed"]
        assert {mail["to"] for mail in about} == {address}

    return expect


def _refused_or_accepted(client: Client) -> None:
    """Check that the order was refused and has left nothing, unless a fault let the bounce come after it.

    The invariants require its mails then, or the reason on the order why they were not sent.
    """
    accepted = bool(client.world.order(ORDER))
    assert client.statuses() == [201 if accepted else 409]
    assert client.world.available() == LOADED[MUG] - (2 if accepted else 0)


def _bounce(client: Client) -> None:
    report = samples.bounced(Customer(user_id="ada", name="Ada", email="ada@example.com"))
    client.world.queues.send("FeedbackFunction", json.dumps(report))


def _flagged(client: Client) -> None:
    assert client.world.item("CustomersTable", userId="ada")["emailProblem"] == "bounced"


def _refunds_end(*states: str, available: int = LOADED[MUG] - 2) -> Callable[[Client], None]:
    """Return a check of the earlier order's refunds and of the available mugs."""

    def expect(client: Client) -> None:
        assert set(client.statuses()) <= {201}
        refunds = client.world.order(EARLIER)["refunds"].values()
        assert sorted(refund["state"] for refund in refunds) == list(states)
        assert client.world.available() == available

    return expect


def _refunded_in_parts(client: Client) -> None:
    """Check that the refund above the rest was refused."""
    assert client.statuses() == [201, 409, 201]
    assert sum(refund["amount"] for refund in client.world.order(EARLIER)["refunds"].values()) == TOTAL


def _returned_and_refunded(client: Client) -> None:
    returned, refunded = client.statuses()
    assert returned == 200 or "already-returned" in str(client.answers[0])  # a crash hid the first answer
    assert refunded == 201
    assert client.world.order(EARLIER)["returnRequest"]["lines"] == [{"sku": MUG, "quantity": 1}]
    assert client.world.available() == LOADED[MUG] - 1


def _abandoned_by_customer(client: Client) -> None:
    assert client.statuses() == [200]
    assert client.world.order(EARLIER)["history"][1]["reason"] == "abandoned"
    assert client.world.available() == LOADED[MUG]


def _packed_by_hand(client: Client) -> None:
    assert set(client.statuses()) == {200, 201}
    assert [shipment["state"] for shipment in client.world.items("ShipmentsTable")] == ["released"]


def _charge_returned(client: Client) -> None:
    """Check that the cancelled order, whose payment was captured, is refunded in full."""
    assert client.statuses() == [200]
    (refund,) = client.world.order(EARLIER)["refunds"].values()
    assert (refund["state"], refund["amount"]) == ("refunded", TOTAL)
    assert client.world.available() == LOADED[MUG]


def _packed_after_action(*statuses: int) -> Callable[[Client], None]:
    """Return a check that the order was placed once, whoever has found out that the customer has acted."""

    def expect(client: Client) -> None:
        assert client.statuses() == list(statuses)
        steps = [entry["status"] for entry in client.world.order(ORDER)["history"]]
        assert steps.count("PLACED") == 1, steps
        assert steps[-1] == "PREPARED", steps
        assert client.world.available() == LOADED[MUG] - 2

    return expect


def _hold_cancelled(client: Client) -> None:
    """Check that the order without a hold is cancelled, or was packed before and is not released."""
    order = client.world.order(EARLIER)
    shipments = [shipment["state"] for shipment in client.world.items("ShipmentsTable")]
    if order["status"] == "CANCELLED":
        assert (order["cancellation"]["by"], shipments) == ("shop", [])
        assert client.world.available() == LOADED[MUG]
    else:
        assert (order["status"], order["payment"]["state"], shipments) == ("PREPARED", "failed", ["prepared"])


def _held_back(client: Client) -> None:
    """Check that the order is packed, and not released, because only a part of its total was captured."""
    payment = client.world.order(EARLIER)["payment"]
    assert (payment["captured"], payment["reason"]) == (1000, f"captured 1000 of {TOTAL}")
    assert [shipment["state"] for shipment in client.world.items("ShipmentsTable")] == ["prepared"]


def _refunded_by_merchant(client: Client) -> None:
    (refund,) = client.world.order(EARLIER)["refunds"].values()
    assert (refund["state"], refund["amount"], refund["elsewhere"]) == ("refunded", 500, True)


def _released_after_dispute(client: Client) -> None:
    assert client.world.order(EARLIER)["dispute"]["state"] == "won"
    assert [shipment["state"] for shipment in client.world.items("ShipmentsTable")] == ["released"]


def _settles(payment: str) -> Callable[[Client], None]:
    """Return a check of the earlier order's payment."""

    def expect(client: Client) -> None:
        assert client.world.order(EARLIER)["payment"]["state"] == payment

    return expect


def _ends(*statuses: int, available: int = LOADED[MUG]) -> Callable[[Client], None]:
    """Return a check of the answers and of the available mugs."""

    def expect(client: Client) -> None:
        assert client.statuses() == list(statuses)
        assert client.world.available() == available

    return expect


SCENARIOS = [
    Scenario("place", _place, expect=_ends(201, available=8)),
    Scenario("place, without retries", _place, patient=False),
    Scenario("place at a new price", _place, ready=_new_price, expect=_ends(201, available=8)),
    Scenario("place from the last shards", _place, ready=_scattered, expect=_ends(201, available=8)),
    Scenario("place and refill a shard", _place, ready=_empty_shards, expect=_ends(201, available=8)),
    Scenario("cancel with shards", _cancel, ready=_empty_shards, expect=_ends(201, 200)),
    Scenario("declined", _decline, expect=_ends(402)),
    Scenario("out of stock", _out_of_stock, expect=_ends(409)),
    Scenario("the provider does not answer", _provider_timeout, expect=_ends(201, available=8)),
    Scenario("the provider does not answer, without retries", _provider_timeout, patient=False),
    Scenario("same key twice", _repeat, expect=_ends(201, 201, available=8)),
    Scenario("cancel", _cancel, expect=_ends(201, 200)),
    Scenario("cancel by a program", _cancel_by_program, expect=_ends(201, 200)),
    Scenario("cancel an abandoned order", _cancel_earlier, ready=_crashed, expect=_abandoned_by_customer),
    Scenario("cancel what the merchant has captured", _cancel_earlier, _captured_elsewhere, _charge_returned),
    Scenario("cancel after preparation", _cancel_late),
    Scenario("cancel during preparation", _cancel_meanwhile),
    Scenario("pack by hand", _pack_by_hand, expect=_packed_by_hand, settings={"PACKING": "manual"}),
    Scenario("refund lines", _refund_lines, _shipped, _refunds_end("refunded", available=LOADED[MUG] - 1)),
    Scenario("refund an amount", _refund_amount, _shipped, _refunds_end("refunded")),
    Scenario("refund everything", _refund_everything, _shipped, _refunds_end("refunded", available=LOADED[MUG])),
    Scenario("refund twice with one key", _refund_twice, _shipped, _refunds_end("refunded")),
    Scenario("refund in parts", _refund_in_parts, _shipped, _refunded_in_parts),
    Scenario("refund, pending", _refund_amount, _shipped_with_pending_refunds, _refunds_end("refunded")),
    Scenario("refund, failing", _refund_everything, _shipped_with_failing_refunds, _refunds_end("failed")),
    Scenario("return and refund", _return_and_refund, _shipped, _returned_and_refunded),
    Scenario("action", _confirm, expect=_packed_after_action(202, 200)),
    Scenario("action fails", _fail_to_act, expect=_ends(202, 402)),
    Scenario("action abandoned", _never_act, expect=_ends(202)),
    Scenario("cancel before the action", _cancel_before_acting, expect=_ends(202, 200)),
    Scenario("action and the same request", _repeat_after_acting, expect=_packed_after_action(202, 201)),
    Scenario("action reported by the provider", _hear_of_action, expect=_packed_after_action(202)),
    Scenario("action found by the sweeper", _see_action, expect=_packed_after_action(202)),
    Scenario("hold cancelled in the dashboard", _cancel_in_dashboard, _placed, _hold_cancelled),
    Scenario("captured in part in the dashboard", _capture_in_part, _placed, _held_back),
    Scenario("refunded in the dashboard", _refund_in_dashboard, _shipped, _refunded_by_merchant),
    Scenario("dispute won", _dispute_and_win, _placed, _released_after_dispute),
    Scenario("new e-mail address", _new_address, expect=_both_addresses_notified),
    Scenario("bounced mail", _bounce, expect=_flagged),
    Scenario("no address", _place, _stranger, _ends(409, available=LOADED[MUG])),
    Scenario("no address, then one", _place_after_address, _stranger, _mailed_to("ada@new.example")),
    Scenario("flagged address, then another", _place_after_address, _bounced, _mailed_to("ada@new.example")),
    Scenario("address of the token", _place_by_token, _stranger, _mailed_to("ada@token.example")),
    Scenario("bounce while ordering", _bounce_meanwhile, expect=_refused_or_accepted),
    Scenario("erase a customer", _erase, _shipped, _erased(202)),
    Scenario("erase a customer with an order to cancel", _place_and_erase, _shipped, _erased(201, 202)),
    Scenario("erase a customer while ordering", _erase_meanwhile, expect=_erased(201, 202)),
    Scenario("sweep an unpublished event", _wait, ready=_bus_down),
    Scenario("sweep an abandoned order", _wait, ready=_abandoned),
    Scenario("sweep a void due", _wait, _void_refused, _settles("voided")),
    Scenario("sweep a capture due", _wait, _capture_refused, _settles("captured")),
    Scenario("sweep a refund due", _wait, _refund_refused, _refunds_end("refunded")),
    Scenario("sweep an unpublished refund", _wait, _refund_unpublished, _refunds_end("refunded")),
]
