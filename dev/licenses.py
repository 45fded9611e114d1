"""`make licenses`: the licenses of all locked packages, for docs/reference/licenses.md.

Names and versions come from the requirements, licenses from the metadata of the installed packages. A package that is
locked for other systems only is not installed here, so its license is unknown.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

import click

from dev.local.stack import ROOT

PAGE = ROOT / "docs/reference/licenses.md"
# What may be built into a function: it may be used, changed and shipped without giving away any source.
ALLOWED = frozenset({"MIT", "MIT-0", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "ISC", "PSF-2.0"})
EXCEPTIONS = {"certifi": "MPL-2.0"}  # it asks for the source of its own files only, which are shipped as they are
UNKNOWN = "not installed here"

_LOCKED = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", re.MULTILINE)
_CLASSIFIER = "License :: OSI Approved :: "
_SHORT = {  # SPDX's names for those of PyPI's classifiers, which do not tell one BSD license from the other
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


@dataclass(frozen=True, order=True)
class Package:
    """One version of a package."""

    name: str
    version: str


def locked(file: Path) -> set[Package]:
    """All that a file of requirements locks."""
    return {Package(_canonical(name), version) for name, version in _LOCKED.findall(file.read_text())}


def functions() -> set[Package]:
    """What is built into the functions' layers."""
    return {package for file in ROOT.glob("layers/*/requirements.txt") for package in locked(file)}


def environments() -> Mapping[str, set[Package]]:
    """What else is locked, by environment: dev is the project's own, the others are those of its tools."""
    return {file.stem: locked(file) for file in sorted(ROOT.glob("requirements/*.txt"))}


def installed() -> Mapping[Package, str]:
    """The licenses of what is installed in any of the environments."""
    folders = [*ROOT.glob(".venv/lib/python*/site-packages"), *ROOT.glob(".tools/*/lib/python*/site-packages")]
    found = distributions(path=[str(folder) for folder in folders])
    return {Package(_canonical(each.metadata["Name"]), each.version): license_of(each) for each in found}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def license_of(found: Distribution) -> str:
    """Return a package's license: its SPDX expression, or else its classifiers, or else its free text."""
    metadata = found.metadata
    if "License-Expression" in metadata:
        return str(metadata["License-Expression"])
    classifiers = [line for line in metadata.get_all("Classifier", []) if line.startswith(_CLASSIFIER)]
    names = [line.removeprefix(_CLASSIFIER) for line in classifiers]
    own_words = str(metadata["License"]).partition("\n")[0] if "License" in metadata else ""
    return ", ".join(sorted(_SHORT.get(name, name) for name in names)) or own_words or "says none"


def forbidden() -> list[str]:
    """What is in a function under a license that is not allowed there, a line for each."""
    names = installed()
    found = [(package, names.get(package, UNKNOWN)) for package in sorted(functions())]
    return [
        f"{package.name} {package.version}: {name}"
        for package, name in found
        if not ALLOWED.issuperset(name.split(", ")) and EXCEPTIONS.get(package.name) != name
    ]


def page() -> str:
    """What docs/reference/licenses.md holds."""
    names, inside = installed(), functions()
    where: dict[Package, list[str]] = {}
    for name, packages in environments().items():
        for package in packages - inside:
            where.setdefault(package, []).append(name)
    return "\n".join(
        [
            *_HEAD,
            *(_row(each.name, each.version, names.get(each, UNKNOWN)) for each in sorted(inside)),
            *_BETWEEN,
            *(
                _row(each.name, each.version, names.get(each, UNKNOWN), ", ".join(where[each]))
                for each in sorted(where)
            ),
            "",
        ]
    )


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


_HEAD = [
    "# Licenses",
    "",
    "All that is locked, by `make licenses` from what the packages say of themselves. boto3 (Apache-2.0) is not: it",
    "comes with Lambda's runtime.",
    "",
    "## In the functions",
    "",
    _row("package", "version", "license"),
    "|---|---|---|",
]
_BETWEEN = [
    "",
    "A test holds these to the licenses that are allowed in [dev/licenses.py](../../dev/licenses.py).",
    "",
    "## Beside them",
    "",
    "The last column names the file of [requirements/](../../requirements) that locks it: `dev` is the developer's",
    "environment, the others are tools, each in one of its own. Nothing of it is deployed.",
    "",
    _row("package", "version", "license", "in"),
    "|---|---|---|---|",
]


@click.command()
def licenses() -> None:
    """Generate docs/reference/licenses.md from the installed packages."""
    PAGE.write_text(page())
