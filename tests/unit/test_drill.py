"""What the outage drills are made of: customers who insist, and figures that tell a loss."""

from collections import Counter
from io import StringIO

import httpx
import pytest
from rich.console import Console

from dev.drills import shoppers
from dev.drills.command import NAMES
from dev.drills.invariants import Harm, Violation
from dev.drills.report import Latency, Report, table
from dev.drills.run import DRILLS
from dev.drills.shoppers import NO_ANSWER, insist
from ops.shop_client import Answer


def answer(status, **headers):
    return Answer(status, {"orderId": "ord_a"}, {name.replace("_", "-"): value for name, value in headers.items()}, 1.0)


@pytest.fixture
def pauses(monkeypatch):
    """How long a customer has waited, without waiting."""
    waited = []
    monkeypatch.setattr(shoppers.time, "sleep", waited.append)
    return waited


def scripted(*answers):
    left = list(answers)

    def request():
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    return request


@pytest.mark.parametrize("status", [200, 201, 400, 402, 409, 422])
def test_a_definite_answer_is_taken_as_it_is(pauses, status):
    found, failures = insist(scripted(answer(status)))

    assert (found.status, failures, pauses) == (status, [], [])


def test_whatever_is_not_definite_is_asked_for_again(pauses):
    found, failures = insist(
        scripted(httpx.ConnectError("refused"), httpx.ReadTimeout("silent"), answer(502), answer(429), answer(201))
    )

    assert found.status == 201
    assert failures == [NO_ANSWER, NO_ANSWER, "502", "429"]
    assert len(pauses) == 4


@pytest.mark.parametrize("status", [409, 503])
def test_retry_after_is_honoured(pauses, status):
    found, failures = insist(scripted(answer(status, Retry_After="17"), answer(201)))

    assert (found.status, failures, pauses) == (201, [str(status)], [17.0])


def test_a_customers_patience_ends(pauses, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(shoppers.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(shoppers.time, "sleep", lambda pause: now.__setitem__(0, now[0] + pause))

    found, failures = insist(lambda: answer(503, Retry_After="100"))

    assert (found, failures) == (None, ["503"] * 3)


def test_an_error_of_our_own_is_not_taken_for_an_outage():
    with pytest.raises(KeyError):
        insist(scripted(KeyError("orderId")))


def report(*violations, mails_allowed=0):
    return Report(
        name="mail",
        what="The mail service refuses every mail",
        seconds=45,
        recovered_after=12,
        struck=7,
        killed=0,
        answers=Counter({"201": 3}),
        failures=Counter(),
        during=Latency.of([0.1, 0.2, 0.3]),
        outside=Latency.of([]),
        late=Counter(),
        dead_letters=Counter({"emails: SendEmail: Throttled": 2}),
        redriven=2,
        violations=violations,
        mails_allowed=mails_allowed,
    )


@pytest.mark.parametrize("harm", Harm)
def test_a_drill_with_any_violation_has_not_passed_and_shows_it(harm):
    failed = report(Violation(harm, "ord_a is in pieces"))

    assert report().passed
    assert not failed.passed
    assert failed.figures()[harm.name.lower()] == 1
    assert failed.figures()["violations"] == ["ord_a is in pieces"]


def test_as_many_mails_may_be_doubled_as_processes_died():
    twice = [Violation(Harm.DOUBLED_MAIL, f"ord_{n} was told once more") for n in range(2)]

    assert report(*twice, mails_allowed=2).passed
    assert not report(*twice, mails_allowed=1).passed


def test_the_table_names_what_is_lost():
    console = Console(width=100, file=StringIO())
    console.print(table(report(Violation(Harm.LOST, "ord_a is PENDING"))))
    shown = console.file.getvalue()

    assert "ord_a is PENDING" in shown
    assert "0.20 s / 0.29 s, of 3 orders" in shown
    assert "2 emails: SendEmail: Throttled" in shown


def test_the_command_knows_every_drill():
    assert set(NAMES) == set(DRILLS)
