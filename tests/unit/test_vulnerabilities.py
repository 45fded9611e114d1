"""The audit of the requirements: what a vulnerability, a gap and a silent database each lead to.

pip-audit's own answers are played by a script with its output and status, as it was seen to give them.
"""

import json

import pytest

from dev import vulnerabilities
from dev.vulnerabilities import BadRequirements, audit, check

CLEAN = {"name": "idna", "version": "3.10", "vulns": []}
FLAW = {"id": "PYSEC-2024-60", "fix_versions": ["3.7"], "aliases": [], "description": "..."}
VULNERABLE = {"name": "idna", "version": "3.6", "vulns": [FLAW]}
UNKNOWN = {"name": "idna", "skip_reason": "Dependency not found on PyPI and could not be audited: idna (3.10)"}


@pytest.fixture
def says(tmp_path):
    """Make a pip-audit that finds these dependencies, or crashes if there are none; `dry` is a dry run's status."""

    def make(*dependencies, status=0, dry=0):
        report = json.dumps({"dependencies": dependencies, "fixes": []}) if dependencies else ""
        script = tmp_path / "pip-audit"
        script.write_text(
            f"#!/bin/sh\ncase \"$*\" in *--dry-run*) echo 'does not contain a hash' >&2; exit {dry};; esac\n"
            f"printf '%s' '{report}'\nexit {status}\n"
        )
        script.chmod(0o755)
        return script

    return make


@pytest.fixture
def file(tmp_path):
    return tmp_path / "requirements.txt"


@pytest.mark.parametrize("required", [False, True])
def test_nothing_known_is_well(says, file, required):
    assert check([file], says(CLEAN), required=required) == 0


@pytest.mark.parametrize("required", [False, True])
def test_a_vulnerability_fails(says, file, required, capsys):
    assert check([file], says(CLEAN, VULNERABLE, UNKNOWN, status=1), required=required) == 1
    assert "idna 3.6: PYSEC-2024-60, fixed in 3.7" in capsys.readouterr().err


def test_an_accepted_vulnerability_does_not(says, file, monkeypatch):
    monkeypatch.setattr(vulnerabilities, "ACCEPTED", {"PYSEC-2024-60": "the function that it is about is never called"})
    assert check([file], says(VULNERABLE, status=1), required=True) == 0


@pytest.mark.parametrize(
    "dependencies",
    [
        pytest.param([], id="no connection"),  # it ends with a stack trace and without a report
        pytest.param([UNKNOWN, UNKNOWN], id="a mirror without the database"),  # it says that all is well
        pytest.param([CLEAN, UNKNOWN], id="one package is not known"),
    ],
)
@pytest.mark.parametrize("required", [False, True])
def test_what_could_not_be_looked_up_is_said_and_fails_only_where_it_is_required(
    says, file, dependencies, required, capsys
):
    assert check([file], says(*dependencies, status=not dependencies), required=required) == required
    assert "NOT AUDITED" in capsys.readouterr().err


def test_a_file_that_is_not_pinned_is_no_silent_database(says, file):
    with pytest.raises(BadRequirements, match="does not contain a hash"):
        audit(file, says(status=1, dry=1))
    assert check([file], says(status=1, dry=1), required=False) == 1


def test_all_that_is_locked_is_audited():
    names = [str(file.relative_to(vulnerabilities.ROOT)) for file in vulnerabilities.locked_files()]
    assert names[:3] == [f"layers/{layer}/requirements.txt" for layer in ("dependencies", "handoff", "mails")]
    assert {"requirements/dev.txt", "requirements/sam.txt", "requirements/uv.txt"} <= set(names)
