"""The checkout example: from the catalog to an order that is placed and cancelled, and what can go wrong in between."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from handoff.update import Update
from tests.browser.conftest import Stack
from tests.browser.test_accessibility import FOCUS, LOW_CONTRAST

PHONE = 390
ADDRESS = {
    "Name": "Mira Lindqvist",
    "Street": "Storgatan 12",
    "Postal code": "753 31",
    "City": "Uppsala",
    "Country, two letters": "SE",
}
TEA = "Assam tea"
CARDS = {
    "tok_approve": "A card that pays at once",
    "tok_action": "A card that you have to confirm at your bank",
    "tok_action_fail": "A card whose bank refuses the confirmation",
    "tok_decline": "A card that is declined",
}
Visit = Callable[..., Page]


def fill(page: Page, card: str = "tok_action", *, product: str = TEA, units: int = 2) -> None:
    """Fill the form in."""
    page.get_by_label(product).fill(str(units))
    for label, value in ADDRESS.items():
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_label(CARDS[card]).check()


def submit(page: Page) -> None:
    page.get_by_role("button", name="Order and pay").click()


def bank(page: Page) -> Any:
    return page.get_by_role("dialog", name="Your bank (sandbox)")


def confirm(page: Page) -> None:
    bank(page).get_by_role("button", name="Confirm the payment").click()


def order_id(text: str) -> str:
    (found,) = re.findall(r"ord_[a-z2-7]{26}", text)
    return str(found)


def placed(page: Page) -> str:
    """Wait until the page says that an order is placed; return its id."""
    status = page.get_by_role("status")
    expect(status).to_contain_text("is placed")
    return order_id(status.inner_text())


def kept(page: Page) -> Any:
    return page.evaluate("JSON.parse(localStorage.getItem('checkout-attempt'))")


def ids_of_orders(stack: Stack) -> set[str]:
    return {order["orderId"] for order in stack.client.orders(limit="50").body["orders"]}


def test_an_order_is_placed_once_its_customer_has_confirmed_and_can_be_cancelled(
    checkout: str, stack: Stack, visit: Visit
) -> None:
    page = visit(checkout)
    # GIVEN an order of two units, for which the page shows the total
    fill(page, "tok_action")
    expect(page.get_by_text("Total: €13.00")).to_be_visible()
    # WHEN it is ordered, THEN the bank asks the customer, and the request is kept
    submit(page)
    expect(bank(page)).to_be_visible()
    assert kept(page)["order"]["paymentToken"] == "tok_action"
    # WHEN the customer confirms, THEN the order is placed
    confirm(page)
    order = placed(page)
    assert kept(page) is None
    expect(page.get_by_role("status")).to_be_focused()
    # AND the customer can cancel it
    page.get_by_role("button", name=f"Cancel order {order}").click()
    expect(page.get_by_role("status")).to_have_text(f"Order {order} is cancelled.")
    expect(page.locator(f"[data-order={order}]")).to_contain_text("CANCELLED")
    shown = stack.client.order(order).body
    assert (shown["status"], shown["total"], shown["shippingAddress"]["city"]) == ("CANCELLED", 1300, "Uppsala")


def test_a_card_that_needs_no_confirmation_pays_at_once(checkout: str, stack: Stack, visit: Visit) -> None:
    page = visit(checkout)
    fill(page, "tok_approve")
    submit(page)
    assert stack.client.order(placed(page)).body["status"] in {"PLACED", "PREPARED"}


@pytest.fixture
def bounced(stack: Stack) -> Iterator[str]:
    """The customer's address, from which mail has bounced."""
    profile = stack.client.profile().body
    customer = Update(stack.deployment.resource("CustomersTable"), {"userId": profile["userId"]})
    stack.deployment.dynamodb.update_item(**customer.set("emailProblem", "bounced").members())
    yield profile["email"]
    stack.client.introduce(profile)


