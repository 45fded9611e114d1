"""`make mutants`: every entry of its catalog applies to the code, and a surviving mutation is reported."""

import ast
import shutil
import textwrap
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tests.mutants import catalog, page, python_edit, template_edit
from tests.mutants.catalog import Change, Mutation
from tests.mutants.errors import Stale
from tests.mutants.sandbox import Broken, sandbox
from tests.mutants.scopes import ROOTS, Scopes

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "mutants.md"
CATALOG = catalog.load()
TREE = {
    "pyproject.toml": "[tool.pytest.ini_options]\ntimeout = 60\n",
    "ops/__init__.py": "",
    "tests/__init__.py": "",
    "layers/handoff/handoff/__init__.py": "",
    "layers/handoff/handoff/bank.py": """
        PLACES = int("0")

        def take(balance, amount):
            if amount > balance:
                raise ValueError("not enough")
            return round(balance - amount, PLACES)
        """,
    "tests/test_bank.py": """
        import pytest
        from handoff.bank import take

        def test_the_amount_is_subtracted():
            assert take(5, 2) == 3

        def test_an_overdraft_is_rejected():
            with pytest.raises(ValueError):
                take(1, 2)
        """,
    "tests/test_broken.py": """
        def test_that_always_fails():
            assert False
        """,
}


def mutation(where, verb, place, new=""):
    """A mutation of the bank."""
    change = Change(where, verb, place, new)
    return Mutation("The balance never becomes negative", "P3", (change,), ("tests/test_bank.py",))


CASES = {
    "killed": mutation("take", "always_false", "condition balance"),
    "survived": mutation("take", "replace", "call round", "balance - amount"),
    "no such function": mutation("give", "always_false", "condition balance"),
    "no such place": mutation("take", "drop", "handler ValueError"),
    "ambiguous": mutation("take", "drop", "statement amount"),
    "invalid code": mutation("take", "replace", "condition balance", "yield from"),
    "unknown name": mutation("take", "replace", "condition balance", "amount > limit"),
    "not importable": mutation("PLACES", "replace", "value", "int('none')"),
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
    """The result of each case."""
    with sandbox(tree) as box:
        return dict(zip(CASES, box.trials(list(CASES.values())), strict=True))


def test_a_mutation_is_killed_by_the_test_that_fails(trials):
    killed = trials["killed"]

    assert killed.error is None
    assert killed.killer.test == "tests/test_bank.py::test_an_overdraft_is_rejected"
    assert "DID NOT RAISE" in killed.killer.message


def test_a_mutation_that_no_test_notices_survives(trials):
    assert (trials["survived"].killer, trials["survived"].error) == (None, None)


@pytest.mark.parametrize(
    ("case", "error"),
    [
        ("no such function", "give: no function, class or constant has this name"),
        ("no such place", "take in layers/handoff/handoff/bank.py: nothing matches 'handler ValueError'"),
        ("ambiguous", "'statement amount' matches lines"),
        ("invalid code", "the new code is invalid"),
        ("unknown name", "the mutation is invalid code"),
        ("not importable", "pytest ended with status 2 in tests/test_bank.py"),
    ],
)
def test_a_mutation_that_proves_nothing_is_an_error(trials, case, error):
    assert trials[case].killer is None
    assert error in trials[case].error


def test_code_outside_of_the_copy_is_an_error(tmp_path):
    # GIVEN a tree without the package, so that the installed one would be tested
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "__init__.py").write_text("")
    (tmp_path / "tests" / "test_it.py").write_text("def test_it():\n    assert False\n")

    with (
        sandbox(tmp_path) as box,
        pytest.raises(Broken, match=r"handoff is imported from .*, and not from the copy"),
    ):
        box.check_tests(["tests/test_it.py"])


def test_the_checkout_is_left_as_it_was(tree, trials):
    assert {name: (tree / name).read_text() for name in TREE} == {
        name: textwrap.dedent(text) for name, text in TREE.items()
    }


def test_a_test_that_fails_without_any_mutation_is_reported_first(tree):
    with sandbox(tree) as box, pytest.raises(Broken, match="test_that_always_fails fails without any mutation"):
        box.check_tests(["tests/test_bank.py", "tests/test_broken.py"])


