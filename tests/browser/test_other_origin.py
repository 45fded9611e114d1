"""A page of another origin than the API: the checkout example, which calls the API itself."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Stack
from tests.browser.test_checkout import Visit, bank, confirm, fill, ids_of_orders, placed, submit

# Returns what a page gets to see of an answer, or the error if it sees none.
SEND = """async ([url, method, headers, body]) => {
    try {
        const answer = await fetch(url, {method, headers, body})
        const names = ["location", "retry-after", "x-correlation-id", "etag"]
        const seen = Object.fromEntries(names.map(name => [name, answer.headers.get(name)]))
        return {status: answer.status, headers: seen, body: await answer.json().catch(() => null)}
    } catch (error) {
        return {error: String(error)}
    }
}"""


@pytest.fixture
def page(direct_checkout: str, stack: Stack, visit: Visit) -> Page:
    """The page, which may send requests to the API, and whose browser writes of refused requests."""
    return visit(
        direct_checkout, expected=(stack.deployment.endpoint or "", "Failed to load resource", "blocked by CORS")
    )


def seen(page: Page, stack: Stack, method: str, path: str, body: str | None = None, **headers: str) -> Any:
    """Send a request from the page; return what it sees."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return page.evaluate(SEND, [stack.deployment.api_url + path, method, names, body])


def test_a_page_of_another_origin_places_an_order_and_cancels_it(page: Page, stack: Stack) -> None:
    # GIVEN a page and an API with different origins
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    assert urlsplit(page.url).port == stack.page_port != stack.port
    before = ids_of_orders(stack)
    # WHEN its customer orders, confirms and cancels
    fill(page, "tok_action")
    submit(page)
    expect(bank(page)).to_be_visible()
    confirm(page)
    order_id = placed(page)
    page.get_by_role("button", name=f"Cancel order {order_id}").click()
    expect(page.get_by_role("status")).to_contain_text("is cancelled")
    # THEN the API has the order, and the page has asked it directly
    assert ids_of_orders(stack) - before == {order_id}
    assert stack.client.order(order_id).body["status"] == "CANCELLED"
    assert f"POST {stack.deployment.api_url}/orders" in asked
    assert not any("/api/" in request for request in asked)


def test_a_page_reads_the_headers_that_it_needs(page: Page, stack: Stack) -> None:
    answer = seen(page, stack, "GET", "/health", x_correlation_id="from-a-page")
    assert (answer["status"], answer["headers"]["x-correlation-id"]) == (200, "from-a-page")
    # AND no others
    assert answer["headers"]["etag"] is None


def test_a_page_reads_why_a_request_is_refused(page: Page, stack: Stack) -> None:
    # WHEN the function refuses it
    body, bearer = '{"lines": []}', f"Bearer {stack.client.token}"
    sent = {"content_type": "application/json", "idempotency_key": "k", "authorization": bearer}
    answer = seen(page, stack, "POST", "/orders", body, **sent)
    assert (answer["status"], answer["body"]["type"]) == (400, "urn:handoff:problem:invalid-request")
    # AND WHEN the gateway does: without a token, or with a wrong one
    assert seen(page, stack, "GET", "/orders")["status"] == 401
    assert seen(page, stack, "GET", "/orders", authorization="Bearer x")["status"] == 401
    # THEN the page reads each of them
    assert seen(page, stack, "GET", "/nowhere")["status"] == 404


def test_a_page_cannot_send_what_is_not_allowed(page: Page, stack: Stack) -> None:
    assert "error" in seen(page, stack, "GET", "/health", x_other="1")
    assert "error" in seen(page, stack, "PATCH", "/orders")


def test_a_page_of_an_origin_that_is_not_allowed_reads_nothing(
    direct_checkout: str, stack: Stack, visit: Visit
) -> None:
    # GIVEN the same page under another name, which is another origin
    blocked = (stack.deployment.endpoint or "", "Failed to load resource", "blocked by CORS policy")
    page = visit(direct_checkout.replace("127.0.0.1", "localhost"), expected=blocked)
    assert "error" in seen(page, stack, "GET", "/health")
    expect(page.get_by_role("alert")).to_contain_text("The shop did not answer.")
