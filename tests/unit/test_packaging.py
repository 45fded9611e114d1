"""The wheel, the commands of operators and developers, and the lists of modules in pyproject.toml."""

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


def test_mypy_and_import_linter_know_the_modules_of_all_functions():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    modules = {file.stem for file in ROOT.glob("functions/*/*.py")}
    of_examples = {file.stem for pattern in ("examples/*/*.py", "examples/*/*/*.py") for file in ROOT.glob(pattern)}
    assert of_examples
    assert set(tools["mypy"]["modules"]) == modules | of_examples
    forbidden = [set(contract.get("forbidden_modules", [])) for contract in tools["importlinter"]["contracts"]]
    assert modules in forbidden