def test_the_page_gets_the_rows_that_were_tried_and_keeps_the_others(tmp_path, trials):
    path = tmp_path / "page.md"
    untried = replace(CASES["survived"], mechanism="Amounts are rounded")
    path.write_text(
        "| Amounts are rounded | P3 | `a::b` |\n| The balance never becomes negative | P3 | `old::test` |\n"
    )

    for _ in range(2):
        page.write(path, [CASES["killed"], untried], [trials["killed"]])

    assert page.rows(path) == [
        ("The balance never becomes negative", "P3", "test_bank.py::test_an_overdraft_is_rejected"),
        ("Amounts are rounded", "P3", "a::b"),
    ]


# --- edits ------------------------------------------------------------------------------------------------------------

CODE = """
def save(item, tries=3):
    try:
        put(item, Condition="attribute_not_exists(id) AND size = :n", Consistent=True)
    except KeyError:
        if item.old and item.new > 1:
            return [1, *item.rest]
    except ValueError:
        return sorted(item.rest, key=int)
    update.when(Attr("left").size().gte(tries), Attr("size").exists())
    return {"a": tries, "b": 2 if tries else 0}
"""


@pytest.mark.parametrize(
    ("verb", "place", "new", "before", "after"),
    [
        ("drop", "statement put", "", "put(item, {keywords})", "pass"),
        ("drop", "keyword Consistent", "", ", Consistent=True", ""),
        ("drop", "keyword b", "", ", 'b': 2 if tries else 0", ""),
        ("drop", "operand old", "", "item.old and item.new > 1", "item.new > 1"),
        ("drop", "item rest", "", "[1, *item.rest]", "[1]"),
        ("drop", "handler ValueError", "", "return sorted(item.rest, key=int)", "raise"),
        ("always_true", "condition new", "", "item.old and item.new > 1", "True"),
        (
            "always_true",
            "attr size",
            "",
            "Attr('size').exists()",
            "Attr('size').exists() | Attr('none').not_exists()",
        ),
        ("drop", "attr left", "", "Attr('left').size().gte(tries), ", ""),
        ("replace", "ifexp 2", "2", "2 if tries else 0", "2"),
        ("always_true", "clause size = :n", "", "size = :n", "(size = :n OR NOT (size = :n))"),
        ("replace", "text size = :n", "size < :n", "size = :n", "size < :n"),
        ("replace", "value a", "0", "'a': tries", "'a': 0"),
        ("replace", "default tries", "0", "tries=3", "tries=0"),
        ("replace", "call sorted", "_[::-1]", "sorted(item.rest, key=int)", "sorted(item.rest, key=int)[::-1]"),
        ("replace", "handler KeyError > return", "print()\n_", "return [1", "print()\n            return [1"),
    ],
)
def test_an_edit_changes_the_named_place_only(verb, place, new, before, after):
    module = ast.parse(CODE)
    keywords = "Condition='attribute_not_exists(id) AND size = :n', Consistent=True"
    before = before.replace("{keywords}", keywords)

    python_edit.edit(module, verb, place, new)

    code = ast.unparse(ast.parse(CODE))
    assert code.count(before) == 1
    assert ast.unparse(module) == code.replace(before, after)


def test_a_name_is_found_in_any_file_and_told_from_its_namesakes(tmp_path):
    for file in ("one", "two"):
        path = tmp_path / "ops" / f"{file}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"LIMIT = 1\nclass Only{file}:\n    def run(self):\n        return LIMIT\n")
    scopes = Scopes(tmp_path)

    assert scopes.find("Onlyone.run") == (Path("ops/one.py"), "Onlyone.run")
    assert scopes.find("two.LIMIT") == (Path("ops/two.py"), "LIMIT")
    with pytest.raises(Stale, match=r"run is ambiguous: ops\.one\.Onlyone\.run, ops\.two\.Onlytwo\.run"):
        scopes.find("run")


