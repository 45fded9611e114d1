"""Dead letters: listed with their reasons, and redriven on confirmation."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from ops.stack.observe import depth
from tests.browser.conftest import Stack

FOCUS_OUTSIDE_DIALOG = """() => { const e = document.activeElement;
  return e === document.body || e.closest("[role=dialog]") ? null : e.outerHTML; }"""
HOSTILE = "<img src=x onerror=alert(1)>"


def purge(stack: Stack) -> None:
    stack.deployment.sqs.purge_queue(QueueUrl=stack.deployment.queue_url("analytics", dead_letters=True))


def wait_until_consumed(stack: Stack, page: Page) -> None:
    """Wait until redriven messages have failed again, so that the next test does not see them."""
    queue = stack.deployment.queue_url("analytics")
    for _ in range(300):
        if not depth(stack.deployment, queue).total:
            return
        page.wait_for_timeout(200)
    raise AssertionError("redriven messages were not consumed")


def test_a_poison_message_is_redriven_and_fails_again(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    page = visit(console)
    row = page.get_by_test_id("analytics")
    expect(row.get_by_test_id("state")).to_have_text("idle")
    expect(row).to_contain_text("no dead letters")
    # WHEN a user sends a message that analytics can never process
    expect(page.get_by_role("combobox", name="Consumer")).to_have_value("analytics")
    page.get_by_role("button", name="Send poison").click()
    # THEN the overview shows its dead letter, beside the main way, and in the navigation
    expect(row.get_by_role("link", name="1 dead letter", exact=True)).to_be_visible()
    expect(page.get_by_test_id("dead-letters")).to_have_text("1")
    # AND the list of this consumer shows the reason
    row.get_by_role("link", name="1 dead letter").click()
    expect(page).to_have_url(f"{console}/dead-letters?consumer=analytics")
    expect(page.get_by_test_id("reason")).to_contain_text("not an event")
    # WHEN a user opens the redrive dialog with the keyboard, and cancels
    page.get_by_role("button", name="Redrive", exact=True).press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 would be redriven: 1 to analytics")
    for _ in range(5):  # more often than there are buttons: the focus stays in the dialog
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUS_OUTSIDE_DIALOG) is None
    page.keyboard.press("Escape")
    # THEN nothing was redriven, and the focus returns to the button
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Redrive", exact=True)).to_be_focused()
    page.get_by_role("button", name="Refresh").click()
    expect(page.get_by_test_id("reason")).to_have_count(1)
    # WHEN a user confirms
    page.get_by_role("button", name="Redrive", exact=True).click()
    expect(dialog).to_contain_text("1 would be redriven")
    dialog.get_by_role("button", name="Redrive").click()
    # THEN the result says that the message has failed again, and the list shows it
    expect(dialog).to_contain_text("1 redriven: 1 to analytics")
    expect(dialog).to_contain_text("1 failed again: not an event")
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_test_id("reason")).to_have_count(1)
    # WHEN it is deleted
    purge(stack)
    expect(page.get_by_test_id("dead-letters")).to_be_hidden()
    page.get_by_role("button", name="Refresh").click()
    # THEN the list says that this consumer has none
    expect(page.get_by_test_id("dead-letter-list")).to_have_text(re.compile("No dead letters of analytics"))


def test_a_list_of_one_consumer_survives_a_reload(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    stack.add_dead_letter("no event", "the same")
    # WHEN a link to the dead letters of one consumer is opened, and reloaded
    page = visit(f"{console}/dead-letters?consumer=analytics")
    for _ in range(2):
        expect(page.get_by_role("heading", name="Dead letters of analytics")).to_be_visible()
        expect(page.get_by_test_id("reason")).to_have_text("the same")
        page.reload()
    # THEN those of another consumer are not in its list, and one that does not exist is an error
    page.goto(f"{console}/dead-letters?consumer=emails")
    expect(page.get_by_test_id("dead-letter-list")).to_contain_text("No dead letters of emails.")
    page.goto(f"{console}/dead-letters?consumer=nobody")
    expect(page.get_by_role("alert").filter(has_text="The stack has no consumer nobody.")).to_be_visible()
    # AND the way back leads through the same pages
    page.go_back()
    page.go_back()
    expect(page.get_by_test_id("reason")).to_have_text("the same")


def test_markup_in_messages_is_shown_as_text(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    # GIVEN a dead letter with HTML in its reason, type and order id
    body = f'{{"detail-type": "{HOSTILE}", "detail": {{"data": {{"orderId": "{HOSTILE}"}}}}}}'
    stack.add_dead_letter(body, HOSTILE)
    page = visit(f"{console}/dead-letters")
    # WHEN it is shown, THEN as text
    expect(page.get_by_test_id("reason")).to_have_text(HOSTILE)
    page.get_by_role("link", name="View timeline").click()
    expect(page.get_by_test_id("order")).to_contain_text(HOSTILE)
    assert page.locator("img").count() == 0


def test_a_redrive_is_stopped(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    # GIVEN more dead letters than are redriven in ten seconds
    for n in range(100):
        stack.add_dead_letter(f"no event {n}", "the same")
    page = visit(f"{console}/dead-letters")
    page.get_by_role("button", name=re.compile("Redrive all of analytics")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("100 would be redriven")
    dialog.get_by_role("button", name="Redrive").press("Enter")
    expect(dialog).to_contain_text(re.compile("[1-9][0-9]? redriven so far"))
    # THEN the dialog cannot be closed, and another page shows the redrive instead of an empty list
    page.keyboard.press("Escape")
    other = visit(f"{console}/dead-letters")
    expect(other.get_by_test_id("dead-letter-list")).to_contain_text("A redrive is in progress")
    # WHEN a user stops it with the keyboard
    for _ in range(5):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText") == "Stop":
            break
    page.keyboard.press("Enter")
    # THEN the dialog says so, and the other messages are still dead letters
    expect(dialog).to_contain_text("Stopped. Messages that were not redriven are still in the dead-letter queue.")
    dialog.get_by_role("button", name="Close").press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.get_by_test_id("reason").filter(has_text="the same")).not_to_have_count(0)
    wait_until_consumed(stack, page)


def test_all_of_a_consumer_are_redriven_together(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    for n in range(3):
        stack.add_dead_letter(f"no event {n}", f"reason {n}")
    page = visit(f"{console}/dead-letters")
    expect(page.get_by_test_id("reason")).to_have_count(3)
    page.get_by_role("button", name=re.compile("Redrive all of analytics")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("3 would be redriven")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_test_id("reason")).to_have_count(3)
