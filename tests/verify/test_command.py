"""The command `handoff verify`: its plan, its refusals, its report and its exit status."""

import json
import os
import signal
import tomllib

import pytest
from botocore.exceptions import EndpointConnectionError
from click.testing import CliRunner

from dev.template import ROOT
from ops import prices
from ops.cli import main as cli
from ops.cli import verify as command
from ops.cli.options import Target
from ops.smoke_order import CheckFailed
from ops.verify import checks
from ops.verify.check import Check, NotAvailable

WAYS = {"DataPolicy": "Retain", "PaymentProvider": "stripe"}


def check(key, run, **values):
    """A check of a test."""
    about = {"does": f"does {key}", "takes": "1 min", "needs": "sqs:SendMessage", "costs": {"http_api_request": 600}}
    return Check(key=key, name=f"the {key}", run=run, **about | values)


def passes(attempt):
    attempt.note("a note")
    return "all of it | seen"


def fails(attempt):
    raise CheckFailed("none of it")


def is_not_there(attempt):
    raise NotAvailable("no audit log")


@pytest.fixture
def verify(make_deployment, monkeypatch, tmp_path):
    """Run the command with the checks of a test on a stack with these parameters; return its result and its report."""

    def verify(*arguments, runs, parameters=None, status="UPDATE_COMPLETE", **given):
        deployment = make_deployment({}, parameters=parameters, status=status)
        monkeypatch.setattr(Target, "deployment", lambda self: deployment)
        monkeypatch.setattr(checks, "CHECKS", runs)
        monkeypatch.chdir(tmp_path)
        done = CliRunner().invoke(cli.main, ["verify", *arguments], **given)
        reports = list(tmp_path.rglob("report.json"))
        return done, json.loads(reports[0].read_text()) if reports else None

    return verify


def lose(**_):
    raise EndpointConnectionError(endpoint_url="https://aws")


def outcomes(report):
    return {found["name"]: found["outcome"] for found in report["checks"]}


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_it_shows_what_it_will_do_and_cost_and_asks(verify):
    ran = []
    runs = [
        check("order", ran.append, warning=lambda _: "warn them first"),
        check("audit", ran.append, obstacle=lambda _: "the stack has no AuditLog"),
    ]
    done, report = verify(runs=runs, input="n\n")
    assert done.exit_code == 1
    assert (ran, report) == ([], None)
    for text in (
        "  does order",
        "  takes 1 min, costs $0.0006 at most",
        "  needs sqs:SendMessage",
        "  warn them first",
        "  not available here: the stack has no AuditLog",
        "All in all it costs $0.01 at most",
        "https://aws.amazon.com/api-gateway/pricing/",
        "Run these checks?",
    ):
        assert text in done.output


def test_the_plan_alone_runs_nothing(verify):
    ran = []
    done, report = verify("--plan", runs=[check("order", ran.append)])
    assert (done.exit_code, ran, report) == (0, [], None)
    assert "Run these checks?" not in done.output


def test_every_check_can_be_chosen_and_has_a_price():
    assert tuple(found.key for found in checks.CHECKS) == command._KEYS
    for found in checks.CHECKS:
        assert set(found.costs) <= set(prices.PRICES)
        assert found.needs
    assert 0 < sum(prices.total(found.costs) for found in checks.CHECKS) < 0.10


def test_prices_are_those_of_the_benchmarks():
    known = tomllib.loads((ROOT / "bench/prices.toml").read_text())
    shared = prices.PRICES.keys() & known.keys()
    assert len(shared) >= 7
    for name in shared:
        ours = prices.PRICES[name]
        assert (ours.usd, ours.per, ours.page) == (known[name]["usd"], known[name]["per"], known[name]["page"])


def test_one_check_alone_can_be_run(verify):
    done, report = verify("--only", "audit", "--yes", runs=[check("order", fails), check("audit", passes)])
    assert done.exit_code == 0, done.output
    assert outcomes(report) == {"the audit": "passed"}


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WAYS)
def test_a_stack_for_production_is_refused(verify, name):
    ran = []
    done, report = verify("--yes", runs=[check("order", ran.append)], parameters={name: WAYS[name]})
    assert (done.exit_code, ran, report) == (1, [], None)
    assert f"is one for production ({name}={WAYS[name]})" in done.output
    assert "allow it with --production" in done.output


def test_a_stack_for_production_can_be_allowed(verify):
    done, report = verify("--yes", "--production", runs=[check("order", passes)], parameters=WAYS)
    assert (done.exit_code, outcomes(report)) == (0, {"the order": "passed"})


