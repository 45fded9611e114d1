"""Every relative link of every Markdown file leads to a file that exists, and to a heading in it."""

import re

import pytest

from tests.support.markdown import ROOT, anchors, files, links

PAGES = [path.relative_to(ROOT).as_posix() for path in files()]


def broken(page: str) -> list[str]:
    """The links of a page that lead nowhere."""
    found = []
    for link in links((ROOT / page).read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (fragment and fragment not in anchors(target.read_text())):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_all_links_and_anchors_of_a_page_resolve(page: str) -> None:
    assert broken(page) == []


def test_all_pages_are_checked() -> None:
    assert {"README.md", "docs/how-to/alarms.md", "docs/reference/events.md"} <= set(PAGES)


def test_headings_have_the_anchors_that_github_gives_them() -> None:
    text = "# A `name`, and more\n## Twice\n```sh\n# a comment\n```\n## Twice\n### [A link](x.md): 1.5 s\n"
    assert anchors(text) == {"a-name-and-more", "twice", "twice-1", "a-link-15-s"}


def test_links_in_code_are_none() -> None:
    assert links("[a](b.md) `[c](d.md)`\n```\n[e](f.md)\n```\n![g](h.png) [i](<j.md#k>)") == ["b.md", "h.png", "j.md#k"]
