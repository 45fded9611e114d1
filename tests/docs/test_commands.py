"""Every command that the Markdown files show exists, with the options that it is given."""

import re
import shlex
import tomllib
from collections.abc import Callable, Sequence
from itertools import pairwise

import click
import pytest
from botocore import xform_name
from botocore.session import Session

from dev.commands import main as developers
from dev.reference import targets
from dev.template import source
from ops.cli.main import main as operators
from tests.support.markdown import ROOT, commands, files

PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in files()}
PARAMETERS = set(source()["Parameters"])
MAKEFILE = (ROOT / "Makefile").read_text()
# What the AWS CLI adds to the services' operations.
CUSTOMIZED = {("logs", "tail"), ("cloudformation", "deploy")}


def make(words: list[str], _complete: bool) -> str:
    """What is wrong with these arguments of make."""
    variables = {*re.findall(r"\$\(([A-Z]+)\)|\$\((?:or|if) \$\(([A-Z]+)\)", MAKEFILE)}
    known = {name for pair in variables for name in pair} | {"PYTHON", *environment(developers)}
    for word in words:
        name, is_variable, _ = word.partition("=")
        if is_variable and name not in known:
            return f"make knows no variable {name}"
        is_file = word.startswith(".tools/") or f"\n{word}:" in MAKEFILE
        if not is_variable and word not in targets() and not is_file:
            return f"make has no target {word}"
    return ""


def environment(command: click.Command) -> set[str]:
    """The environment variables that the options of a command and of its subcommands are read from."""
    if isinstance(command, click.Group):
        return {name for each in command.commands.values() for name in environment(each)}
    return {option.envvar for option in command.params if isinstance(option.envvar, str)}


def clicks(command: click.Command) -> Callable[[list[str], bool], str]:
    """A check of arguments against a command of click."""

    def check(words: list[str], complete: bool) -> str:
        found, rest = command, words
        while isinstance(found, click.Group) and rest and not rest[0].startswith("-"):
            if rest[0] not in found.commands:
                return f"there is no command {rest[0]}"
            found, rest = found.commands[rest[0]], rest[1:]
        context = click.Context(found, info_name=found.name)
        try:
            if complete and not isinstance(found, click.Group):
                found.parse_args(context, list(rest))
            else:
                found.make_parser(context).parse_args(list(rest))
        except click.UsageError as error:
            return error.format_message()
        return ""

    return check


def python(words: list[str], complete: bool) -> str:
    """What is wrong with these arguments of Python."""
    if words[:2] == ["-m", "dev"]:
        return clicks(developers)(words[2:], complete)
    if words[:1] == ["-m"]:
        path = words[1].replace(".", "/")
        places = [ROOT / folder / f"{path}{end}" for folder in ("", "tests") for end in (".py", "/__main__.py")]
        return "" if any(place.exists() for place in places) else f"there is no module {words[1]}"
    return ""


def pytest_(words: list[str], _complete: bool) -> str:
    """What is wrong with these arguments of pytest."""
    missing = [word for word in words if word.startswith("tests/") and not (ROOT / word.partition("::")[0]).exists()]
    return f"there is no {missing[0]}" if missing else ""


def sam(words: list[str], _complete: bool) -> str:
    """What is wrong with these arguments of SAM: configurations and parameters that do not exist."""
    configurations = tomllib.loads((ROOT / "samconfig.toml").read_text())
    for option, value in pairwise(words):
        if option == "--config-env" and value not in configurations:
            return f"samconfig.toml has no {value}"
        if option == "--parameter-overrides" and "--template-file" not in words:
            names = {pair.partition("=")[0] for pair in shlex.split(value)}
            unknown = names - PARAMETERS
            return f"the template has no parameter {', '.join(unknown)}" if unknown else ""
    return ""


def aws(words: list[str], _complete: bool) -> str:
    """What is wrong with these arguments of the AWS CLI, as far as the services' models say."""
    service, *rest = words
    if not rest or (service, rest[0]) in CUSTOMIZED:
        return ""
    operation, *options = rest
    model = Session().get_service_model(service)
    known = {xform_name(name, "-"): name for name in model.operation_names}
    if operation not in known:
        return f"{service} has no operation {operation}"
    members = {xform_name(name, "-") for name in model.operation_model(known[operation]).input_shape.members}
    given = {re.sub("^--(no-)?", "", option) for option in options if option.startswith("--")}
    unknown = given - members - {"query", "output", "region", "endpoint-url"}
    return f"{operation} has no option {', '.join(sorted(unknown))}" if unknown else ""


CHECKS: dict[str, Callable[[list[str], bool], str]] = {
    "make": make,
    "handoff": clicks(operators),
    "python": python,
    "pytest": pytest_,
    "sam": sam,
    "aws": aws,
}


def program(words: Sequence[str]) -> str:
    """The name of the program that a command starts."""
    return words[0].rpartition("/")[2]


def complaint(words: Sequence[str], complete: bool) -> str:
    """What is wrong with a command of a program in CHECKS; empty if nothing is."""
    return CHECKS[program(words)](list(words[1:]), complete)


COMMANDS = sorted(
    {
        (tuple(words), complete)
        for text in PAGES.values()
        for words, complete in commands(text)
        if program(words) in CHECKS and len(words) > 1
    }
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[0])[:60])
def test_a_command_that_is_shown_exists(command: tuple[tuple[str, ...], bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words, complete = command
    assert complaint(words, complete) == ""


def test_the_commands_of_each_kind_are_found() -> None:
    assert {program(words) for words, _ in COMMANDS} == CHECKS.keys()


@pytest.mark.parametrize(
    "line",
    [
        "make nothing",
        "NOTHING=1 make run NOTHING=1",
        "handoff nothing",
        "handoff lag --nothing",
        "handoff dlq show emails",
        "python -m dev nothing",
        "python -m nothing",
        "cd x && .venv/bin/pytest tests/nothing.py",
        "sam deploy --config-env nothing",
        "sam deploy --parameter-overrides 'Nothing=1'",
        "aws lambda nothing",
        'curl "$(aws lambda invoke --nothing)"',
    ],
)
def test_a_command_that_does_not_exist_is_noticed(line: str) -> None:
    found = commands(f"```sh\n{line}\n```\n")
    assert any(complaint(words, complete) for words, complete in found if program(words) in CHECKS)
