"""Timeouts: the slowest possible calls of a request or batch fit its function's timeout, and that the gateway's."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from botocore.config import Config

from dev.template import Consumer, Template
from handoff import aws, bus, connections, sdk_data, sweep
from handoff.attribute_values import to_item
from handoff.clock import Deadline
from shop import event_poller, payments, placing
from shop.catalog import Catalog
from shop.errors import RequestError
from shop.fingerprint import Fingerprint
from shop.limits import Limits
from shop.model import Address, Order, OrderStep, Product, Status
from shop.order_store import OrderExists, OrderStore, ReservationFailed
from shop.payments import Authorized, Declined, Unknown, sandbox, stripe_key
from shop.placing import Dependencies, PlaceOrder, place_order
from tests.template import function_source


def longest(config: Config) -> float:
    """Return the longest time of one call: all tries, and botocore's longest pauses between them (1 s, 2 s, ...).

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
    With one try, a reset of a reused connection comes in addition. With more tries, it takes less than the first one.
    """
    tries = config.retries["total_max_attempts"]
    pauses = sum(min(20, 2**n) for n in range(tries - 1))
    resets = connections.RESET_WITHIN if tries == 1 else 0
    return tries * (config.connect_timeout + config.read_timeout) + pauses + resets


@pytest.fixture
def config_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], object]], Config]:
    """Returns the settings of the client that a function creates."""
    configs: list[Config] = []

    def create_client(service: str, config: Config) -> MagicMock:
        configs.append(config)
        return MagicMock()

    monkeypatch.setattr(sdk_data, "session", lambda: SimpleNamespace(create_client=create_client))

    def connecting(connect: Callable[[str], object]) -> Config:
        connect("name")
        return configs.pop()

    return connecting


def test_an_aws_call_never_exceeds_its_assumed_maximum() -> None:
    assert longest(aws.config()) <= aws.LONGEST_CALL


def test_publishing_never_exceeds_its_assumed_maximum(config_of: Callable[..., Config]) -> None:
    config = config_of(bus.connect)
    assert config.retries["total_max_attempts"] == 1
    assert longest(config) <= bus.LONGEST_PUBLISH <= 1.2


def test_the_sweeper_waits_for_a_slow_bus(config_of: Callable[..., Config]) -> None:
    # If publishing times out although the bus accepted the event, each sweep publishes it again.
    config = config_of(bus.connect_patiently)
    assert config.retries["total_max_attempts"] == 1
    assert bus.LONGEST_PUBLISH < longest(config) <= bus.LONGEST_PATIENT_PUBLISH


def test_a_sandbox_call_never_exceeds_its_assumed_maximum(config_of: Callable[..., Config]) -> None:
    assert sandbox.CALLS * longest(config_of(sandbox.connect)) <= payments.LONGEST_CALL


def test_reading_stripes_key_leaves_most_of_the_time_to_stripe(config_of: Callable[..., Config]) -> None:
    config = config_of(stripe_key.connect)
    assert config.retries["total_max_attempts"] == 1
    assert longest(config) < payments.LONGEST_CALL / 2


def test_clients_retry_in_standard_mode_with_keep_alive(config_of: Callable[..., Config]) -> None:
    connects = (bus.connect, bus.connect_patiently, sandbox.connect, stripe_key.connect)
    for config in (aws.config(), *map(config_of, connects)):
        assert config.retries["mode"] == "standard"
        assert config.tcp_keepalive is True


def test_the_slowest_order_stays_within_its_deadline() -> None:
    # GIVEN a warm catalog: reserve, authorise, commit and publish
    worst = aws.LONGEST_CALL + payments.LONGEST_CALL + aws.LONGEST_CALL + bus.LONGEST_PUBLISH
    assert worst <= placing.DEADLINE


def test_deadline_timeout_lease_and_gateway_are_in_order(template: Template) -> None:
    timeout = template.functions()["orders"]["Timeout"]
    (integration,) = template.of_type("AWS::ApiGatewayV2::Integration").values()
    assert timeout > placing.DEADLINE
    # No attempt outlives its lease, so no other attempt can have taken over the order.
    assert timeout <= placing.LEASE / 1000
    # The maximum of an HTTP API is 30 s.
    assert timeout < integration["TimeoutInMillis"] / 1000 < 30


def test_a_paced_batch_of_mails_ends_in_time(template: Template) -> None:
    (emails,) = (consumer for consumer in template.consumers() if consumer.name == "emails")
    share = float(emails.variables["MAILS_PER_SECOND"]) / float(emails.variables["MAIL_SENDERS"])
    assert emails.mapping["BatchSize"] / share < emails.function["Timeout"] / 2


def test_a_batch_of_unanswered_sales_ends_in_time(template: Template) -> None:
    # GIVEN that a batch first reads generations and orders, and its last transaction may start at the end of its budget
    (analytics,) = (consumer for consumer in template.consumers() if consumer.name == "analytics")
    writing = function_source.constant("analytics", "WRITING")
    assert 2 * aws.LONGEST_CALL + writing + aws.LONGEST_CALL < analytics.function["Timeout"]


def test_a_sweep_that_uses_both_budgets_ends_in_time(template: Template) -> None:
    # GIVEN budgets that are checked before a call, so the last call of each may start just before the budget is spent
    last_published = sweep.THROTTLE_PATIENCE + bus.LONGEST_PATIENT_PUBLISH
    last = (last_published + aws.LONGEST_CALL) + (2 * payments.LONGEST_CALL + 2 * aws.LONGEST_CALL)
    # AND a read of each shard of the index, and of its orders
    reading = 2 * aws.LONGEST_CALL
    # AND the provider's events, with a cursor that is read and moved
    last_polled = max(payments.LONGEST_CALL, bus.LONGEST_PATIENT_PUBLISH)
    polling = aws.LONGEST_CALL + event_poller.POLLING_BUDGET + last_polled + aws.LONGEST_CALL
    sweeping = sweep.PUBLISHING_BUDGET + sweep.FINISHING_BUDGET + last + reading
    assert sweeping + polling < template.functions()["sweeper"]["Timeout"]


def test_functions_have_longer_timeouts_than_lambdas_default(template: Template, consumer: Consumer) -> None:
    # Lambda's default is three seconds, less than the maximum of one call.
    assert consumer.function["Timeout"] > aws.LONGEST_CALL


class SlowClock:
    """A clock that only calls advance, each by its maximum duration."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Return the time in seconds."""
        return self.now

    def time_ns(self) -> int:
        """Return the time in nanoseconds."""
        return int(self.now * 1e9)

    def taking(self, seconds: float, outcome: Any) -> Callable[..., Any]:
        """Return a call that takes this long, and then returns or raises its outcome."""

        def call(*_: object, **__: object) -> Any:
            self.now += seconds
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        return call


