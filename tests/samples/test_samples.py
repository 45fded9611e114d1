"""events/: the samples are what the contract's models make of them, and the functions take them."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from stripe import WebhookSignature

import bodies
import callers
import order_requests
import parameters
import refund_requests
import shipment_requests
from dev import samples
from dev.samples import EVENTS
from dev.template import WITH_PARTNER, template_with
from handoff.events import Envelope, Metadata
from ops import catalog
from routes import OPERATIONS
from shop import events
from shop.events import OrderData
from shop.model import Customer, Product
from shop.payments import stripe_events

ROOT = EVENTS.parent
CONSUMERS = [found.name for found in template_with(**WITH_PARTNER).event_consumers()]
BY_HAND = {"catalog.json", "customers.json"}


def read(name: str) -> Any:
    """A sample."""
    return json.loads((EVENTS / name).read_text(encoding="utf-8"))


def parsed(name: str) -> list[Envelope]:
    """The events of a consumer's sample, as the consumer reads them."""
    return [events.EVENTS.parse(record["body"]) for record in read(f"{name}.json")["Records"]]


def orders_samples() -> list[dict[str, Any]]:
    """The samples of the orders function."""
    return [read(file.name) for file in sorted(EVENTS.glob("orders*.json"))]


def test_the_samples_are_up_to_date(tmp_path: Path) -> None:
    # WHEN the samples are written anew (`make events`)
    samples.write(tmp_path)
    # THEN they are those of the folder, and nothing else is in it
    written = {str(file.relative_to(tmp_path)): file.read_text(encoding="utf-8") for file in tmp_path.rglob("*.json")}
    there = {str(file.relative_to(EVENTS)): file.read_text(encoding="utf-8") for file in EVENTS.rglob("*.json")}
    assert {name: text for name, text in there.items() if name not in BY_HAND} == written


def test_a_sample_moved_in_time_has_the_same_events_now() -> None:
    # WHEN the sample is moved to another time
    now = 1_800_000_000_000
    sample = read("emails.json")
    moved = samples.moved_to(now, sample, new_event_ids=False)
    # THEN its events happened then, and nothing else has changed
    events_then = [events.EVENTS.parse(record["body"]) for record in moved["Records"]]
    assert {event.happened_at for event in events_then} == {now}
    assert [event.event_id for event in events_then] == [event.event_id for event in parsed("emails")]
    # AND with new ids, no consumer has handled them before
    renewed = samples.moved_to(now, sample, new_event_ids=True)
    assert not {events.EVENTS.parse(record["body"]).event_id for record in renewed["Records"]} & {
        event.event_id for event in events_then
    }


def test_every_function_has_a_sample() -> None:
    functions = {folder.name for folder in (ROOT / "functions").iterdir() if list(folder.glob("*.py"))}
    assert {name for name in functions if (EVENTS / f"{name}.json").is_file()} == functions


@pytest.mark.parametrize("name", CONSUMERS)
def test_a_consumer_can_read_its_sample(name: str) -> None:
    envelopes = parsed(name)
    assert len({envelope.event_id for envelope in envelopes}) == len(envelopes) > 0


@pytest.mark.parametrize("name", CONSUMERS)
def test_a_sample_holds_no_more_than_the_contract(name: str) -> None:
    # GIVEN that consumers ignore what they do not know, and producers must not send it
    for record in read(f"{name}.json")["Records"]:
        event = json.loads(record["body"])
        detail = event["detail"]
        assert detail.keys() == {"metadata", "data"}
        assert Metadata.model_validate(detail["metadata"], extra="forbid")
        assert events.EVENTS[event["detail-type"]].data.model_validate(detail["data"], extra="forbid")


@pytest.mark.parametrize("name", CONSUMERS)
def test_a_sample_has_every_event_that_its_consumer_is_sent(name: str) -> None:
    # GIVEN the pattern of its rule in the template

    (there,) = (found for found in template_with(**WITH_PARTNER).consumers() if found.name == name)
    (rule,) = there.rules.values()
    # THEN the sample has one of each at least, and no other
    assert {envelope.detail_type for envelope in parsed(name)} == set(rule["EventPattern"]["detail-type"])


def test_the_api_has_a_sample_for_every_route() -> None:
    assert {event["routeKey"] for event in orders_samples()} == OPERATIONS.keys()


def test_the_samples_are_about_the_same_orders() -> None:
    # GIVEN the order that orders.json places
    placement = order_requests.placement(read("orders.json"))
    # THEN the other requests and the events are about it, and the one that gets cancelled
    assert parameters.order_id(read("orders_get.json")) == placement.order_id
    for name in ("return", "refund", "packed"):
        assert parameters.order_id(read(f"orders_{name}.json")) == placement.order_id
    cancelled = parameters.order_id(read("orders_cancel.json"))
    found_orders: set[str] = set()
    for name in CONSUMERS:
        data = [envelope.data for envelope in parsed(name)]
        about = {found.order_id for found in data if isinstance(found, OrderData)}
        assert about
        found_orders |= about
    assert found_orders == {placement.order_id, cancelled}