def test_a_customer_without_an_address_is_asked_for_it_and_gets_the_same_order(
    checkout: str, stack: Stack, visit: Visit, bounced: str
) -> None:
    # GIVEN a customer whose address cannot be written to
    page = visit(checkout, expected=("409", "400"))
    fill(page, "tok_approve")
    submit(page)
    # THEN the page says so, keeps the order, and asks for an address, also after a reload
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("mail to the address in your profile bounced")
    key = kept(page)["key"]
    page.reload()
    email = page.get_by_label("E-mail address", exact=True)
    expect(email).to_be_visible()
    expect(page.get_by_label(TEA)).to_be_hidden()
    # WHEN the customer gives one that is refused, THEN it can be corrected
    email.fill("mira@example")
    page.get_by_role("button", name="Save and order").click()
    expect(alert).to_contain_text("email")
    assert kept(page)["key"] == key
    # WHEN the customer gives one that works, THEN the order is placed
    email.fill(bounced)
    page.get_by_role("button", name="Save and order").click()
    placed(page)
    assert kept(page) is None
    assert "emailProblem" not in stack.client.profile().body


def test_a_customer_who_is_asked_for_an_address_can_change_the_order(checkout: str, visit: Visit, bounced: str) -> None:
    page = visit(checkout, expected=("409",))
    fill(page, "tok_approve")
    submit(page)
    page.get_by_role("button", name="Change the order").click()
    expect(page.get_by_label(TEA)).to_have_value("2")
    assert kept(page) is None


def test_after_a_failed_confirmation_the_customer_can_use_another_card(
    checkout: str, stack: Stack, visit: Visit
) -> None:
    # GIVEN an order whose bank refuses
    page = visit(checkout, expected=("402",))
    fill(page, "tok_action_fail")
    submit(page)
    expect(bank(page)).to_be_visible()
    first = kept(page)["key"]
    confirm(page)
    # THEN the page shows the problem, moves the focus to it, and keeps what was chosen
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Payment declined")
    expect(alert).to_contain_text("The payment was declined. Use another payment method")
    expect(alert).to_be_focused()
    assert kept(page) is None
    expect(page.get_by_label(TEA)).to_have_value("2")
    # WHEN the customer takes another card, THEN it is another order, and placed
    page.get_by_label(CARDS["tok_action"]).check()
    submit(page)
    expect(bank(page)).to_be_visible()
    assert kept(page)["key"] != first
    confirm(page)
    placed(page)
    expect(alert).to_be_empty()


def test_a_declined_card_is_shown_as_the_problem_says(checkout: str, visit: Visit) -> None:
    page = visit(checkout, expected=("402",))
    fill(page, "tok_decline")
    submit(page)
    expect(page.get_by_role("alert")).to_contain_text("Payment declined")
    expect(page.get_by_role("button", name="Order and pay")).to_be_enabled()


def test_what_is_out_of_stock_is_shown_as_the_problem_says(checkout: str, visit: Visit) -> None:
    page = visit(checkout, expected=("409",))
    fill(page, "tok_approve", product="Espresso machine", units=3)
    submit(page)
    expect(page.get_by_role("alert")).to_contain_text("Not enough in stock: ESPRESSO-LEVER (2 left).")
    assert kept(page) is None


def test_a_changed_price_is_shown_and_can_be_accepted(checkout: str, stack: Stack, visit: Visit) -> None:
    # GIVEN a page that shows an outdated price
    answers = []

    def show_an_old_price(route: Route) -> None:
        catalog = route.fetch().json()
        answers.append(catalog)
        if len(answers) == 1:
            (tea,) = [product for product in catalog["products"] if product["name"].startswith(TEA)]
            tea["unitPrice"] -= 50
        route.fulfill(json=catalog)

    page = visit(checkout, expected=("409",), prepare=lambda page: page.route("**/api/catalog", show_an_old_price))
    fill(page, "tok_approve")
    expect(page.get_by_text("Total: €12.00")).to_be_visible()
    submit(page)
    # THEN nothing is ordered, and the page shows the price as it is
    expect(page.get_by_role("alert")).to_contain_text("Total changed")
    expect(page.get_by_text("Total: €13.00")).to_be_visible()
    assert kept(page) is None
    # WHEN the customer orders again, THEN the order is placed at that price
    submit(page)
    assert stack.client.order(placed(page)).body["total"] == 1300


