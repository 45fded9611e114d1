"""The output of `sam build`, and a Python interpreter that can import nothing else."""

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from dev.local.stack import ROOT

_SITE_PACKAGES = Path(boto3.__file__).parents[1]
# Packages of the Lambda runtime: https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html
RUNTIME = ["boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3"]

# Runs in the clean interpreter: imports a function as Lambda does, and prints the result as JSON.
_IMPORT = """
import gc, importlib, json, os, sys

request = json.loads(sys.stdin.read())
sys.path += request["path"]
os.environ.clear()
os.environ.update(request["environment"])
reached, collections, opened, listed = [], [], [], []


def watch(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.sendmsg"}:
        reached.append(f"{event} {arguments[1:]}")
    elif event == "open":
        opened.append(str(arguments[0]))
    elif event in {"os.listdir", "os.scandir"}:
        listed.append(str(arguments[0]))


sys.addaudithook(watch)
gc.callbacks.append(lambda phase, info: collections.append(info["generation"]) if phase == "start" else None)
module, _, name = request["handler"].partition(".")
handler = getattr(importlib.import_module(module), name)
modules = {name: getattr(found, "__file__", None) for name, found in sys.modules.items()}
gc.callbacks.clear()
read = {"opened": opened, "listed": listed}
collected = {"collections": collections, "collects": gc.isenabled(), "frozen": gc.get_freeze_count()}
print(json.dumps({"callable": callable(handler), "reached": reached, "files": modules, **read, **collected}))
"""


@dataclass(frozen=True)
class Function:
    """A built function."""

    handler: str
    folder: Path
    layers: list[Path]
    environment: dict[str, str]


@dataclass(frozen=True)
class Imported:
    """Result of importing a function; ``error`` is the last line of its output, empty after success.

    ``files`` are those of the modules, ``opened`` and ``listed`` all files and folders that were read meanwhile.
    ``collections`` are the generations that the garbage collector went through meanwhile, ``frozen`` the objects that
    it leaves alone from then on.
    """

    error: str
    handler_is_callable: bool = False
    reached: tuple[str, ...] = ()
    files: frozenset[tuple[str, str]] = frozenset()
    opened: tuple[Path, ...] = ()
    listed: tuple[Path, ...] = ()
    collections: tuple[int, ...] = ()
    collects: bool = True
    frozen: int = 0

    def file(self, module: str) -> Path:
        """Return the file of a module."""
        return Path(dict(self.files)[module])


@dataclass(frozen=True)
class Build:
    """A folder that `sam build` wrote."""

    folder: Path

    @cached_property
    def functions(self) -> dict[str, Function]:
        """The functions by the names of their modules, which are those of their folders in the repository."""
        template = yaml_parse((self.folder / "template.yaml").read_text())
        resources, common = template["Resources"], template["Globals"]["Function"]
        functions = {}
        for resource in resources.values():
            if resource["Type"] == "AWS::Serverless::Function":
                properties = resource["Properties"]
                folder = (self.folder / properties["CodeUri"]).resolve()
                named = [layer["Ref"] for layer in (*common["Layers"], *properties.get("Layers", [])) if "Ref" in layer]
                having = [resources[name] for name in named if "Condition" not in resources[name]]  # not Stripe's
                layers = [layer["Properties"]["ContentUri"] for layer in having]
                variables = [*_variables(common), *_variables(properties)]
                functions[properties["Handler"].split(".")[0]] = Function(
                    handler=properties["Handler"],
                    folder=folder,
                    layers=[self.folder / layer for layer in layers],
                    environment={name: _value(name, value, template["Parameters"]) for name, value in variables},
                )
        return functions

    def with_stripe(self, name: str) -> Function:
        """Return a function as it is deployed with Stripe as the payment provider."""
        function, variables = self.functions[name], {"PAYMENT_PROVIDER": "stripe", "STRIPE_SECRET_ID": "shop/stripe"}
        return replace(
            function,
            layers=[*function.layers, self.folder / "StripeLayer"],
            environment=function.environment | variables,
        )

    def layer(self, name: str) -> Path:
        """Return the folder that becomes a layer's /opt/python."""
        return self.folder / name / "python"


def build(folder: Path, version: str = f"{sys.version_info.major}.{sys.version_info.minor}") -> Build:
    """Run `sam build` for this machine and a version of Python, by default this one, as `make run` does."""
    architecture = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
    environment = clean_environment() | {
        "PYTHON_VERSION": version,
        "PYTHON_PLATFORM": _platform(architecture),
        "SAM_CLI_TELEMETRY": "0",
    }
    command = [ROOT / ".tools/sam/bin/sam", "build", "--template-file", ROOT / "template.yaml"]
    command += ["--build-dir", folder / "build", "--parameter-overrides", f"Runtime=python{version}"]
    run([*command, f"Architecture={architecture}"], folder, environment)
    return Build(folder / "build")


def clean_environment() -> dict[str, str]:
    """Return the environment of a build: with uv on the path, without the settings of this Python."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "AWS_"))}
    return kept | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def run(command: list[Any], folder: Path, environment: dict[str, str]) -> None:
    """Run a command; raise AssertionError with its output if it fails."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(done.stdout + done.stderr)


def runtime(folder: Path) -> Path:
    """Make a folder with the packages of the Lambda runtime only."""
    folder.mkdir()
    for name in RUNTIME:
        (folder / name).symlink_to(_SITE_PACKAGES / name)
    return folder


def imported(function: Function, path: list[Path], bytecode: Path) -> Imported:
    """Import a function's handler where only the standard library and these folders can be imported from."""
    environment = lambda_environment(function)
    request = {"handler": function.handler, "path": [str(folder) for folder in path], "environment": environment}
    # -I and -S: no environment variables, no site-packages. Bytecode is written elsewhere: artifacts stay as built.
    command = [sys.executable, "-I", "-S", "-X", f"pycache_prefix={bytecode}", "-c", _IMPORT]
    done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=False)
    if done.returncode:
        return Imported(error=done.stderr.splitlines()[-1])
    answer = json.loads(done.stdout.splitlines()[-1])
    files = frozenset((name, file) for name, file in answer["files"].items() if file)
    return Imported(
        "",
        answer["callable"],
        tuple(answer["reached"]),
        files,
        opened=tuple(map(Path, answer["opened"])),
        listed=tuple(map(Path, answer["listed"])),
        collections=tuple(answer["collections"]),
        collects=answer["collects"],
        frozen=answer["frozen"],
    )


def lambda_environment(function: Function) -> dict[str, str]:
    """Return the environment of a function: the template's variables and Lambda's own."""
    return function.environment | {
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_LAMBDA_FUNCTION_NAME": "function",
        "LAMBDA_TASK_ROOT": str(function.folder),
    }


def _platform(architecture: str) -> str:
    """Return uv's name of the platform."""
    machine = "aarch64" if architecture == "arm64" else "x86_64"
    return f"{machine}-apple-darwin" if sys.platform == "darwin" else f"{machine}-manylinux2014"


def _variables(properties: dict[str, Any]) -> list[tuple[str, Any]]:
    return list(properties.get("Environment", {}).get("Variables", {}).items())


def _value(name: str, value: Any, parameters: dict[str, Any]) -> str:
    """Return a variable's value, or a placeholder if it is known after deployment only."""
    if not isinstance(value, dict):
        return str(value)
    default = parameters.get(value.get("Ref", ""), {}).get("Default")
    return f"{name.lower()}-of-the-stack" if default is None else str(default)
