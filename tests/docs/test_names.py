"""Files, names and log messages that the Markdown files show in code exist."""

import re

import pytest
from botocore import xform_name

from tests.support.markdown import ROOT, codes, files

PAGES = {path.relative_to(ROOT).as_posix(): codes(path.read_text()) for path in files()}
SHOWN = sorted({code for page in PAGES.values() for code in page})
FOLDERS = ("layers", "functions", "ops", "dev", "bench", "examples", "tests")
SOURCES = [
    *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".toml", ".yaml"}),
    *(ROOT / name for name in ("template.yaml", "samconfig.toml", "Makefile", "functions/orders/openapi.json")),
    *(ROOT / ".github").rglob("*.y*ml"),
]
LOGGING = "\n".join(path.read_text() for path in SOURCES if path.parts[len(ROOT.parts)] in {"layers", "functions"})
TEXT = "\n".join(path.read_text() for path in SOURCES if "docs" not in path.relative_to(ROOT).parts)
WORDS = set(re.findall(r"\w+", TEXT))
# Names of AWS, GitHub and Stripe that nothing here spells out, of a consumer that a reader adds, of earlier releases.
ELSEWHERE = re.compile(
    r"LastUpdatedTime|LastProcessingResult|Idempotent-Replayed|NumberOfMessagesDeleted|ConcurrentExecutions|Loyalty\w*"
    r"|AWSServiceRole\w+"
    # of earlier releases, in upgrade notes
    r"|PartnerKeyHeader|PartnerTokenEndpoint|PartnerRate|PartnerDeadLetters"
)


def matching(pattern: str) -> list[str]:
    """The codes that match a pattern as a whole."""
    return [code for code in SHOWN if re.fullmatch(pattern, code)]


@pytest.mark.parametrize(
    "path", matching(r"(?:\.github|docs|contracts|events|requirements|" + "|".join(FOLDERS) + r")/[\w./-]+")
)
def test_a_file_that_is_named_exists(path: str) -> None:
    assert (ROOT / path).exists() or re.search("loyalty|bonus", path)  # which a reader adds


@pytest.mark.parametrize("test", matching(r"test_\w+\.py"))
def test_a_test_that_is_named_exists(test: str) -> None:
    assert list((ROOT / "tests").rglob(test)) or "loyalty" in test


@pytest.mark.parametrize("message", matching(r'"[^"]+"'))
def test_a_log_message_that_is_quoted_is_logged(message: str) -> None:
    is_logged = message in LOGGING
    assert is_logged


@pytest.mark.parametrize(
    "name", [name for name in matching(r"[A-Z]+[a-z]+(?:[A-Z][A-Za-z]*)+") if not ELSEWHERE.fullmatch(name)]
)
def test_a_resource_parameter_or_metric_that_is_named_exists(name: str) -> None:
    # as it is, as an alarm, or as the method of an AWS client
    assert {name, f"{name}Alarm", xform_name(name)} & WORDS


def test_each_reason_of_a_dead_letter_is_one_that_consumers_give() -> None:
    table = (ROOT / "docs/how-to/dead-letters.md").read_text().partition("| reason |")[2].partition("\n\n")[0]
    reasons = [code for row in table.splitlines()[2:] for code in codes(row.split("|")[1])]
    # the fixed words of each, between "..." and placeholders
    words = [part.strip(" :") for reason in reasons for part in re.split(r"\.\.\.|\b[A-Z]\w+", reason)]
    given = "\n".join(path.read_text() for path in SOURCES if path.suffix == ".py" and "tests" not in path.parts)
    assert len(reasons) > 8
    assert [part for part in words if part and part not in given] == []
