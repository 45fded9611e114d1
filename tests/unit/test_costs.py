"""Costs of an order: a small bill computed by hand, and every price with its source and date."""

from datetime import date
from math import ceil

import pytest

from bench import costs, whole_life
from bench.costs import PRICES, SERVICES
from bench.profile import ASSUMED, SETTLES, Invocation, batch_of, duration_ms, invocations_of
from dev.template import template_with

WRITES, READS = {"OrdersTable": 4.0, "OrdersTable/byUser": 1.0}, {"OrdersTable": 1.0}


def invocation(name="request", function="OrdersFunction", batch=1, **log):
    empty = {"operations": {}, "events": 0, "write_units": {}, "read_units": {}, "log_bytes": 0}
    return Invocation(name, function, batch, empty | log)


@pytest.mark.parametrize("name", [name for name in PRICES if isinstance(PRICES[name], dict)])
def test_each_price_has_a_unit_and_sources(name):
    price = PRICES[name]

    assert price["usd"] > 0
    assert price["unit"]
    assert price["page"].startswith("https://aws.amazon.com/")
    assert price["seen"].startswith("https://")


def test_prices_have_a_date_and_a_region():
    assert isinstance(PRICES["read"], date)
    assert PRICES["region"] == "us-east-1"


def test_each_billed_quantity_is_in_one_row_of_the_table():
    in_rows = [name for names in SERVICES.values() for name in names]

    assert sorted(in_rows) == sorted(costs.usage([invocation()], 10))


def test_quantities_of_an_order_computed_by_hand():
    request = invocation(
        events=1, operations={"provider": 1, "dynamodb.UpdateItem": 2}, write_units=WRITES, read_units=READS
    )
    # 100 messages: ten receives and ten deletes
    consumer = invocation("analytics: order_placed", "AnalyticsFunction", 100, write_units={"SalesTable": 200.0})

    used = costs.usage([request, consumer], 10, targets=1)

    assert used["lambda_request"] == 1.01
    assert used["dynamodb_write"] == 4 + 1 + 2
    assert used["dynamodb_read"] == 1
    assert used["eventbridge_event"] == 1
    assert used["sqs_request"] == 1 + 1 + 10 / 100
    own = ASSUMED["own_ms"]
    milliseconds = 300 + 2 * ASSUMED["latency_ms"]["dynamodb.UpdateItem"] + own["invocation"] + own["message"]
    assert request.milliseconds == milliseconds
    analytics = (own["invocation"] + 100 * own["message"]) / 100
    # The processing costs the same with any memory: twice the memory takes half the time.
    assert used["lambda_gb_second"] == pytest.approx(milliseconds / 1000 * 1.0 + analytics / 1000)


def test_prices_of_quantities():
    assert costs.price({"dynamodb_write": 1_000_000}, "dynamodb_write") == 0.625
    assert costs.price({}, "dynamodb_write") == 0
    assert costs.total({"ses_mail": 1_000, "alarm": 2}) == pytest.approx(0.1 + 0.2)


@pytest.mark.parametrize(("rate", "share"), [(0.5, 1.0), (1, 1.0), (10, 0.145), (1000, 0.05095)])
def test_traces_are_sampled_by_the_default_rule(rate, share):
    assert costs.sampled(rate) == pytest.approx(share)


def test_sequential_calls_add_up():
    assumed = {"latency_ms": {"a": 10, "b": 3}, "own_ms": {"invocation": 5, "message": 1}}

    assert duration_ms({"a": 2, "b": 1}, 4, assumed=assumed) == 20 + 3 + 5 + 4


def test_half_the_memory_doubles_the_processing_and_not_the_waiting():
    assumed = {"latency_ms": {"a": 10}, "own_ms": {"invocation": 5, "message": 1}}

    assert duration_ms({"a": 2}, 4, 0.5, assumed) == 20 + 2 * (5 + 4)


def test_idle_queues_cost_the_requests_of_their_pollers():
    idle = {"function": "SweeperFunction", "counts": invocation().counts}

    fixed = costs.fixed({"idle sweep": idle, "custom_metrics": 8})

    queues = len(template_with().consumers())
    assert fixed["sqs_request"] == queues * 5 * ceil(costs.MONTH / 20)  # five pollers a queue, 20 s a poll
    assert fixed["lambda_request"] == costs.MONTH / 60


def test_programs_that_read_reports_cost_an_app_client_a_month():
    """Only a client with client credentials does: https://aws.amazon.com/cognito/pricing/"""
    idle = {"function": "SweeperFunction", "counts": invocation().counts}

    fixed = costs.fixed({"idle sweep": idle, "custom_metrics": 8})

    assert fixed["program_client"] == 1
    assert costs.price(fixed, "program_client") == 6.00


# --- an order's whole life --------------------------------------------------------------------------------------------


def _counts(calls, units, events=0, limits=0.0):
    return {
        "aws_calls": calls,
        "provider_calls": 0,
        "operations": {"dynamodb.UpdateItem": calls},
        "events": events,
        "write_units": {"OrdersTable": units - limits, "LimitsTable": limits},
        "read_units": {},
        "log_bytes": 300,
    }


def _measured(function, counts, batch=1):
    return {"function": function, "batch": batch, "counts": counts}


LIFE = {
    "invocations": {
        "request": _measured("OrdersFunction", _counts(4, 19, events=1, limits=2.0)),
        "analytics: order_placed": _measured("AnalyticsFunction", _counts(2, 28), batch=10),
        SETTLES: _measured("SettlementFunction", _counts(4, 9, events=1)),
    },
    "alone": {"analytics: order_placed": _measured("AnalyticsFunction", _counts(2, 10))},
    "settles nothing": _measured("SettlementFunction", _counts(2, 3)),
    "chain": _measured("ChainFunction", _counts(0, 0)),
    "event_bytes": 1_000,
}


def test_the_parts_of_an_orders_life_add_up_to_the_bill():
    parts = whole_life.of(LIFE, batched=True)
    invocations = list(invocations_of(LIFE).values())
    bill = costs.usage(invocations, ASSUMED["load"]["orders_per_second"], targets=2, audited=LIFE["event_bytes"])

    assert whole_life.total(parts).dollars == pytest.approx(costs.total(bill) * costs.MILLION)


def test_the_gates_leave_out_the_release_and_the_limits():
    batched, alone = (whole_life.counted(LIFE, batched=batched) for batched in (True, False))

    assert (batched.calls, alone.calls) == pytest.approx((4 + 0.2 + 2, 4 + 2 + 2))
    assert (batched.units, alone.units) == pytest.approx((19 - 2 + 2.8 + 3, 19 - 2 + 10 + 3))


def test_a_missed_gate_is_shown_with_its_figure():
    text = whole_life.section(LIFE)

    assert "| at most 36 write units | 22.8, reached | 30.0, reached |" in text
    dearer = {**LIFE, "alone": {"analytics: order_placed": _measured("AnalyticsFunction", _counts(2, 17))}}
    assert "| at most 36 write units | 22.8, reached | 37.0, **missed** |" in whole_life.section(dearer)


@pytest.mark.parametrize(
    ("function", "batch"),
    [
        ("EmailsFunction", 10),  # 20 events/s for 3 s at 5 pollers, and at most the batch size
        ("FulfillmentFunction", 6),
        ("AnalyticsFunction", 10),  # 5 s
    ],
)
def test_a_batch_is_what_a_poller_gathers_in_the_batching_window(function, batch):
    assert batch_of(function) == batch
