"""The sample events of events/, handled by their consumers after the requests that cause them."""

import pytest

from dev import samples
from dev.template import template_with


@pytest.fixture
def after_requests(world):
    """Place, cancel, return and refund the sample orders, as `make invoke` does."""
    for product in samples.catalog():
        world.put("ProductsTable", product.dump())
    for requests in (samples.setup_requests(), samples.return_requests()):
        for request in requests:
            assert world.functions.invoke("OrdersFunction", request)["statusCode"] in {200, 201}
        world.queues.until_quiet()


@pytest.mark.usefixtures("after_requests")
@pytest.mark.parametrize("name", [found.name for found in template_with().event_consumers()])
def test_a_consumer_handles_its_sample(world, name):
    payload = samples.moved_to(world.clock.ms, samples.payloads()[f"{name}.json"], new_event_ids=name == "emails")
    # No request disputes a payment.
    payload["Records"] = [record for record in payload["Records"] if "payment_disputed" not in record["body"]]

    assert world.functions.invoke(f"{name.title()}Function", payload) == {"batchItemFailures": []}
    assert world.queues.dead_letters(f"{name.title()}Function") == []
