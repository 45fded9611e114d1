"""A client that a known generator makes from openapi.json works: docs/how-to/call-from-a-program.md is run."""

import contextlib
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from dev.local.stack import ROOT
from ops.shop_client import ShopClient, sign_up
from ops.stack.deployment import Deployment
from tests.support.markdown import commands

PAGE = (ROOT / "docs/how-to/call-from-a-program.md").read_text()
BIN = ROOT / ".tools/openapi/bin"
# The generated code is formatted by ruff otherwise, which takes longer than generating it.
CONFIG = "post_hooks: []\n"


def run(*command: str | Path, folder: Path, **variables: str) -> str:
    """Run a program of the generator's environment; return what it prints."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder), **variables}
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's program beside the client that the page's command has generated."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "config.yaml").write_text(CONFIG)
    (generate,) = [words for words, _ in commands(PAGE) if words[:2] == ["openapi-python-client", "generate"]]
    generate[generate.index("--output-path") + 1] = str(folder / "shop_client")
    assert "Warning" not in run(*generate, "--config", folder / "config.yaml", folder=folder)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (folder / "program.py").write_text(code)
    return folder / "program.py"


@pytest.mark.usefixtures("window")
def test_the_generated_client_orders_reads_lists_and_cancels(
    deployment: Deployment, client: ShopClient, program: Path
) -> None:
    # GIVEN a customer with an address, and the sample products
    email = f"{uuid.uuid4().hex}@example.com"
    account = sign_up(deployment, email)
    with contextlib.closing(ShopClient(deployment.api_url, account.token)) as customer:
        assert customer.introduce({"name": "Ada", "email": email}).status == 200
    # WHEN the page's program orders
    output = run(BIN / "python", program, folder=program.parent, API=deployment.api_url, TOKEN=account.token)
    # THEN it sees typed problems, the order, its cancellation, and both orders on pages
    left, declined, order, cancelled, pages = output.splitlines()
    assert re.fullmatch(r"only \d+ left", left)
    assert "declined" in declined
    assert order == "PLACED 1290 Mug, blue glaze, 300 ml"
    assert cancelled == "CANCELLED"
    assert re.fullmatch(r"\d orders, with both: True", pages)


def test_an_answer_of_the_gateway_raises(deployment: Deployment, program: Path) -> None:
    with pytest.raises(AssertionError, match="401 Unauthorized"):
        run(BIN / "python", program, folder=program.parent, API=deployment.api_url, TOKEN="expired")


def test_the_types_of_the_generated_client_fit_the_program(program: Path) -> None:
    # mypy is in the project's environment; the packages that the client imports are in the generator's
    run(
        *(sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"),
        *("--python-executable", BIN / "python", "--cache-dir", ROOT / ".local/mypy-generated", program),
        folder=program.parent,
        MYPYPATH=str(program.parent),
    )