def test_the_api_can_read_who_asks_and_for_what() -> None:
    assert callers.user_id(read("orders_get.json")) == callers.user_id(read("orders.json"))
    assert order_requests.orders_query(read("orders_list.json")).page.limit == 10
    assert shipment_requests.page(read("orders_shipments.json")).limit == 10
    assert order_requests.return_request(read("orders_return.json")) == ({}, "Too small.")
    assert refund_requests.refund(read("orders_refund.json"), "ord_" + "a" * 26).restock


def test_the_requests_of_programs_have_the_scopes_of_their_routes() -> None:
    scoped = {event["routeKey"]: event for event in orders_samples() if OPERATIONS[event["routeKey"]].scope}
    assert len(scoped) == 4
    for route, event in scoped.items():
        callers.check_scope(event, str(OPERATIONS[route].scope))
        assert callers.is_program(event)


def test_the_request_of_stripe_is_signed_and_about_a_payment() -> None:
    request = read("payment_events.json")
    signature = request["headers"]["stripe-signature"]
    assert WebhookSignature.verify_header(request["body"], signature, samples.WEBHOOK_SECRET)
    happened = stripe_events.read(request["body"])
    assert happened
    assert happened.reference == "pi_sample"


def test_a_correlation_id_can_be_made_of_each_request() -> None:
    for event in orders_samples():
        assert parameters.correlation_id(event) == event["requestContext"]["requestId"]


@pytest.mark.parametrize("name", ["good", "declined", "out_of_stock", "cancelled", "action_required"])
def test_a_request_is_one_that_the_api_takes(name: str) -> None:
    body = (EVENTS / f"requests/{name}.json").read_bytes()
    order = order_requests.OrderIn.model_validate_json(body)
    assert order.shipping_address.name in {customer.name for customer in samples.customers()}


def test_the_requests_show_what_their_names_say() -> None:
    # GIVEN the catalog
    products = {product.sku: product for product in samples.catalog()}
    asked = {file.stem: order_requests.OrderIn.model_validate(read(f"requests/{file.name}")) for file in requests()}
    short = {
        name
        for name, order in asked.items()
        if any(products[line.sku].available < line.quantity for line in order.lines)
    }
    # THEN only what is called so is out of stock, or declined, or needs the customer to act
    assert short == {"out_of_stock"}
    assert {name for name, order in asked.items() if order.payment_token == "tok_decline"} == {"declined"}
    for waits in ({name for name, order in asked.items() if order.payment_token == "tok_action"}, _acting(asked)):
        assert waits == {"action_required"}
    assert all(products[line.sku].listed for order in asked.values() for line in order.lines)
    assert len(asked["good"].lines) > 1


def test_the_good_order_expects_the_catalogs_total() -> None:
    prices = {product.sku: product.unit_price for product in samples.catalog()}
    good = order_requests.OrderIn.model_validate(read("requests/good.json"))
    assert good.expected_total == sum(line.quantity * prices[line.sku] for line in good.lines)


def test_the_catalog_can_be_loaded() -> None:
    entries = catalog.read(EVENTS / "catalog.json")
    assert [(entry.sku, entry.available) for entry in entries] == [
        (product.sku, product.available) for product in samples.catalog()
    ]


def test_the_catalog_has_something_of_every_kind() -> None:
    products = strictly(Product, "catalog.json")
    assert len(products) >= 12
    assert len({product.sku for product in products}) == len(products)
    assert all(product.unit_price > 0 for product in products)
    assert [product.sku for product in products if not product.listed] == ["MUG-2019"]
    assert any(0 < product.available < 5 for product in products)


@pytest.mark.parametrize("product", samples.catalog(), ids=lambda product: product.sku)
def test_a_product_can_be_ordered_by_its_sku(product: Product) -> None:
    assert bodies.LineIn(sku=product.sku, quantity=1)


def test_the_customers_are_nobodies() -> None:
    customers = strictly(Customer, "customers.json")
    assert len(customers) == 3
    assert all(customer.email and customer.email.endswith("@example.com") for customer in customers)


def test_a_sample_of_the_scheduler_needs_nothing_of_ours() -> None:
    # GIVEN that the sweeper ignores its event
    # THEN the sample is the scheduler's own
    assert read("sweeper.json")["source"] == "aws.scheduler"


def _acting(asked: dict[str, order_requests.OrderIn]) -> set[str]:
    """The names of the orders whose page lets the customer act."""
    return {name for name, order in asked.items() if order.customer_action}


def requests() -> list[Path]:
    """The files of the sample orders."""
    return sorted((EVENTS / "requests").glob("*.json"))


def strictly(model: type, name: str) -> list[Any]:
    """A file of hand-written data, with no field that the model does not know."""
    return TypeAdapter(list[model]).validate_python(read(name), extra="forbid")  # type: ignore[valid-type]
