"""Facts about the functions' source, read with `ast`, because importing it would need their environment."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from dev.template import ROOT

LAYER = ROOT / "layers/handoff"
_NUMBERS = ("number", "count", "seconds")


@cache
def modules_of(function: str) -> tuple[Path, ...]:
    """Return the files that a function runs: its module, and those it imports from its folder and the layer."""
    folder = ROOT / "functions" / function
    found: dict[Path, None] = {}
    waiting = [folder / f"{function}.py"]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found[file] = None
            waiting += [there for name in _imports(file) for there in _files(name, folder)]
    return tuple(found)


def settings_of(function: str) -> dict[str, bool]:
    """Return the environment variables that a function reads, and whether each must be a number."""
    read: dict[str, bool] = {}
    for file in modules_of(function):
        for call in _calls(file):
            name = ast.unparse(call.func).removeprefix("settings.")
            if name in {"text", "country_codes", *_NUMBERS} and call.args and isinstance(call.args[0], ast.Constant):
                variable = call.args[0].value
                read[variable] = read.get(variable, False) or name in _NUMBERS
    return read


def constant(function: str, name: str) -> int:
    """Return a numeric constant of a function's module."""
    for node in ast.parse((ROOT / f"functions/{function}/{function}.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return int(ast.literal_eval(node.value))
    raise AssertionError(f"{function}.py has no {name}")


def _calls(file: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call))


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(module: str, folder: Path) -> Iterator[Path]:
    for root in (folder, LAYER):
        path = root.joinpath(*module.split("."))
        yield from (file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file())
