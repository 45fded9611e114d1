"""`make consumer` in a copy of the repository: what it writes passes lint, types and tests without an edit."""

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.scaffold.copies import commands_of_the_page, contents, copy_repository, passes, python, unused

COMMAND = ("-m", "dev", "consumer")
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
LOYALTY, BONUS = unused("loyalty", "functions"), unused("bonus", "examples")  # in this stack; in a stack of its own
FUNCTION, TEST = f"functions/{LOYALTY}/{LOYALTY}.py", f"tests/integration/test_{LOYALTY}.py"
# Of the template's tests the quick ones that concern a new consumer. `make test-scaffold` runs all.
TEMPLATE = (
    "dashboard",
    "encryption",
    "events",
    "functions",
    "permissions",
    "queues",
    "released_resources",
    "snapshot",
    "tables",
    "written_form",
)
CONCERNED = "(oyalty or bonus or every or listed or saved_query or recorded or short) and not metric"

# The copy is made once, by whichever test is the first. It takes several programs, each of which starts in seconds.
pytestmark = pytest.mark.timeout(0)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A checkout with a consumer `loyalty` in this stack, and `bonus` in a stack of its own; and the last output."""
    copy = copy_repository(tmp_path_factory.mktemp("scaffold") / "copy")
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@example.com")
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "all")):
        subprocess.run([*git, *command], cwd=copy, check=True, capture_output=True)
    return copy, "\n".join(passes(copy, *COMMAND, *arguments(words)) for words in commands_of_the_page())


def arguments(words: list[str]) -> list[str]:
    """Return the arguments that `make consumer` passes on; make itself would set up another environment."""
    given = dict(word.split("=", 1) for word in words[2:])
    stack = given.get("STACK", "this")
    return [{"this": LOYALTY, "own": BONUS}[stack], "--on", given["ON"], "--stack", stack]


@pytest.fixture(scope="module")
def copy(written: tuple[Path, str]) -> Path:
    """The checkout."""
    return written[0]


@pytest.fixture(scope="module")
def outcomes(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Counter[tuple[str, bool]]:
    """How many tests of each file passed (True) and failed. One run: starting pytest takes longer than the tests."""
    report = tmp_path_factory.mktemp("report") / "report.xml"
    files = [TEST, f"tests/examples/test_{BONUS}.py", "tests/examples/test_templates.py"]
    files += [f"tests/template/test_{name}.py" for name in TEMPLATE]
    python(copy, *PYTEST, f"--junitxml={report}", "-k", CONCERNED, *files)
    cases = ET.parse(report).iter("testcase")
    return Counter((case.attrib["classname"].replace(".", "/") + ".py", len(case) == 0) for case in cases)


def test_its_code_passes_lint(copy: Path) -> None:
    listed = ["git", "ls-files", "--modified", "--others", "--exclude-standard", "*.py"]
    files = subprocess.run(listed, cwd=copy, check=True, capture_output=True, text=True).stdout.split()
    assert {FUNCTION, TEST} <= set(files)
    passes(copy, "-m", "ruff", "check", "--no-cache", *files)
    passes(copy, "-m", "ruff", "format", "--no-cache", "--check", *files)


def test_its_code_passes_the_type_checks(copy: Path) -> None:
    passes(copy, "-m", "mypy", FUNCTION, f"examples/{BONUS}/{BONUS}/{BONUS}.py", "dev/samples.py")


def test_the_pages_example_of_business_code_passes_too(copy: Path) -> None:
    page = (copy / "docs/how-to/add-a-consumer.md").read_text()
    (effect,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    function = copy / FUNCTION
    text = function.read_text()
    before, _, after = text.partition("def effect(")
    _, end, rest = after.partition("\n\n\n")
    function.write_text(before + effect.rstrip() + end + rest)
    try:
        passes(copy, "-m", "ruff", "check", "--no-cache", str(function))
        passes(copy, "-m", "ruff", "format", "--no-cache", "--check", str(function))
        passes(copy, "-m", "mypy", FUNCTION)
    finally:
        function.write_text(text)


def test_its_imports_are_allowed(copy: Path) -> None:
    passes(copy, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache")


def test_its_own_tests_pass(outcomes: Counter[tuple[str, bool]]) -> None:
    assert (outcomes[TEST, True], outcomes[TEST, False]) == (2, 0)


def test_its_test_fails_without_the_marker(copy: Path) -> None:
    function = copy / FUNCTION
    text = function.read_text()
    assert text.count("event#{envelope.event_id}") == 1
    function.write_text(text.replace("event#{envelope.event_id}", "event#{__import__('uuid').uuid4()}"))
    try:
        without = python(copy, *PYTEST, TEST)
    finally:
        function.write_text(text)
    assert "1 failed, 1 passed" in without.stdout, without.stdout


def test_its_resources_have_the_settings_of_all_consumers(outcomes: Counter[tuple[str, bool]]) -> None:
    files = [f"tests/template/test_{name}.py" for name in TEMPLATE]
    assert [file for file in files if outcomes[file, False]] == []
    assert sum(outcomes[file, True] for file in files) > 60


def test_a_stack_of_its_own_has_the_settings_of_the_examples(copy: Path, outcomes: Counter[tuple[str, bool]]) -> None:
    own, common = f"tests/examples/test_{BONUS}.py", "tests/examples/test_templates.py"
    assert (outcomes[own, True], outcomes[own, False]) == (1, 0)
    assert (outcomes[common, True] >= 4, outcomes[common, False]) == (True, 0)
    template = (copy / f"examples/{BONUS}/template.yaml").read_text()
    assert '!ImportValue { "Fn::Sub": "${HandoffStack}-BusName" }' in template
    assert set(re.findall(r"\w+LayerArn", template)) == {"HandoffLayerArn", "DependenciesLayerArn"}


def test_pages_and_samples_name_it(copy: Path) -> None:
    for page in ("architecture.md", "reference/events.md", "reference/alarms.md", "reference/permissions.md"):
        assert LOYALTY in (copy / "docs" / page).read_text().lower(), page
    assert (copy / f"events/{LOYALTY}.json").exists()


def test_a_second_consumer_of_the_same_name_is_refused(copy: Path) -> None:
    before = contents(copy)
    refused = python(copy, *COMMAND, LOYALTY, "--on", "order_placed")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Error: functions/{LOYALTY} exists already.")
    assert contents(copy) == before


def test_the_printed_commands_undo_it(written: tuple[Path, str], tmp_path: Path) -> None:
    # GIVEN what was written
    copy = shutil.copytree(written[0], tmp_path / "copy")
    # WHEN the printed commands are run
    undo = re.findall("^To undo: (.*)$", written[1], re.MULTILINE)
    assert len(undo) == 2
    for command in undo:
        subprocess.run(["sh", "-c", command], cwd=copy, check=True, capture_output=True)
    # THEN all is as it was committed
    status = ["git", "status", "--porcelain", "--untracked-files=all"]
    assert subprocess.run(status, cwd=copy, check=True, capture_output=True, text=True).stdout == ""