def test_a_shop_that_is_down_at_first_keeps_the_order(checkout: str, visit: Visit) -> None:
    # GIVEN an order that waits, and a reload while the catalog can't be read
    page = visit(checkout, expected=("404",))
    fill(page)
    submit(page)
    expect(bank(page)).to_be_visible()
    before = kept(page)
    page.route("**/api/catalog", lambda route: route.fulfill(status=404, json={"message": "Not Found"}))
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("Not Found")
    # WHEN the customer tries again later, THEN the order still waits
    page.unroute("**/api/catalog")
    page.get_by_role("button", name="Try again").click()
    waiting = page.get_by_role("region", name="Confirm the payment")
    expect(waiting).to_be_visible()
    assert kept(page) == before
    waiting.get_by_role("button", name="Cancel the order").click()
    expect(page.get_by_role("status")).to_contain_text("is cancelled")


def test_nothing_is_sent_without_a_product(checkout: str, stack: Stack, visit: Visit) -> None:
    page = visit(checkout)
    fill(page, units=0)
    submit(page)
    expect(page.get_by_role("alert")).to_contain_text("Choose at least one product.")
    assert kept(page) is None


def test_a_reload_while_the_order_waits_resumes_it(checkout: str, stack: Stack, visit: Visit) -> None:
    # GIVEN an order that waits for its customer
    page = visit(checkout)
    fill(page)
    submit(page)
    expect(bank(page)).to_be_visible()
    before = kept(page)
    # WHEN the page is reloaded, THEN the same order still waits
    page.reload()
    waiting = page.get_by_role("region", name="Confirm the payment")
    expect(waiting).to_be_visible()
    expect(page.get_by_role("button", name="Order and pay")).to_be_hidden()
    assert kept(page) == before
    reserved = order_id(waiting.inner_text())
    # WHEN the customer confirms now, THEN that order is placed
    waiting.get_by_role("button", name="Confirm at your bank").click()
    confirm(page)
    assert placed(page) == reserved
    assert stack.client.order(reserved).body["status"] in {"PLACED", "PREPARED"}
    # AND another reload shows an empty form
    page.reload()
    expect(page.get_by_role("button", name="Order and pay")).to_be_visible()
    expect(waiting).to_be_hidden()


def test_a_reload_after_the_customer_has_acted_places_the_order(checkout: str, stack: Stack, visit: Visit) -> None:
    # GIVEN a page that was closed between the bank's answer and the confirmation
    page = visit(checkout, expected=("ERR_FAILED",))
    page.route("**/confirm", lambda route: route.abort())
    fill(page)
    submit(page)
    with page.expect_response("**/sandbox/actions"):
        confirm(page)
    page.unroute("**/confirm")
    # WHEN it is opened again, THEN the order is placed
    page.reload()
    assert stack.client.order(placed(page)).body["status"] in {"PLACED", "PREPARED"}


def test_a_customer_who_does_not_confirm_can_go_on_or_cancel(checkout: str, stack: Stack, visit: Visit) -> None:
    page = visit(checkout)
    fill(page)
    submit(page)
    # WHEN the customer closes the bank's page with Escape, THEN the order still waits
    expect(bank(page)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("status")).to_have_text("The payment is not confirmed yet.")
    waiting = page.get_by_role("region", name="Confirm the payment")
    order = order_id(waiting.inner_text())
    # WHEN the customer cancels it, THEN nothing is charged, and the form is back
    waiting.get_by_role("button", name="Cancel the order").click()
    expect(page.get_by_role("status")).to_have_text(f"Order {order} is cancelled. Nothing was charged.")
    expect(page.get_by_role("button", name="Order and pay")).to_be_visible()
    assert kept(page) is None
    assert stack.client.order(order).body["status"] == "REJECTED"