class SlowDynamoDB:
    """Every call succeeds and takes its maximum duration. Each product exists."""

    def __init__(self, clock: SlowClock) -> None:
        self._clock = clock

    def __getattr__(self, name: str) -> Callable[..., Any]:
        products = {"p": [to_item(PRODUCT.model_dump(by_alias=True))]}
        return self._clock.taking(aws.LONGEST_CALL, {"Responses": products, "UnprocessedKeys": {}})


def catalog_of(clock: SlowClock, state: str) -> Catalog:
    """Return a catalog that knows the product or not, or knew another price some time ago."""
    catalog = Catalog(SlowDynamoDB(clock), "p")
    if state != "cold":
        catalog.learn({PRODUCT.sku: PRODUCT if state == "warm" else PRODUCT.model_copy(update={"unit_price": 1})})
        clock.now += 60
    return catalog


class SlowOrders(OrderStore):
    """The store with slow calls. Its first `reserve` raises the given error, if any."""

    def __init__(self, clock: SlowClock, found: Exception | None) -> None:
        limits = Limits(table="l", orders=20, declines=5)
        tables = {"orders": "o", "products": "p", "customers": "c", "shipments": "s"}
        super().__init__(SlowDynamoDB(clock), **tables, limits=limits, shards=1, list_shards=1, rejected_days=30)
        self._clock = clock
        self._found = found

    def reserve(self, order: Order, shards: Mapping[str, int], verified_email: str | None, deadline: Deadline) -> None:
        """Reserve, or raise the given error."""
        found, self._found = self._found, None
        if found:
            self._clock.taking(aws.LONGEST_CALL, found)()
        super().reserve(order, shards, verified_email, deadline)


PRODUCT = Product(sku="MUG", name="Mug", unit_price=100, available=9, listed=True)
PLACEMENT = PlaceOrder(
    user_id="user",
    verified_email=None,
    idempotency_key="key",
    quantities={"MUG": 1},
    shipping_address=Address(name="n", street="s", city="c", postal_code="p", country="DE"),
    payment_token="tok_approve",
    can_act=False,
    expected_total=100,
    fingerprint=Fingerprint("3:hash", "hash"),
    correlation_id="c",
)
UNFINISHED = Order(
    order_id=PLACEMENT.order_id,
    user_id="user",
    status=Status.PENDING,
    sequence=0,
    history=(OrderStep(sequence=0, status=Status.PENDING, at="1970-01-01T00:00:00Z", transition_id="earlier"),),
    lines=(),
    shipping_address=PLACEMENT.shipping_address,
    total=100,
    currency="EUR",
    request_hash="hash",
    fingerprint="3:hash",
    correlation_id="c",
    attempt_id="earlier",
    lease_until=0,
    expires_at=0,
)
FOUND = {
    "a new order": None,
    "an unfinished one": OrderExists(UNFINISHED),
    "another price": ReservationFailed({"MUG": PRODUCT}),
}
ANSWERS = {
    "approved": Authorized("reference", 1),
    "declined": Declined("card_declined"),
    "unanswered": Unknown("no answer"),
}


@pytest.mark.parametrize("catalog", ["warm", "cold", "outdated"])
@pytest.mark.parametrize("found", FOUND)
@pytest.mark.parametrize("answer", ANSWERS)
def test_placing_an_order_ends_in_time_even_if_every_call_is_slow(
    template: Template, monkeypatch: pytest.MonkeyPatch, catalog: str, found: str, answer: str
) -> None:
    # GIVEN dependencies whose calls all take their maximum duration
    clock = SlowClock()
    monkeypatch.setattr("handoff.clock.time", clock)
    shop = Dependencies(
        catalog=catalog_of(clock, catalog),
        orders=SlowOrders(clock, FOUND[found]),
        payments=SimpleNamespace(authorize=clock.taking(payments.LONGEST_CALL, ANSWERS[answer])),
        bus=SimpleNamespace(publish=clock.taking(bus.LONGEST_PUBLISH, [True])),
        currency="EUR",
        action_expires_after=900_000,
        ships_to=frozenset(),
    )
    # WHEN an order is placed
    began = clock.now
    with suppress(RequestError, *aws.ERRORS):
        place_order(shop, PLACEMENT, Deadline(placing.DEADLINE))
    # THEN the response is ready before Lambda stops the function
    assert 0 < clock.now - began < template.functions()["orders"]["Timeout"]
