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
    page = visit(console, width=1440)
    page.get_by_role("button", name="Place a sample order").click()
    placed = page.get_by_role("link", name="View timeline").first.get_attribute("href")
    page.get_by_role("switch", name="One every second").click()
    page.wait_for_timeout(90_000 if for_docs else 0)
    page.get_by_role("switch", name="Slow e-mail").click()
    expect(page.get_by_test_id("emails").get_by_test_id("backlog")).not_to_have_text("0")
    page.wait_for_timeout(30_000 if for_docs else 0)  # the docs show a queue that grows
    # WHEN the overview is shown, light, dark and on a phone, and a timeline
    page.mouse.move(0, 0)  # off the switch
    page.screenshot(path=folder / "light.png", animations="disabled")
    dark = visit(console, width=1440, scheme="dark")
    phone = visit(console, width=390, height=844)
    for other, name in ((dark, "dark"), (phone, "phone")):
        expect(other.get_by_test_id("emails")).to_be_visible()
        other.wait_for_timeout(3_000 if for_docs else 0)
        other.screenshot(path=folder / f"{name}.png", full_page=name == "phone", animations="disabled")
    order = visit(f"{console}{placed}", width=1440, height=700)  # the first order: its timeline is complete
    expect(order.get_by_test_id("timeline")).to_be_visible()
    order.screenshot(path=folder / "order.png", animations="disabled")
    page.get_by_role("switch", name="One every second").click()
    page.get_by_role("switch", name="Slow e-mail").click()
    # THEN the screenshots are small
    expect(page.get_by_test_id("emails").get_by_test_id("state")).to_have_text("idle", timeout=120_000)
    names = ("light.png", "dark.png", "phone.png", "order.png")
    assert all((folder / name).stat().st_size < MAX_SIZE for name in names)
