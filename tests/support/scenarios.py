"""Scenarios of a shop, from the request to the last consumer. Experiments repeat them with faults."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dev.simulated import wire
from dev.simulated.api import Answer
from dev.simulated.wire import Crash
from dev.simulated.world import MUG, TEE, World, body
from shop.mail_tags import tag_of

LOADED = {MUG: 10, TEE: 5}
_TRIES = 8
_RETRY_AFTER = "retry-after"


@dataclass
class Client:
    """A customer's client, which retries as the answers say, or not at all unless ``patient``."""

    world: World
    patient: bool = True
    tokens: Mapping[str, str] = field(default_factory=dict)  # the provider's, for the sandbox's
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
        if answer is not None and answer.status == 201:
            self.placed.append(answer.json)
        return answer

    def place(self, wanted: dict[str, Any], key: str = "key-1") -> Answer | None:
        """``POST /orders``."""
        token = wanted["paymentToken"]
        wanted = wanted | {"paymentToken": self.tokens.get(token, token)}
        return self.send(lambda: self.world.api().place(wanted, key))

    def cancel(self) -> Answer | None:
        """Cancel the first placed order, if there is one."""
        return self.send(lambda: self.world.api().cancel(self.placed[0]["orderId"])) if self.placed else None

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
    """``ready`` prepares the world without faults, ``act`` runs with faults, ``expect`` checks the quiet system."""

    name: str
    act: Callable[[Client], None]
    ready: Callable[[World], None] = lambda world: None
    expect: Callable[[Client], None] = lambda client: None
    patient: bool = True


WANTED = body((MUG, 2), (TEE, 1))


def prepare(world: World, scenario: Scenario) -> None:
    """Write the products and a customer, and prepare the scenario."""
    for sku, available in LOADED.items():
        world.stock(sku, available)
    world.customer()
    scenario.ready(world)


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


def _new_price(world: World) -> None:
    """Change a price after the function has read the catalog."""
    world.api().get("/catalog")
    world.stock(MUG, LOADED[MUG], 1500)


def _bus_down(world: World) -> None:
    world.wire.always("eventbridge.PutEvents", wire.refuse("InternalException", 500))
    world.api().place(WANTED, "earlier")
    world.wire.heal()


def _abandoned(world: World) -> None:
    """Crash a request between the provider's answer and the commit, and let ten minutes pass."""
    world.wire.on("dynamodb.UpdateItem", wire.crash_before, where=lambda call: ":placedAt" in call.values)
    Client(world, patient=False).place(WANTED, "earlier")
    world.wire.heal()
    world.clock.forward(590)


def _provider_down(world: World) -> None:
    """Cancel an order whose void the provider then rejects."""
    answer = world.api().place(WANTED, "earlier")
    world.api().cancel(answer.json["orderId"])
    world.wire.always("*", wire.refuse("ProvisionedThroughputExceededException"), world.to_provider)
    world.queues.deliver("FulfillmentFunction")
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


def _bounce(client: Client) -> None:
    recipients = [{"emailAddress": "ada@example.com"}]
    detail = {
        "mail": {"tags": {"user": [tag_of("ada")]}},
        "bounce": {"bounceType": "Permanent", "bouncedRecipients": recipients},
    }
    event = {"id": "1", "detail-type": "Email Bounced", "source": "aws.ses", "time": "2026-11-23T10:00:00Z"}
    client.world.queues.send("FeedbackFunction", json.dumps({"version": "0", **event, "detail": detail}))


def _flagged(client: Client) -> None:
    assert client.world.item("CustomersTable", userId="ada")["emailProblem"] == "bounced"


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
    Scenario("declined", _decline, expect=_ends(402)),
    Scenario("out of stock", _out_of_stock, expect=_ends(409)),
    Scenario("the provider does not answer", _provider_timeout, expect=_ends(201, available=8)),
    Scenario("the provider does not answer, without retries", _provider_timeout, patient=False),
    Scenario("same key twice", _repeat, expect=_ends(201, 201, available=8)),
    Scenario("cancel", _cancel, expect=_ends(201, 200)),
    Scenario("cancel after preparation", _cancel_late),
    Scenario("cancel during preparation", _cancel_meanwhile),
    Scenario("new e-mail address", _new_address, expect=_both_addresses_notified),
    Scenario("bounced mail", _bounce, expect=_flagged),
    Scenario("sweep an unpublished event", _wait, ready=_bus_down),
    Scenario("sweep an abandoned order", _wait, ready=_abandoned),
    Scenario("sweep a payment due", _wait, ready=_provider_down),
]
