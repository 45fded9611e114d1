"""Racing refunds in the sandbox's ledger, on AWS's own engine, with conflicting writes and lost answers."""

from functools import partial

import boto3
import pytest

from shop.payments import Authorized, Captured, Failed, ProviderError, Refunded, sandbox
from tests.dynamodb_local.concurrent_load import at_once

HOLDS, KEYS = 12, 16
THREADS = 20
_TRIES = 50


@pytest.fixture
def ledgers(shop):
    """Several clients of the ledger."""
    tables = boto3.Session().client("dynamodb").list_tables()["TableNames"]
    (table,) = (name for name in tables if "Sandbox" in name)
    return [sandbox.connect(table) for _ in range(4)]


def insist(ask):
    """Ask until there is a definite answer."""
    for _ in range(_TRIES):
        try:
            return ask()
        except ProviderError:
            continue
    raise AssertionError("no definite answer")


def captured(ledger, order_id):
    """Hold and capture 45.00 EUR; return the reference."""
    values = {"amount": 4500, "currency": "EUR", "token": "tok_approve", "can_act": False, "since": 0}
    held = ledger.authorize(f"{order_id}:authorise", order_id=order_id, **values)
    assert isinstance(held, Authorized)
    assert ledger.capture(f"{order_id}:capture", order_id=order_id, reference=held.reference) == Captured(4500)
    return held.reference


def test_racing_refunds_never_exceed_the_captured_amount(shop, ledgers):
    # GIVEN captured payments of 45.00
    holds = {f"ord_{number}": captured(ledgers[0], f"ord_{number}") for number in range(HOLDS)}

    # WHEN 16 refunds of 10.00 of each are requested at once, two requests for each key
    def refund(order_id, number, ledger):
        values = {"order_id": order_id, "reference": holds[order_id], "amount": 1000, "currency": "EUR"}
        key = f"{order_id}:refund:{number}"
        return order_id, key, insist(partial(ledger.refund, key, **values))

    jobs = [
        partial(refund, order_id, number, ledgers[(number + again) % len(ledgers)])
        for number in range(KEYS)
        for order_id in holds
        for again in range(2)
    ]
    with shop.network.faulty():
        answers = at_once(jobs, THREADS)

    # THEN four refunds of each are made, and each key has one answer
    outcomes = {}
    for order_id, key, answer in answers:
        assert answer in (Refunded(key), Failed("amount_too_large"))
        outcomes.setdefault(order_id, {}).setdefault(key, set()).add(answer)
    for order_id, reference in holds.items():
        refunded = {key for key, given in outcomes[order_id].items() if given == {Refunded(key)}}
        assert len(refunded) == 4
        assert all(len(given) == 1 for given in outcomes[order_id].values())
        # AND the ledger says the same
        entries = {entry["key"]: entry for entry in shop.items("SandboxTable") if entry["orderId"] == order_id}
        assert {key for key, entry in entries.items() if entry["kind"] == "refund"} == refunded
        assert entries[reference]["refunded"] == 4000