TEMPLATE = """
Resources:
  Queue:
    Properties: &shared { Timeout: 60, Policy: { Max: !Ref Max } }
  Role:
    Statement:
      - { Action: [get, put], Resource: !GetAtt Table.Arn }
      - { Action: send, Resource: !GetAtt Queue.Arn }
"""


@pytest.mark.parametrize(
    ("verb", "path", "new", "before", "after"),
    [
        ("drop", "Queue > Timeout", "", "Timeout: 60, ", ""),
        ("replace", "Queue > Max", "5", "!Ref Max", "5"),
        ("drop", "Role > Table.Arn > Action > put", "", "[get, put]", "[get]"),
        ("add", "Role > Queue.Arn", "{ Condition: x }", "!GetAtt Queue.Arn }", "!GetAtt Queue.Arn, Condition: x }"),
        ("add", "Role > Queue.Arn > Action", "er", "Action: send", "Action: sender"),
    ],
)
def test_an_edit_of_the_template_changes_the_named_entry_only(verb, path, new, before, after):
    assert TEMPLATE.count(before) == 1
    assert template_edit.edit(TEMPLATE, verb, path, new) == template_edit.reformat(TEMPLATE.replace(before, after))


def test_an_edit_leaves_other_places_with_the_same_anchor_alone():
    shared = "{ Queue: { <<: &all { Timeout: 60, Tag: &tag [a] }, Max: 5 }, Other: { <<: *all, Tags: *tag } }"
    edited = template_edit.edit(template_edit.edit(shared, "drop", "Queue > Timeout"), "add", "Queue > Tag", "[b]")
    expanded = "{ Queue: { Tag: [a, b], Max: 5 }, Other: { Timeout: 60, Tag: [a], Tags: [a] } }"
    assert edited == template_edit.reformat(expanded)


@pytest.mark.parametrize(
    ("path", "error"), [("Queue > Size", "nothing matches 'Size'"), ("Role > Action", "2 places match 'Action'")]
)
def test_a_path_that_is_gone_or_ambiguous_is_an_error(path, error):
    with pytest.raises(Stale, match=error):
        template_edit.edit(TEMPLATE, "drop", path)


# --- the catalog as it is ---------------------------------------------------------------------------------------------


def test_each_entry_applies_to_the_code_and_changes_it(tmp_path):
    # If this fails, the code has changed: name the mechanism's new place, or its successor, in the catalog.
    original, copy = tmp_path / "original", tmp_path / "copy"
    for root in ROOTS:
        shutil.copytree(ROOT / root, original / root, ignore=shutil.ignore_patterns("__pycache__"))
    for template in ("template.yaml", ".github/deploy-role.yaml"):
        (original / template).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / template, original / template)
    catalog.reformat(original)
    shutil.copytree(original, copy)
    scopes = Scopes(original)

    stale = {}
    for entry in CATALOG:
        try:
            files = entry.apply(copy, scopes)
        except Stale as error:
            stale[entry.mechanism] = str(error)
            continue
        for file in files:
            before = original / file.relative_to(copy)
            if file.read_text() == before.read_text():
                stale[entry.mechanism] = f"nothing changed in {before.relative_to(original)}"
            shutil.copy(before, file)

    assert not stale


def test_no_mechanism_is_named_twice():
    assert len({mutation.mechanism for mutation in CATALOG}) == len(CATALOG)


def test_every_promise_has_a_mechanism():
    assert {mutation.promise for mutation in CATALOG} == {f"P{n}" for n in range(1, 13)}


def test_the_named_tests_exist():
    named = {test for mutation in CATALOG for test in mutation.tests}
    missing = [test for test in named if test not in _tests_in(test.partition("::")[0])]
    assert not missing


def test_the_page_lists_this_catalog():
    # If this fails, `make mutants` writes the page; with ONLY=word it adds the entries that contain the word.
    assert [row[:2] for row in page.rows(PAGE)] == [(mutation.mechanism, mutation.promise) for mutation in CATALOG]


@cache
def _tests_in(file):
    """The file and the ids of its tests."""
    module = ast.parse((ROOT / file).read_text())
    names = [node.name for node in module.body if isinstance(node, ast.FunctionDef)]
    return {file, *(f"{file}::{name}" for name in names if name.startswith("test_"))}
