"""`make mutants`: its catalog fits the code, and it tells what was noticed from what was not."""

import ast
import textwrap
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tests.mutants import catalog, table
from tests.mutants.catalog import Mutation, Stale
from tests.mutants.laboratory import Broken, laboratory

ROOT = Path(__file__).parents[2]
CATALOGUE = catalog.load()
TREE = {
    "pyproject.toml": "[tool.pytest.ini_options]\ntimeout = 60\n",
    "ops/__init__.py": "",
    "tests/__init__.py": "",
    "layers/handoff/handoff/__init__.py": "",
    "layers/handoff/handoff/bank.py": """
        def take(balance, amount):
            if amount > balance:
                raise ValueError("not enough")
            return round(balance - amount)
        """,
    "tests/test_bank.py": """
        import pytest
        from handoff.bank import take

        def test_what_is_taken_is_gone():
            assert take(5, 2) == 3

        def test_no_more_is_taken_than_is_there():
            with pytest.raises(ValueError):
                take(1, 2)
        """,
    "tests/test_broken.py": """
        def test_that_fails_anyway():
            assert False
        """,
}
CHECK = Mutation(
    mechanism="Nobody takes more than there is",
    promise="P3",
    file="layers/handoff/handoff/bank.py",
    text="if amount > balance:",
    instead="if False:",
    tests=("tests/test_bank.py",),
)
CASES = {
    "killed": CHECK,
    "unnoticed": replace(CHECK, text="round(balance - amount)", instead="balance - amount"),
    "stale": replace(CHECK, text="if amount >= balance:"),
    "ambiguous": replace(CHECK, text="amount"),
    "no code": replace(CHECK, instead="if"),
    "unknown name": replace(CHECK, instead="if amount > limit:"),
    "not importable": replace(CHECK, text="def take", instead="def give"),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A bank and its tests."""
    root = tmp_path_factory.mktemp("bank")
    for name, text in TREE.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return root


@pytest.fixture(scope="module")
def trials(tree):
    """What came of each case."""
    with laboratory(tree) as lab:
        return dict(zip(CASES, lab.trials(list(CASES.values())), strict=True))


def test_a_mutation_is_killed_by_the_test_that_fails(trials):
    killed = trials["killed"]

    assert killed.error is None
    assert killed.killer.test == "tests/test_bank.py::test_no_more_is_taken_than_is_there"
    assert "DID NOT RAISE" in killed.killer.said


def test_a_mutation_that_no_test_notices_survives(trials):
    assert (trials["unnoticed"].killer, trials["unnoticed"].error) == (None, None)


@pytest.mark.parametrize(
    ("case", "error"),
    [
        ("stale", "holds the text 0 times, not once"),
        ("ambiguous", "holds the text 3 times, not once"),
        ("no code", "the mutation is no code"),
        ("unknown name", "the mutation is no code"),
        ("not importable", "could not be run"),
    ],
)
def test_what_proves_nothing_is_an_error(trials, case, error):
    assert trials[case].killer is None
    assert error in trials[case].error


def test_code_that_is_not_the_copys_is_an_error(tmp_path):
    # GIVEN a tree without the package, so that the one that is installed would be tested
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "__init__.py").write_text("")
    (tmp_path / "tests" / "test_it.py").write_text("def test_it():\n    assert False\n")

    with (
        laboratory(tmp_path) as lab,
        pytest.raises(Broken, match=r"handoff is imported from .*, and not from the copy"),
    ):
        lab.check_tests(["tests/test_it.py"])


def test_the_checkout_is_left_as_it_was(tree, trials):
    assert {name: (tree / name).read_text() for name in TREE} == {
        name: textwrap.dedent(text) for name, text in TREE.items()
    }


def test_a_test_that_fails_without_any_mutation_is_noticed_first(tree):
    with laboratory(tree) as lab, pytest.raises(Broken, match="test_that_fails_anyway fails without any mutation"):
        lab.check_tests(["tests/test_bank.py", "tests/test_broken.py"])


def test_the_table_names_the_test_and_leaves_the_rest_of_the_page(tmp_path, trials):
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n\n{table.BEGIN}\nold\n{table.END}\n\nAfter\n")

    for _ in range(2):
        table.write(page, list(trials.values()))

    assert page.read_text() == (
        f"# Before\n\n{table.BEGIN}\n\n"
        "| mechanism | promise | killed by |\n"
        "|---|---|---|\n"
        "| Nobody takes more than there is | P3 | `test_bank.py::test_no_more_is_taken_than_is_there` |\n"
        f"\n{table.END}\n\nAfter\n"
    )


# --- the catalog as it is -------------------------------------------------------------------------------------------


def test_each_entry_fits_the_code_as_it_is(tmp_path):
    # If this fails, code has moved on: find the mechanism's new place, or its successor, and mend the entry.
    stale = []
    for mutation in CATALOGUE:
        found = (ROOT / mutation.file).read_text().count(mutation.text)
        if found != 1 or mutation.text == mutation.instead:
            stale.append((mutation.mechanism, mutation.file, found))
    assert not stale


def test_no_mechanism_is_named_twice():
    assert len({mutation.mechanism for mutation in CATALOGUE}) == len(CATALOGUE)


def test_every_promise_rests_on_some_mechanism():
    assert {mutation.promise for mutation in CATALOGUE} == {f"P{n}" for n in range(1, 11)}


def test_the_named_tests_are_there():
    named = {test for mutation in CATALOGUE for test in mutation.tests}
    missing = [test for test in named if test not in _tests_in(test.partition("::")[0])]
    assert not missing


def test_the_table_is_of_this_catalog():
    page = (ROOT / "docs" / "reference" / "mutants.md").read_text()
    _heading, _line, *rows = page.partition(table.BEGIN)[2].partition(table.END)[0].split("\n|")[1:]
    shown = [tuple(row.strip("| \n").split(" | ")[:2]) for row in rows]

    # If this fails, `make mutants` writes it anew.
    assert shown == [(mutation.mechanism, mutation.promise) for mutation in CATALOGUE]


def test_a_missing_file_is_stale(tmp_path):
    with pytest.raises(Stale, match=r"there is no layers/handoff/handoff/bank\.py"):
        CHECK.apply(tmp_path)


@cache
def _tests_in(file):
    """The file and the ids of its tests."""
    module = ast.parse((ROOT / file).read_text())
    names = [node.name for node in module.body if isinstance(node, ast.FunctionDef)]
    return {file, *(f"{file}::{name}" for name in names if name.startswith("test_"))}
