"""Run pytest in processes that are forked with all libraries loaded: loading them takes longer than most tests."""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

# None of Handoff's own, and none that loads a plugin of pytest's (as stripe does): pytest wants to load those itself.
_LIBRARIES = [
    "boto3",
    "cryptography.x509",
    "moto.cloudwatch.models",
    "moto.core.responses",
    "moto.dynamodb.responses",
    "moto.events.responses",
    "moto.iam.models",
    "moto.s3.models",
    "moto.sesv2.responses",
    "moto.sns.models",
    "moto.sqs.responses",
    "pydantic",
    "pytest",
    "requests",
    "samtranslator.translator.transform",
]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(_LIBRARIES)


def pytest(tree: Path, arguments: Sequence[str], log: Path) -> int:
    """Run pytest on the code in this folder, its output into a file; returns its exit code."""
    process = _context.Process(target=_run, args=(tree, arguments, log))
    process.start()
    process.join()
    return process.exitcode or 0


def _run(tree: Path, arguments: Sequence[str], log: Path) -> None:
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(tree)
    os.environ.pop("PYTEST_ADDOPTS", None)
    sys.dont_write_bytecode = True  # the tree is gone in a moment
    sys.path[:0] = [str(tree / "layers" / "handoff"), str(tree)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]  # this module's package is the checkout's
    for name in ("handoff", "ops", "tests"):  # installed is the checkout
        file = import_module(name).__file__
        if file is None or not Path(file).is_relative_to(tree):
            sys.exit(f"{name} is imported from {file}, and not from the copy")
    status = int(import_module("pytest").main(list(arguments)))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # without waiting for threads, which a mutation may have left waiting for ever
