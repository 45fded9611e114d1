"""`handoff load`: which stacks it refuses, what it says before it begins, and its table."""

import re
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from rich.console import Console

from dev.template import ROOT
from ops import prices
from ops.cli import main as cli
from ops.cli.options import Target
from ops.load import plan, report
from ops.load.figures import percentiles
from ops.load.measure import Lag, Level
from ops.load.settings import Settings
from ops.stack.deployment import Deployment

DEV = {
    "DataPolicy": "Delete",
    "PaymentProvider": "sandbox",
    "PasswordSignIn": "true",
    "OrdersPerHour": "0",
    "PackAfter": "600",
    "ThrottleRate": "500",
}
SETTINGS = Settings(users=(1, 10, 50), seconds=120.0)


def stack(**changes):
    """A deployment whose parameters differ in these."""
    deployment = Deployment("shop", session=None)
    deployment.__dict__["_description"] = {"StackStatus": changes.pop("status", "UPDATE_COMPLETE"), "StackId": "arn:1"}
    deployment.__dict__["parameters"] = DEV | changes
    deployment.__dict__["outputs"] = {"UserPoolId": "pool"}
    deployment.__dict__["_resources"] = {}
    return deployment


def check(deployment, settings=SETTINGS, *, production=False, confirmed=""):
    plan.check_stack(deployment, settings, production=production, confirmed=confirmed)


def test_a_stack_for_tests_is_accepted():
    check(stack())


@pytest.mark.parametrize("sign", [{"DataPolicy": "Retain"}, {"PaymentProvider": "stripe"}])
@pytest.mark.parametrize(
    "told", [{}, {"production": True}, {"confirmed": "shop"}, {"production": True, "confirmed": "x"}]
)
def test_production_and_real_payments_are_refused_unless_told_twice(sign, told):
    with pytest.raises(plan.Refused, match="--production --confirm shop"):
        check(stack(**sign), **told)


def test_production_is_accepted_if_told_twice():
    check(stack(DataPolicy="Retain"), production=True, confirmed="shop")


def test_real_payments_need_a_payment_method_too():
    stripe = stack(PaymentProvider="stripe")
    with pytest.raises(plan.Refused, match="tok_approve is unknown to stripe"):
        check(stripe, production=True, confirmed="shop")
    card = Settings(users=(1,), seconds=1.0, payment_token="pm_card_visa")
    check(stripe, card, production=True, confirmed="shop")


def test_a_limit_of_orders_names_the_parameter():
    with pytest.raises(plan.Refused, match=r"up to 59 orders, which counts as 118. .* OrdersPerHour=0"):
        check(stack(OrdersPerHour="20"))
    check(stack(OrdersPerHour="118"))
    check(stack(OrdersPerHour="59", PackAfter="0"))  # nothing can be cancelled


def test_a_stack_that_is_being_deployed_or_has_no_sign_in_is_refused():
    with pytest.raises(plan.Refused, match="UPDATE_IN_PROGRESS"):
        check(stack(status="UPDATE_IN_PROGRESS"))
    with pytest.raises(plan.Refused, match="PasswordSignIn=true"):
        check(stack(PasswordSignIn="false"))


def test_the_plan_says_what_is_sent_and_what_it_costs():
    text = "\n".join(plan.lines(stack(), SETTINGS))
    # 61 users for 130 s, each with an order in 10 s, and one order before
    assert "about 794 orders to shop (arn:1)" in text
    assert "1, 10, 50 users, for 2m each after a warm-up of 10 s" in text
    assert "50 customers and 100 products" in text
    assert "cancels the orders" in text
    assert re.search(r"about \$0\.2\d at most", text)
    assert "ThrottleRate" not in text


def test_the_plan_says_what_stays_and_what_throttles():
    text = "\n".join(plan.lines(stack(PackAfter="0", ThrottleRate="4"), SETTINGS))

    assert "the orders stay packed, paid and sold" in text
    assert "50 users send up to 5 orders a second, and ThrottleRate is 4" in text


