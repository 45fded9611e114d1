"""The machine that builds: the tools, and the Python for which it builds layers."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from ops.preflight.check import Finding, Question, failed, passed, warning
from ops.preflight.plan import Plan

_TOOLS = ("sam", "uv")
_PLATFORMS = {"arm64": "aarch64", "x86_64": "x86_64"}  # a wheel's name for each of the template's architectures


def questions(plan: Plan) -> list[Question]:
    """Return the checks of the machine that builds."""
    return [
        Question("build tools", _tools),
        Question("layers", lambda: _layers(plan)),
        Question("bytecode of the layers", lambda: _bytecode(plan)),
    ]


def _tools() -> Finding:
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return failed(
            f"not found: {', '.join(missing)}",
            'Run make run once, then: export PATH="$PWD/.venv/bin:$PWD/.tools/sam/bin:$PATH"',
        )
    return passed(", ".join(_TOOLS))


def _layers(plan: Plan) -> Finding:
    """Compare what the layers' Makefiles build for with what the functions run on."""
    runtime, platform = plan.parameter("Runtime"), _PLATFORMS[plan.parameter("Architecture")]
    wrong = [
        f"{makefile.parent.name} for {variable} {value}"
        for makefile in sorted((plan.folder / "layers").glob("*/Makefile"))
        for variable, value in _settings(makefile).items()
        if not (f"python{value}" == runtime if variable == "PYTHON_VERSION" else value.startswith(f"{platform}-"))
    ]
    if wrong:
        return failed(
            f"functions run on {runtime} and {plan.parameter('Architecture')}, layers are built: {', '.join(wrong)}",
            "Change PYTHON_VERSION and PYTHON_PLATFORM in layers/*/Makefile, or Runtime and Architecture.",
        )
    return passed(f"built for {runtime} and {plan.parameter('Architecture')}")


def _settings(makefile: Path) -> dict[str, str]:
    """Return the version and platform that a Makefile builds for; the environment's come first, as for make."""
    defaults = re.findall(r"^(PYTHON_VERSION|PYTHON_PLATFORM) \?= (\S+)$", makefile.read_text(), re.MULTILINE)
    return {name: os.environ.get(name, default) for name, default in defaults}


def _bytecode(plan: Plan) -> Finding:
    version = plan.parameter("Runtime").removeprefix("python")
    try:
        found = subprocess.run(["uv", "python", "find", version], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return failed("uv was not found", "Install the build tools first.")
    if found.returncode:
        return warning(
            f"Python {version} is not installed here, so the layers get none and cold starts are slower",
            f"uv python install {version}",
        )
    return passed(f"compiled by {found.stdout.strip()}")
