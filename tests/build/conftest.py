from pathlib import Path

import pytest

from dev import artifacts
from dev.artifacts import Build


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The artifacts, built once."""
    return artifacts.build(tmp_path_factory.mktemp("sam"))


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages of the Lambda runtime."""
    return artifacts.runtime(tmp_path_factory.mktemp("runtime") / "python")


@pytest.fixture(scope="session")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for bytecode."""
    return tmp_path_factory.mktemp("bytecode")
