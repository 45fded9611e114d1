"""The core as a package of its own: its wheel, and the example in its README."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from unittest.mock import patch

import boto3
import pytest
from moto import mock_aws

from dev.simulated.world import CREDENTIALS

ROOT = Path(__file__).parents[2]
CORE = ROOT / "layers/handoff"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("core")
    source = folder / "source"
    shutil.copytree(CORE, source, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder / "dist")]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = (folder / "dist").glob("*.whl")
    return built


def test_the_wheel_holds_the_core_with_its_types_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.partition("/")[0] for name in names} == {"handoff", "handoff_core-0.1.0.dist-info"}
    assert {name for name in names if name.startswith("handoff/")} == {
        f"handoff/{file.name}" for file in (CORE / "handoff").iterdir() if file.suffix in {".py", ".typed"}
    }


def test_every_module_of_the_wheel_imports_without_the_shop(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    modules = sorted(f"handoff.{file.stem}" for file in (tmp_path / "handoff").glob("[!_]*.py"))
    site = next(path for path in sys.path if path.endswith("site-packages"))
    program = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; import {', '.join(modules)}; assert 'shop' not in sys.modules"
    )

    # -I -S: neither the working directory nor the editable install of this project is on the path.
    environment = {"AWS_DEFAULT_REGION": "eu-central-1", "PYTHONPATH": ""}
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({site!r}); {program}"],
        env=environment,
        check=True,
    )


def test_the_example_of_the_readme_works(monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (CORE / "README.md").read_text(), flags=re.DOTALL)
    with patch.dict(os.environ, CREDENTIALS), mock_aws():
        boto3.client("events").create_event_bus(Name="support")
        boto3.client("dynamodb").create_table(
            TableName="tickets",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "ticketId", "AttributeType": "S"},
                {"AttributeName": "unfinished", "AttributeType": "N"},
                {"AttributeName": "dueAt", "AttributeType": "N"},
            ],
            KeySchema=[{"AttributeName": "ticketId", "KeyType": "HASH"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "unfinished",
                    "KeySchema": [
                        {"AttributeName": "unfinished", "KeyType": "HASH"},
                        {"AttributeName": "dueAt", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["unfinishedSince"]},
                }
            ],
        )
        names = {"__name__": "readme"}
        exec("\n".join(blocks), names)

        ticket = names["open_ticket"](names["Ticket"](ticket_id="t-1", subject="no light"))

        assert (ticket.status, ticket.sequence, ticket.outbox) == ("OPEN", 1, {})
        stored = names["tickets"].get("t-1")
        assert (stored.status, stored.subject, stored.outbox) == ("OPEN", "no light", {})
        assert names["sweep"]() == 0
