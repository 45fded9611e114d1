"""Requirements: packages that ship have permissive licenses, and `make lock` renews every lock."""

import re
from email.message import Message
from importlib.metadata import metadata

import pytest

from dev.template import ROOT

# As package metadata spells them: SPDX expressions, or else classifiers.
PERMISSIVE = {
    *("Apache-2.0", "BSD-3-Clause", "MIT", "MIT-0", "PSF-2.0"),
    *("Apache Software License", "MIT License", "MIT No Attribution License (MIT-0)"),
}
EXCEPTIONS = {"certifi": {"Mozilla Public License 2.0 (MPL 2.0)"}}  # copyleft for its files only, which ship unchanged
_CLASSIFIER = "License :: OSI Approved :: "


def shipped():
    """The packages that the layers lock. The tests' environment has the same versions."""
    locks = [file.read_text() for file in ROOT.glob("layers/*/requirements.txt")]
    return sorted({name for lock in locks for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)})


def licenses_of(package):
    """The licenses in a package's metadata."""
    if "License-Expression" in package:
        return {package["License-Expression"]}
    classifiers = [line for line in package.get_all("Classifier", []) if line.startswith(_CLASSIFIER)]
    return {line.removeprefix(_CLASSIFIER) for line in classifiers} or {package["License"] or "none"}


def is_allowed(package):
    """Whether a package with this metadata may ship."""
    return licenses_of(package) <= PERMISSIVE | EXCEPTIONS.get(package["Name"], set())


def test_every_package_that_ships_has_a_permissive_license():
    assert {"aws-lambda-powertools", "pydantic", "stripe"} <= set(shipped())
    assert [name for name in shipped() if not is_allowed(metadata(name))] == []


@pytest.mark.parametrize(
    "fields",
    [
        {"License-Expression": "GPL-3.0-or-later"},
        {"License-Expression": "MIT AND GPL-3.0-or-later"},
        {"Classifier": f"{_CLASSIFIER}Mozilla Public License 2.0 (MPL 2.0)"},
        {"License": "see LICENSE"},
        {},
    ],
    ids=str,
)
def test_any_other_license_is_refused(fields):
    package = Message()
    for name, value in {"Name": "anything", **fields}.items():
        package[name] = value
    assert not is_allowed(package)


def test_make_lock_renews_every_lock():
    makefile = (ROOT / "Makefile").read_text()
    environments = re.search(r"^ENVIRONMENTS := (.*)$", makefile, re.MULTILINE)[1].split()
    assert "for name in uv $(ENVIRONMENTS) dev;" in makefile
    assert {*environments, "uv", "dev"} == {file.stem for file in ROOT.glob("requirements/*.in")}
    assert {file.stem for file in ROOT.glob("requirements/*.txt")} == {*environments, "uv", "dev"}
    layers = re.search(r"for layer in (.*); do", makefile)[1].split()
    assert layers == sorted(file.parent.name for file in ROOT.glob("layers/*/requirements.in"))
