"""A copy of the repository, and programs that run in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from dev.template import ROOT
from tests.support.markdown import commands

_NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".tools", ".local", ".aws-sam", "__pycache__", "*_cache")


def commands_of_the_page() -> list[list[str]]:
    """Return the words of each `make consumer` that docs/how-to/add-a-consumer.md shows in a block."""
    page = (ROOT / "docs/how-to/add-a-consumer.md").read_text()
    return [words for words, complete in commands(page) if complete and words[:2] == ["make", "consumer"]]


def unused(name: str, folder: str) -> str:
    """Return the name that the page uses, or another one if this repository has such a consumer already."""
    return f"other{name}" if (ROOT / folder / name).exists() else name


def copy_repository(target: Path) -> Path:
    """Copy the repository without environments, caches and builds; return the copy."""
    shutil.copytree(ROOT, target, ignore=_NOT_COPIED)
    return target


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files of a copy by their paths."""
    caches = (".git", "__pycache__", ".mypy_cache", ".ruff_cache")
    files = [file for file in folder.rglob("*") if file.is_file() and not set(caches) & set(file.parts)]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def python(copy: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Python in a copy, whose packages come before the installed ones."""
    path = os.pathsep.join([str(copy), str(copy / "layers/handoff")])
    # mypy checks only what differs from the checkout, whose results it knows.
    # Bytecode is kept beside the code, so that only the copy's own is compiled.
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONPYCACHEPREFIX": ""}
    environment["MYPY_CACHE_DIR"] = str(ROOT / ".mypy_cache")
    for name in ("PYTEST_ADDOPTS", "PYTHONDONTWRITEBYTECODE"):
        environment.pop(name, None)
    for name in [name for name in environment if name.startswith("PYTEST_XDIST")]:
        del environment[name]
    return subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )


def passes(copy: Path, *arguments: str) -> str:
    """Run Python in a copy, and return its output; fail with that if it fails."""
    done = python(copy, *arguments)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    return done.stdout
