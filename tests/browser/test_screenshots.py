"""Screenshots for docs/how-to/console.md; `make test-browser SCREENSHOTS=1` writes them to the docs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

DOCS = Path(__file__).parents[2] / "docs/how-to/console"
MAX_SIZE = 250_000  # bytes


@pytest.mark.timeout(900)  # the docs show several minutes of orders
def test_screenshots(request: pytest.FixtureRequest, console: str, visit: Callable[..., Page], tmp_path: Path) -> None:
    folder = DOCS if request.config.getoption("screenshots") else tmp_path
    for_docs = folder == DOCS
    # GIVEN orders every second, and slow mail after a while
    page = visit(console, width=1100)
    page.get_by_role("switch", name="One every second").click()
    page.wait_for_timeout(180_000 if for_docs else 0)
    page.get_by_role("switch", name="Slow e-mail").click()
    expect(page.get_by_test_id("emails").get_by_test_id("waiting")).not_to_have_text("0")
    page.wait_for_timeout(40_000 if for_docs else 0)  # the docs show a queue that grows
    # WHEN the overview is shown, light and dark, and a timeline on a phone
    page.mouse.move(0, 0)  # off the switch
    page.screenshot(path=folder / "light.png", full_page=True, animations="disabled")
    dark = visit(console, scheme="dark")
    expect(dark.get_by_test_id("emails")).to_be_visible()
    dark.wait_for_timeout(3_000 if for_docs else 0)
    dark.screenshot(path=folder / "dark.png", animations="disabled")
    phone = visit(console, width=360)
    phone.get_by_role("button", name="View timeline").last.click()  # the oldest order has the longest timeline
    expect(phone.get_by_test_id("timeline")).to_be_visible()
    expect(phone.get_by_role("heading", name="Order timeline")).to_be_in_viewport()
    phone.screenshot(path=folder / "phone.png", animations="disabled")
    page.get_by_role("switch", name="One every second").click()
    page.get_by_role("switch", name="Slow e-mail").click()
    # THEN the screenshots are small
    expect(page.get_by_test_id("emails").get_by_test_id("state")).to_have_text("idle", timeout=120_000)
    assert all((folder / name).stat().st_size < MAX_SIZE for name in ("light.png", "dark.png", "phone.png"))
