"""docs/how-to/add-a-consumer.md, followed step by step in a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dev.template import template_with

ROOT = Path(__file__).resolve().parents[2]
COPIED = (
    ".github",
    "bench",
    "contracts",
    "dev",
    "docs",
    "events",
    "functions",
    "layers",
    "ops",
    "requirements",
    "tests",
)
BEFORE_SWEEPER = re.compile(r"  # =+\n  # FUNCTION sweeper")
SHOWN = re.compile(
    r"""^ +(?:"\$\{|\["|- !Ref )[^\n]*fulfillment[^\n]*\n""", re.IGNORECASE | re.MULTILINE
)  # of fulfillment


def blocks() -> list[str]:
    """The fenced blocks of the section on this stack, in their order."""
    section = (ROOT / "docs/how-to/add-a-consumer.md").read_text().partition("## In this stack")[2]
    return re.findall(r"```(?:python|yaml)\n(.*?)```", section, flags=re.DOTALL)


def insert(file: Path, text: str, before: str) -> None:
    """Put text into a file, once, before what stands there once."""
    content = file.read_text()
    assert content.count(before) == 1, f"{before!r} stands {content.count(before)} times in {file.name}"
    file.write_text(content.replace(before, text + before))


def renamed(text: str) -> str:
    """What is said of fulfillment, said of loyalty."""
    return text.replace("fulfillment", "loyalty").replace("Fulfillment", "Loyalty")


def follow(copy: Path) -> None:
    """Do what the document says."""
    function, resources, rule, sample, permissions, purposes, test = blocks()
    (copy / "functions/loyalty").mkdir()
    (copy / "functions/loyalty/loyalty.py").write_text(function)
    template = (copy / "template.yaml").read_text()
    place = BEFORE_SWEEPER.search(template)
    assert place
    template = template[: place.start()] + resources + "\n" + template[place.start() :]
    (copy / "template.yaml").write_text(SHOWN.sub(lambda line: line[0] + renamed(line[0]), template))
    insert(copy / "template.yaml", rule, "                  - !GetAtt FeedbackRule.Arn\n")
    insert(copy / "dev/samples.py", sample, '        "sweeper.json": _scheduled("sweeper"),\n')
    insert(copy / "tests/template/test_permissions.py", permissions, '    "sweeper": {\n')
    insert(copy / "tests/permissions/catalog.py", purposes, "    # --- sweeper\n")
    (copy / "tests/integration/test_loyalty.py").write_text(test)
    project = (copy / "pyproject.toml").read_text()
    (copy / "pyproject.toml").write_text(
        project.replace('"functions/feedback"', '"functions/feedback", "functions/loyalty"')
    )


def run(copy: Path, *arguments: str) -> None:
    """Run Python in the copy, whose packages come before the installed ones."""
    path = os.pathsep.join([str(copy), str(copy / "layers/handoff")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


@pytest.mark.timeout(900)  # seconds: it runs all tests of the template, which takes minutes on a busy machine
def test_a_consumer_added_as_the_document_says_passes_all_that_the_others_do(tmp_path: Path) -> None:
    # GIVEN a copy of the repository
    for name in COPIED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "build"))
    for name in ("template.yaml", "pyproject.toml", "samconfig.toml", "Makefile"):
        shutil.copy(ROOT / name, tmp_path / name)
    # WHEN the steps are followed
    follow(tmp_path)
    run(tmp_path, "-m", "dev", "samples")
    run(tmp_path, "-m", "tests.template.released_resources")
    # THEN its code passes lint and types
    run(tmp_path, "-m", "ruff", "check", "functions/loyalty", "tests/integration/test_loyalty.py")
    run(tmp_path, "-m", "mypy", "functions/loyalty/loyalty.py")
    # AND it works, and is held to the same rules as the others
    purposes = "tests/permissions/test_permissions_page.py::test_every_permission_has_its_purpose"
    tests = ["tests/template", "tests/samples", "tests/integration/test_loyalty.py", purposes]
    # Of GitHub's roles and of emails: no other consumer changes them.
    unaffected = [f"--ignore=tests/template/{name}.py" for name in ("test_deploy_role", "test_failing_events")]
    added = " and ".join(
        f"not [{name}" for name in (found.name for found in template_with().event_consumers())
    )  # the others' cases are the same as without the copy
    run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", added, *unaffected, *tests)
