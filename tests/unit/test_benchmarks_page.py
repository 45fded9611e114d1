"""The benchmarks page keeps the sections of parts that were not measured again."""

from types import SimpleNamespace

import pytest

from bench import document
from bench.__main__ import PARTS
from bench.markdown import BENCHMARKS, ROOT

COMMITTED = (ROOT / BENCHMARKS).read_text()
MACHINE = {"date": "2030-01-02", "python": "3.99.0", "cores": 64, "memory_gb": 512}


@pytest.fixture
def parts():
    """The parts of the page, each with a short section."""
    return {name: SimpleNamespace(section=lambda results, folder: f"## {results['title']}\n\nNew.\n") for name in PARTS}


def test_the_page_stays_as_it_is_if_nothing_was_measured(parts):
    assert document.benchmarks({}, parts, COMMITTED) == COMMITTED


def test_a_measured_part_replaces_its_section_and_its_date_only(parts):
    kept = {"drain": {"machine": MACHINE, "results": {"title": "Drain rate"}}}

    page = document.benchmarks(kept, parts, COMMITTED)

    section = COMMITTED[COMMITTED.index("## Drain rate") : COMMITTED.index("## Scaling")]
    (row,) = [line for line in COMMITTED.splitlines() if line.startswith("| `drain` ")]
    expected = COMMITTED.replace(section, "## Drain rate\n\nNew.\n\n")
    dated = row.rpartition("| 2")[0] + "| 2030-01-02, Python 3.99.0, 64 cores, 512 GB |"
    assert page == expected.replace(row, dated)


def test_a_part_with_figures_in_the_summary_replaces_its_rows(parts, monkeypatch):
    monkeypatch.setattr(document.costs, "summary", lambda _results: [["e-mail in this", "1.00", "2.00"]])
    kept = {"costs": {"machine": MACHINE, "results": {"title": "Cost of a million orders"}}}

    page = document.benchmarks(kept, parts, COMMITTED)

    assert "| e-mail in this | 1.00 | 2.00 |" in page
    (other,) = [line for line in COMMITTED.splitlines() if line.startswith("| median answer | ")]
    assert other in page
