"""The parts of the outage drills: customers who retry, and reports of their result."""

from collections import Counter
from io import StringIO
from types import SimpleNamespace

import httpx
import pytest
from rich.console import Console

from dev.drills import shoppers
from dev.drills.command import NAMES
from dev.drills.outages import DRILLS, Observation
from dev.drills.report import Latency, Report, table
from dev.drills.shoppers import NO_ANSWER, send_until_final
from dev.invariants import ON_ITS_WAY, Harm, Mail, Violation
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
def test_a_final_answer_is_returned_at_once(pauses, status):
    found, failures = send_until_final(scripted(answer(status)))

    assert (found.status, failures, pauses) == (status, [], [])


def test_other_answers_are_retried(pauses):
    found, failures = send_until_final(
        scripted(httpx.ConnectError("refused"), httpx.ReadTimeout("silent"), answer(502), answer(429), answer(201))
    )

    assert found.status == 201
    assert failures == [NO_ANSWER, NO_ANSWER, "502", "429"]
    assert len(pauses) == 4


@pytest.mark.parametrize("status", [409, 503])
def test_retry_after_is_honoured(pauses, status):
    found, failures = send_until_final(scripted(answer(status, Retry_After="17"), answer(201)))

    assert (found.status, failures, pauses) == (201, [str(status)], [17.0])


def test_a_customer_gives_up_after_a_timeout(pauses, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(shoppers.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(shoppers.time, "sleep", lambda pause: now.__setitem__(0, now[0] + pause))

    found, failures = send_until_final(lambda: answer(503, Retry_After="100"))

    assert (found, failures) == (None, ["503"] * 3)


def test_a_programming_error_is_not_retried():
    with pytest.raises(KeyError):
        send_until_final(scripted(KeyError("orderId")))


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
        seen="5 orders packed and not paid",
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


def test_one_doubled_mail_is_allowed_per_killed_process():
    twice = [Violation(Harm.DOUBLED_MAIL, f"ord_{n} has one more mail") for n in range(2)]

    assert report(*twice, mails_allowed=2).passed
    assert not report(*twice, mails_allowed=1).passed


def test_the_table_names_what_is_lost():
    console = Console(width=100, file=StringIO())
    console.print(table(report(Violation(Harm.LOST, "ord_a is PENDING"))))
    shown = console.file.getvalue()

    assert "ord_a is PENDING" in shown
    assert "0.20 s / 0.29 s, of 3 orders" in shown
    assert "2 emails: SendEmail: Throttled" in shown
    assert "5 orders packed and not paid" in shown


def during(*, released=False, mailed=False, status="PREPARED", payment="authorised"):
    """Return what is seen while payments cannot be captured, of one order."""
    order = {"orderId": "ord_a", "status": status, "payment": {"state": payment}}
    shipment = {"orderId": "ord_a", "state": "released" if released else "prepared"}
    mails = [Mail("Your order is confirmed", "ord_a"), *([Mail(ON_ITS_WAY, "ord_a")] if mailed else [])]
    seen = SimpleNamespace(orders=[order], shipments=[shipment], mails=mails)
    return DRILLS["capture"].watch(SimpleNamespace(snapshot=lambda: seen))


def test_packing_without_the_provider_is_seen():
    assert during() == Observation("1 orders packed and not paid")


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"released": True}, "ord_a was released before its payment"),
        ({"mailed": True}, "ord_a was mailed before its payment"),
        ({"status": "PLACED"}, "no order was packed while no payment could be captured"),
        ({"payment": "captured"}, "no order was packed while no payment could be captured"),
    ],
)
def test_what_must_not_happen_before_the_capture_is_a_violation(given, wrong):
    assert during(**given).violations == (Violation(Harm.WRONG, wrong),)


def test_the_command_knows_every_drill():
    assert set(NAMES) == set(DRILLS)
