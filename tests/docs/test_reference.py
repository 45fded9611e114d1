"""The generated reference pages are up to date, and the README keeps to its limits."""

import re

import pytest

from dev import reference
from dev.commands import main
from tests.support.markdown import ROOT

README = (ROOT / "README.md").read_text()


PAGES = reference.pages(main)


@pytest.mark.parametrize(("name", "text"), PAGES.items(), ids=PAGES.keys())
def test_a_generated_page_is_what_its_source_says(name: str, text: str) -> None:
    # If this fails: make reference
    assert (reference.FOLDER / name).read_text() == text


def test_every_alarm_and_parameter_says_what_it_is_for() -> None:
    empty = [
        line for name in ("parameters.md", "alarms.md") for line in PAGES[name].splitlines() if line.endswith("|  |")
    ]
    assert empty == []


def test_the_readme_has_at_most_150_lines() -> None:
    assert len(README.splitlines()) <= 150


def test_the_readmes_figures_are_those_of_the_benchmarks() -> None:
    # GIVEN the comparison with the request-driven chain
    table = re.search(r"^\|[^\n]*request-driven chain.*?\n\n", README, re.MULTILINE | re.DOTALL)
    assert table
    figures = set(re.findall(r"\d[\d,.]*(?: ms| %| times)", table[0]))
    # THEN each of its figures is a measured one
    measured = (ROOT / "docs/reference/benchmarks.md").read_text()
    assert len(figures) > 6
    assert {figure for figure in figures if figure.split()[0] not in measured} == set()