def test_a_stack_that_is_being_deployed_is_refused(verify):
    ran = []
    done, _ = verify("--yes", runs=[check("order", ran.append)], status="UPDATE_IN_PROGRESS")
    assert (done.exit_code, ran) == (1, [])
    assert "would roll back its canary" in done.output


def test_without_a_folder_for_the_report_nothing_is_done(verify, tmp_path):
    ran = []
    (tmp_path / "file").write_text("")
    done, _ = verify("--yes", "--report", "file/report", runs=[check("order", ran.append)])
    assert (done.exit_code, ran) == (1, [])
    assert "The folder of the report cannot be created" in done.output


# --- results and the report -------------------------------------------------------------------------------------------


def test_what_is_not_available_is_counted_and_no_failure(verify):
    done, report = verify("--yes", runs=[check("order", passes), check("audit", is_not_there)])
    assert done.exit_code == 0, done.output
    assert "1 passed, 1 not available here" in done.output
    assert outcomes(report) == {"the order": "passed", "the audit": "not available here"}


def test_a_failure_ends_with_status_1_and_the_others_run(verify):
    done, report = verify("--yes", runs=[check("order", fails), check("audit", passes)])
    assert done.exit_code == 1
    assert outcomes(report) == {"the order": "failed", "the audit": "passed"}


def test_the_report_names_the_answers_of_aws(verify, tmp_path):
    def asks(attempt):
        sqs = attempt.situation.deployment.sqs
        sqs.list_queues()
        sqs.list_queues()
        sqs.get_queue_url(QueueName="nothing")

    done, report = verify("--yes", "--report", "out", runs=[check("order", asks), check("audit", passes)])
    assert done.exit_code == 1
    (first, _) = report["checks"]
    assert "NonExistentQueue" in first["seen"]
    listed, refused = first["answers"]
    assert (listed["operation"], listed["status"], listed["count"]) == ("sqs:ListQueues", 200, 2)
    assert (refused["operation"], refused["status"]) == ("sqs:GetQueueUrl", 400)
    assert refused["error"].endswith("NonExistentQueue")
    assert all(answer["request_id"] for answer in first["answers"])
    # AND the page for people has the same
    page = (tmp_path / "out/report.md").read_text()
    assert page.startswith("# handoff verify: handoff-test on AWS\n")
    assert f"| sqs:GetQueueUrl | 1 | 400 | {refused['error']} | {refused['request_id']} |" in page
    assert "| the audit | passed | all of it \\| seen |" in page
    assert "- a note" in page
    assert "`DataPolicy=Delete`" in page


def test_a_request_without_an_answer_is_reported_as_such(verify, tmp_path):
    def asks(attempt):
        attempt.situation.deployment.session.events.register("before-send.sqs", lose)
        attempt.situation.deployment.sqs.list_queues()

    done, report = verify("--yes", "--report", "out", runs=[check("order", asks)])
    assert done.exit_code == 1
    (answer,) = report["checks"][0]["answers"]
    assert (answer["operation"], answer["status"], answer["error"]) == ("sqs:ListQueues", 0, "EndpointConnectionError")
    assert "| sqs:ListQueues | 1 | no answer | EndpointConnectionError |" in (tmp_path / "out/report.md").read_text()


def test_a_bug_leaves_the_report_of_what_was_done(verify):
    cleaned = []

    def breaks(attempt):
        attempt.undo("a queue", lambda: cleaned.append("queue"))
        raise KeyError("bug")

    done, report = verify("--yes", runs=[check("order", passes), check("audit", breaks)])
    assert isinstance(done.exception, KeyError)
    assert cleaned == ["queue"]
    assert outcomes(report) == {"the order": "passed"}


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_cleans_up_and_is_reported(verify, signum, status):
    cleaned = []

    def is_interrupted(attempt):
        attempt.undo("a queue", lambda: cleaned.append("queue"))
        attempt.undo("a subscription", lambda: cleaned.append("subscription"))
        os.kill(os.getpid(), signum)
        return "passed"

    done, report = verify("--yes", runs=[check("order", is_interrupted), check("audit", passes)])
    assert (done.exit_code, cleaned) == (status, ["subscription", "queue"])
    assert outcomes(report) == {"the order": "interrupted", "the audit": "not run"}
    assert "Report: handoff-verify-handoff-test-" in done.output


def test_what_was_left_behind_is_shown(verify):
    def leaves(attempt):
        attempt.undo("the queue q", lambda: fails(attempt))
        return "seen"

    done, report = verify("--yes", runs=[check("order", leaves)])
    assert done.exit_code == 1
    assert "left behind  the queue q: none of it" in done.output
    assert report["checks"][0]["left"] == ["the queue q: none of it"]
