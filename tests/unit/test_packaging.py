"""The wheel, the commands of operators and developers, and the lists of modules in pyproject.toml."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from dev.commands import main as dev
from dev.local.stack import ROOT
from ops.cli.main import main as handoff

SHIPPED = {"handoff": ROOT / "layers/handoff/handoff", "shop": ROOT / "layers/handoff/shop", "ops": ROOT / "ops"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.iterdir()
    with zipfile.ZipFile(built) as archive:
        yield archive


def test_the_wheel_ships_the_operator_command_and_the_layer_and_no_developer_code(wheel):
    files = {Path(name) for name in wheel.namelist() if ".dist-info/" not in name}
    sources = {
        Path(package, source.relative_to(folder))
        for package, folder in SHIPPED.items()
        for source in folder.rglob("*")
        if source.is_file() and "__pycache__" not in source.parts
    }
    assert files == sources
    assert {Path("handoff/py.typed"), Path("shop/py.typed"), Path("ops/cli/main.py")} <= files


def test_the_wheel_installs_one_command(wheel):
    (entry_points,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    assert wheel.read(entry_points).decode().split("\n") == ["[console_scripts]", "handoff = ops.cli.main:main", ""]


def test_operators_and_developers_share_only_the_console():
    assert {"run", "drill", "invoke", "samples", "contracts"} <= dev.commands.keys()
    assert dev.commands.keys() & handoff.commands.keys() == {"console"}


def test_make_without_a_target_describes_every_target():
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    shown = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    described = {name for name in phony.split() if not name.startswith(".")}  # the others are parts of a target
    assert set(re.findall(r"^  ([a-z-]+) +\S", shown, re.MULTILINE)) == described


@pytest.mark.parametrize("writable", [True, False])
def test_caches_are_in_the_project_if_home_is_not_writable(writable, tmp_path):
    names = ("XDG_CACHE_HOME", "__SAM_CLI_APP_DIR", "npm_config_cache")
    home = tmp_path if writable else "/proc/none"
    make = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")  # `make test` sets them, and a make within it prints its directory
    others = {name: value for name, value in os.environ.items() if name not in (*names, *make)}
    probe = ["make", "--eval", f"probe: ; @printf '%s\\n' {' '.join(f'$${name}' for name in names)}", "probe"]
    shown = subprocess.run(
        probe, cwd=ROOT, env=others | {"HOME": str(home)}, check=True, capture_output=True, text=True
    ).stdout
    cache = f"{ROOT}/.local/cache"
    assert shown.split() == ([] if writable else [cache, f"{cache}/aws-sam", f"{cache}/npm"])


def test_core_shop_and_operator_import_no_function():
    functions = {file.stem for file in ROOT.glob("functions/*/*.py")}
    assert len(functions) > 30
    below = [file for name in ("layers/handoff", "ops") for file in (ROOT / name).rglob("*.py")]
    assert len(below) > 100
    assert {file.name: names for file in below if (names := imported_by(file) & functions)} == {}


def imported_by(file):
    nodes = list(ast.walk(ast.parse(file.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.partition(".")[0] for name in plain} | {
        (node.module or "").partition(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)
    }


def test_mypy_checks_every_module_of_functions_and_examples():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["files"]
    checked = [file for pattern in patterns for file in ROOT.glob(pattern)]
    sources = [*ROOT.glob("functions/**/*.py"), *ROOT.glob("examples/**/*.py")]
    assert len(sources) > 40
    assert [file for file in sources if not {file, *file.parents} & set(checked)] == []
