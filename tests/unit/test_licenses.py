"""Licenses: what may be in a function, and that the page has all that is locked."""

import email.message
import importlib.metadata
import re

import pytest

from dev import licenses
from dev.licenses import Package
from dev.local.stack import ROOT


def test_only_allowed_licenses_get_into_a_function():
    assert {package.name for package in licenses.functions()} >= {"aws-lambda-powertools", "pydantic", "stripe"}
    assert licenses.forbidden() == []


@pytest.mark.parametrize(
    ("name", "is_forbidden"),
    [
        ("MIT", False),
        ("Apache-2.0, MIT", False),
        ("GPL-3.0-or-later", True),
        ("MIT, GPL-3.0-or-later", True),
        ("MPL-2.0", True),  # but for the one exception
        ("says none", True),
        (licenses.UNKNOWN, True),
    ],
)
def test_what_is_not_allowed_is_named(monkeypatch, name, is_forbidden):
    # GIVEN a function with one package under this license
    package = Package("anything", "1.0")
    monkeypatch.setattr(licenses, "functions", lambda: {package})
    monkeypatch.setattr(licenses, "installed", lambda: {package: name})
    # THEN it is named, if it is not allowed
    assert licenses.forbidden() == ([f"anything 1.0: {name}"] if is_forbidden else [])


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ([("License-Expression", "MIT OR Apache-2.0"), ("License", "see LICENSE")], "MIT OR Apache-2.0"),
        ([("Classifier", "License :: OSI Approved :: BSD License"), ("License", "UNKNOWN")], "BSD"),
        ([("Classifier", "License :: OSI Approved :: Zope Public License")], "Zope Public License"),
        ([("License", "ISC")], "ISC"),
        ([("Name", "nothing")], "says none"),
    ],
)
def test_a_package_is_asked_for_its_license(fields, name):
    class Said(importlib.metadata.Distribution):
        """An installed package with this metadata."""

        def read_text(self, filename):
            message = email.message.Message()
            for field, value in fields:
                message[field] = value
            return str(message) if filename == "METADATA" else None

        def locate_file(self, path):
            raise NotImplementedError

    assert licenses.license_of(Said()) == name


def test_the_page_has_all_that_is_locked():
    rows = {
        Package(name, version)
        for name, version in re.findall(r"^\| ([\w.-]+) \| (\d\S*) \|", licenses.PAGE.read_text(), re.MULTILINE)
    }
    everything = licenses.functions().union(*licenses.environments().values())
    assert rows == everything, "make licenses"


def test_the_pages_licenses_of_the_functions_are_those_that_the_packages_name():
    page, known = licenses.PAGE.read_text(), licenses.installed()
    for package in licenses.functions():
        assert f"| {package.name} | {package.version} | {known[package]} |\n" in page


def test_all_that_can_be_locked_is_locked_and_renewed_by_make_lock():
    makefile = (ROOT / "Makefile").read_text()
    environments = re.search(r"^ENVIRONMENTS := (.*)$", makefile, re.MULTILINE)[1].split()
    assert "for name in uv $(ENVIRONMENTS) dev;" in makefile
    assert {*environments, "uv", "dev"} == {file.stem for file in ROOT.glob("requirements/*.in")}
    assert {file.stem for file in ROOT.glob("requirements/*.txt")} == {*environments, "uv", "dev"}
    layers = re.search(r"for layer in (.*); do", makefile)[1].split()
    assert layers == sorted(file.parent.name for file in ROOT.glob("layers/*/requirements.in"))
