"""Dead letters: listed with their reasons, and redriven on confirmation."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from ops.stack.observe import depth
from tests.browser.conftest import Stack

FOCUS_OUTSIDE_DIALOG = """() => { const e = document.activeElement;
  return e === document.body || e.closest("[role=dialog]") ? null : e.outerHTML; }"""
HOSTILE = "<img src=x onerror=alert(1)>"


def add_dead_letter(stack: Stack, body: str, reason: str) -> None:
    """Send a message to the dead-letter queue of analytics."""
    stack.deployment.sqs.send_message(
        QueueUrl=stack.deployment.queue_url("analytics", dead_letters=True),
        MessageBody=body,
        MessageAttributes={"reason": {"DataType": "String", "StringValue": reason}},
    )


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


def test_redrive(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    page = visit(console)
    expect(page.get_by_test_id("analytics").get_by_test_id("state")).to_have_text("idle")
    # GIVEN a message that analytics can never process
    queue = stack.deployment.queue_url("analytics")
    stack.deployment.sqs.send_message(QueueUrl=queue, MessageBody="no event")
    # THEN the overview counts it as a dead letter
    expect(page.get_by_test_id("analytics").get_by_test_id("state")).to_have_text("1 dead letter")
    expect(page.get_by_test_id("dead-letters")).to_have_text("1")
    # AND the list shows the reason
    page.get_by_role("tab", name="Dead letters").click()
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
    # THEN the dialog shows the result, and the message fails again
    expect(dialog).to_contain_text("1 redriven: 1 to analytics")
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)
    page.get_by_role("tab", name="Overview").click()
    expect(page.get_by_test_id("dead-letters")).to_have_text("1")
    purge(stack)
    expect(page.get_by_test_id("dead-letters")).to_have_text("0")
    page.get_by_role("button", name="View dead letters").click()
    expect(page.get_by_test_id("dead-letter-list")).to_contain_text("No dead letters")


def test_markup_in_messages_is_shown_as_text(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    # GIVEN a dead letter with HTML in its reason, type and order id
    body = f'{{"detail-type": "{HOSTILE}", "detail": {{"data": {{"orderId": "{HOSTILE}"}}}}}}'
    add_dead_letter(stack, body, HOSTILE)
    page = visit(console)
    # WHEN it is shown, THEN as text
    page.get_by_role("tab", name="Dead letters").click()
    expect(page.get_by_test_id("reason")).to_have_text(HOSTILE)
    page.get_by_role("button", name="View timeline").click()
    expect(page.get_by_test_id("order")).to_contain_text(HOSTILE)
    assert page.locator("img").count() == 0


def test_a_redrive_is_stopped(console: str, stack: Stack, visit: Callable[..., Page]) -> None:
    # GIVEN more dead letters than are redriven in ten seconds
    for n in range(100):
        add_dead_letter(stack, f"no event {n}", "the same")
    page = visit(console)
    page.get_by_role("tab", name="Dead letters").click()
    page.get_by_role("button", name=re.compile("Redrive all of analytics")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("100 would be redriven")
    dialog.get_by_role("button", name="Redrive").press("Enter")
    expect(dialog).to_contain_text(re.compile("[1-9][0-9]? redriven so far"))
    # THEN the dialog cannot be closed, and another page shows the redrive instead of an empty list
    page.keyboard.press("Escape")
    other = visit(console)
    other.get_by_role("tab", name="Dead letters").click()
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
        add_dead_letter(stack, f"no event {n}", f"reason {n}")
    page = visit(console)
    page.get_by_role("tab", name="Dead letters").click()
    expect(page.get_by_test_id("reason")).to_have_count(3)
    page.get_by_role("button", name=re.compile("Redrive all of analytics")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("3 would be redriven")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_test_id("reason")).to_have_count(3)