def test_a_lost_answer_places_no_second_order(checkout: str, stack: Stack, visit: Visit) -> None:
    before = ids_of_orders(stack)
    page = visit(checkout, expected=("ERR_FAILED",))
    keys = []

    def lose_the_first_answer(route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            assert route.fetch().status == 201
            route.abort()
        else:
            route.continue_()

    # WHEN the answer to an order is lost on the way
    page.route("**/api/orders", lose_the_first_answer)
    fill(page, "tok_approve")
    submit(page)
    # THEN the page sends the same request again, and there is one order
    order = placed(page)
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert ids_of_orders(stack) - before == {order}


def test_a_shop_that_is_down_can_be_asked_again_with_the_same_key(checkout: str, visit: Visit) -> None:
    page = visit(checkout, expected=("429",))
    page.route("**/api/orders", throttled)
    fill(page, "tok_approve")
    submit(page)
    # GIVEN an answer that says nothing about the order
    expect(page.get_by_role("alert")).to_contain_text("Too Many Requests")
    expect(page.get_by_role("button", name="Order and pay")).to_be_hidden()
    key = kept(page)["key"]
    # WHEN the customer tries again, THEN it is the same request
    page.unroute("**/api/orders")
    with page.expect_request(lambda request: request.method == "POST") as sent:
        page.get_by_role("button", name="Try again").click()
    assert sent.value.headers["idempotency-key"] == key
    placed(page)


def throttled(route: Route) -> None:
    """Answer as API Gateway does."""
    if route.request.method == "POST":
        route.fulfill(status=429, json={"message": "Too Many Requests"})
    else:
        route.continue_()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_on_a_phone(scheme: str, checkout: str, visit: Visit) -> None:
    page = visit(checkout, width=PHONE, scheme=scheme)
    fill(page)
    # THEN nothing is wider than the screen, and all text has enough contrast; also while the bank asks, and later
    for step in (lambda: submit(page), lambda: confirm(page), lambda: placed(page)):
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE
        assert page.evaluate(LOW_CONTRAST) == []
        step()
    # AND every field has a label
    assert page.evaluate("[...document.querySelectorAll('input')].filter(field => !field.labels.length).length") == 0


def test_an_order_is_placed_with_the_keyboard(checkout: str, visit: Visit) -> None:
    page = visit(checkout)
    fill(page)
    # WHEN a customer submits with Enter, and confirms with the keyboard
    page.get_by_label("City").press("Enter")
    expect(bank(page)).to_be_visible()
    name, has_outline = page.evaluate(FOCUS)
    assert (name, has_outline) == ("Confirm the payment", True)
    page.keyboard.press("Enter")
    # THEN the order is placed, and the focus is on what the page says
    placed(page)
    expect(page.get_by_role("status")).to_be_focused()


# --- Stripe's part ----------------------------------------------------------------------------------------------------

# What payment.js needs of Stripe.js. This card's PaymentMethod is a token of the sandbox, whose bank always confirms.
STRIPE = """window.calls = [];
window.Stripe = (key) => {
  calls.push(["Stripe", key]);
  return {
    elements: () => ({create: (kind) => ({mount: (place) => { calls.push(["mount", kind, place.id]); }})}),
    createPaymentMethod: async ({type, card}) => window.incomplete
      ? {error: {message: "Your card number is incomplete."}}
      : {paymentMethod: {id: "tok_action", type}},
    handleNextAction: async ({clientSecret}) => {
      calls.push(["handleNextAction"]);
      await fetch("/api/sandbox/actions", {
        method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify({clientSecret}),
      });
      return {paymentIntent: {status: "requires_capture"}};
    },
  };
};"""


def with_stripe(page: Page) -> None:
    """Let the page believe that the shop takes payments by Stripe."""
    page.route("**/api/health", lambda route: route.fulfill(json={"status": "ok", "paymentProvider": "stripe"}))
    page.route("https://js.stripe.com/**", lambda route: route.fulfill(content_type="text/javascript", body=STRIPE))


def test_the_calls_of_stripe_lead_to_a_placed_order(checkout: str, stack: Stack, visit: Visit) -> None:
    page = visit(checkout, expected=("https://js.stripe.com/v3/",), prepare=with_stripe)
    page.get_by_label(TEA).fill("1")
    for label, value in ADDRESS.items():
        page.get_by_label(label, exact=True).fill(value)
    # WHEN the card is incomplete, THEN nothing is ordered
    page.evaluate("window.incomplete = true")
    submit(page)
    expect(page.get_by_role("alert")).to_contain_text("Your card number is incomplete.")
    assert kept(page) is None
    # WHEN it is complete, THEN Stripe.js lets the customer confirm, and the order is placed
    page.evaluate("window.incomplete = false")
    submit(page)
    assert stack.client.order(placed(page)).body["total"] == 650
    assert page.evaluate("calls") == [["Stripe", ""], ["mount", "card", "card"], ["handleNextAction"]]