def test_the_quantities_of_an_order_are_those_of_the_benchmarks():
    # GIVEN the quantities that the benchmarks have measured
    page = (ROOT / "docs/reference/benchmarks.md").read_text()
    table = page[page.index("| per order | chain |") :].partition("\n\n")[0].splitlines()[2:]
    measured = {cells[1].strip(): float(cells[4]) for line in table if (cells := line.split("|"))}
    units = {
        "http_api_request": "requests (of 512 KB)",
        "lambda_request": "requests",
        "lambda_gb_second": "GB-seconds (arm64)",
        "dynamodb_write": "write request units (on demand)",
        "dynamodb_read": "read request units (on demand)",
        "eventbridge_event": "custom events (of 64 KB)",
        "sqs_request": "requests (standard queue, of 64 KB)",
        "ses_mail": "mails",
        "logs_gb": "GB ingested",
    }
    # THEN the plan has as much or a little more. X-Ray is sampled, by the rate; the plan has all traces
    assert plan.ORDER.keys() - units.keys() == {"xray_trace"}
    # A load test can be too slow for batches, so in the plan each event has an invocation
    life = page[page.index("| request | 1 |") :].partition("| **all** |")[0].splitlines()
    measured["requests"] = float(len(life))
    for name, unit in units.items():
        assert measured[unit] <= plan.ORDER[name] <= 2 * measured[unit], name
    assert plan.ORDER["xray_trace"] >= plan.ORDER["lambda_request"]
    assert plan.ORDER.keys() <= prices.PRICES.keys()


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def handoff(monkeypatch):
    """Run the command on a stack for tests."""
    monkeypatch.setattr(Target, "deployment", lambda self: stack())
    monkeypatch.setattr("ops.load.run.LoadTest.run", lambda self: pytest.fail("the load was sent"))
    return lambda *arguments, **given: CliRunner().invoke(cli.main, ["load", *arguments], **given)


def test_it_asks_before_it_sends_anything(handoff):
    done = handoff(input="n\n")

    assert done.exit_code == 1
    assert "Send the orders? [y/N]" in done.output


def test_a_plan_sends_nothing(handoff):
    done = handoff("--plan", "--users", "5")

    assert done.exit_code == 0
    assert "https://aws.amazon.com/lambda/pricing/" in done.output


@pytest.mark.parametrize("users", ["", "0", "1,,2", "ten", "1001"])
def test_a_wrong_number_of_users_is_refused(handoff, users):
    done = handoff("--users", users)

    assert done.exit_code == 2
    assert "is not numbers from 1 to 1000" in done.output


# --- the table --------------------------------------------------------------------------------------------------------

LEVEL = Level(10, 20.0, {"201": [100.0] * 99 + [900.0], "503": [5.0] * 25}, 42, 3.2, Lag("emails", 2_400.0))


def shown(*levels):
    console = Console(width=120)
    with console.capture() as captured:
        console.print(report.table(levels, SETTINGS))
    return [line.split() for line in captured.get().splitlines()]


def test_the_table_has_the_figures_of_each_number_of_users():
    titles, row = shown(LEVEL)

    assert " ".join(titles) == "USERS ORDERS/S P50 (MS) P95 P99 AVAILABILITY BACKLOG LAG P95 (S) DRAINED (S)"
    assert row == ["10", "5.00", "100", "100", "108", "80.0", "%", "42", "2.4", "emails", "3"]


def test_a_backlog_that_did_not_drain_and_an_unknown_lag_are_shown_as_such():
    _, row = shown(Level(1, 20.0, {"201": [100.0]}, 42, None, None))

    assert row[-3:] == ["-", ">", "300"]


def test_without_an_answer_there_are_no_figures():
    _, row = shown(Level(1, 20.0, {}, 0, 0.0, None))

    assert row[:6] == ["1", "0.00", "nan", "nan", "nan", "nan"]


def test_the_notes_say_where_the_users_ran_and_which_answers_failed():
    test = SimpleNamespace(settings=SETTINGS, levels=[LEVEL], stage=SimpleNamespace(deployment=stack()))
    text = "\n".join(report.notes(test, {"host": "laptop", "cores": 4, "connectMs": 23.4}))

    assert (
        "The users ran on laptop (4 cores). Times include the network: a TCP connection to the API took 23 ms." in text
    )
    assert "The first 10 s of each row are not in the figures." in text
    assert "Answers other than 201: 25 x 503." in text


def test_percentiles_of_few_times():
    assert percentiles([7.0]) == (7.0, 7.0, 7.0)
