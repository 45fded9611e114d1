"""`handoff preflight`: each check in each of its outcomes, against moto and answers that moto does not give."""

import json
import os
import stat
import sys
from dataclasses import replace
from functools import cache

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from click.testing import CliRunner
from moto import mock_aws

from dev.template import ROOT, WITH_PARTNER, template_with
from ops.cli import main as cli
from ops.preflight import names
from ops.preflight.check import Outcome
from ops.preflight.plan import Plan, PlanError, plan
from ops.preflight.run import run
from tests.support.aws_answers import AwsAnswers, refusal

REGION = "eu-central-1"
SENDER = "shop@shop.example.org"
BASE = f"DataPolicy=Retain MailFrom={SENDER}"
STRIPE = f"{BASE} PaymentProvider=stripe StripeSecret=shop/stripe"
PARTNER = f"{BASE} " + " ".join(f"{name}={value}" for name, value in WITH_PARTNER.items())
BUS, LOG = "event bus handoff-prod-bus", "log group /aws/events/handoff-prod"
PRODUCTION = {
    "ProductionAccessEnabled": True,
    "SendingEnabled": True,
    "EnforcementStatus": "HEALTHY",
    "SendQuota": {"MaxSendRate": 14.0},
}


@cache
def planned(overrides: str = BASE) -> Plan:
    """A plan for prod with these parameters; SAM takes a second for each."""
    return plan(ROOT, "prod", overrides)


def clean(monkeypatch):
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "PYTHON_VERSION", "PYTHON_PLATFORM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def aws(monkeypatch):
    """An account in which all checks pass."""
    clean(monkeypatch)
    aws = AwsAnswers()
    monkeypatch.setattr(boto3, "Session", aws.session)
    aws.answers = {
        "cloudformation.DescribeType": lambda request: {"TypeName": request["TypeName"]},
        "lambda.GetAccountSettings": executions(1000, 1000),
        "sesv2.GetAccount": PRODUCTION,
        "sesv2.GetEmailIdentity": lambda request: (
            {"VerifiedForSendingStatus": True} if request["EmailIdentity"] == SENDER else refusal("NotFoundException")
        ),
    }
    with mock_aws():
        yield aws


@pytest.fixture(autouse=True)
def tools(tmp_path, monkeypatch):
    """A folder on PATH with the build tools, of which uv finds a Python."""
    for name, script in {"sam": "exit 0", "uv": f"echo {sys.executable}"}.items():
        tool(tmp_path / name, script)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def tool(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def executions(total, unreserved):
    return {"AccountLimit": {"ConcurrentExecutions": total, "UnreservedConcurrentExecutions": unreserved}}


def findings(overrides=BASE, region=REGION):
    """The finding of each check by its name."""
    return {check.what: check.finding for check in run(planned(overrides), region)}


def found(what, overrides=BASE):
    """The outcome of one check, and the text that it shows."""
    finding = findings(overrides)[what]
    return finding.outcome, f"{finding.seen} -> {finding.fix}"


# --- the whole --------------------------------------------------------------------------------------------------------


def test_an_account_with_all_that_is_needed_passes(aws):
    for overrides in (BASE, "DataPolicy=Retain OwnKey=true Canary=true MailFrom=" + SENDER):
        not_passed = {what: finding for what, finding in findings(overrides).items() if finding.outcome != "passed"}
        assert not_passed == {}


def test_nothing_is_changed(aws):
    secret("shop/stripe", "sk_live_1")
    findings(STRIPE)
    verbs = ("Get", "List", "Describe")
    asked = [operation.partition(".")[2] for operation in aws.asked if operation != "secretsmanager.CreateSecret"]
    assert len(asked) > 30
    assert [operation for operation in asked if not operation.startswith(verbs)] == []


@pytest.mark.parametrize(
    ("operation", "permission", "checks"),
    [
        ("cloudformation.DescribeStacks", "cloudformation:DescribeStacks", {"stack", BUS, "Lambda's concurrency"}),
        ("cloudformation.DescribeType", "cloudformation:DescribeType", {"resource types"}),
        ("events.DescribeEventBus", "events:DescribeEventBus", {BUS}),
        ("lambda.GetAccountSettings", "lambda:GetAccountSettings", {"Lambda's concurrency"}),
        ("logs.DescribeLogGroups", "logs:DescribeLogGroups", {LOG}),
        ("logs.DescribeResourcePolicies", "logs:DescribeResourcePolicies", {"log policies"}),
        ("resourcegroupstaggingapi.GetResources", "tag:GetResources", {"resources left"}),
        ("scheduler.GetSchedule", "scheduler:GetSchedule", {"schedule handoff-prod-sweeper"}),
        ("secretsmanager.GetSecretValue", "secretsmanager:GetSecretValue", {"secret of StripeSecret"}),
        ("sesv2.GetAccount", "ses:GetAccount", {"SES sandbox", "sending rate"}),
        ("sesv2.GetConfigurationSet", "ses:GetConfigurationSet", {"configuration set handoff-prod-mail"}),
        ("sesv2.GetEmailIdentity", "ses:GetEmailIdentity", {"sender of mails"}),
    ],
)
def test_a_check_without_permission_is_not_made_and_names_it(operation, permission, checks, aws):
    secret("shop/stripe", "sk_live_1")
    aws.answers[operation] = refusal("AccessDeniedException", f"User x is not authorized to perform: {permission} on y")
    seen = findings(STRIPE)
    for what in checks:
        assert seen[what].outcome is Outcome.UNKNOWN
        assert permission in seen[what].fix
    # AND the permission is in the list of those that the page on deploying asks for
    assert f"`{permission}`" in (ROOT / "docs/how-to/deploy.md").read_text()
    # AND the other checks are made, as far as they do not need this answer
    if operation != "cloudformation.DescribeStacks":
        assert {what for what, finding in seen.items() if finding.outcome is Outcome.UNKNOWN} == checks


def test_all_permissions_are_tested_and_in_the_documentation(aws):
    secret("shop/stripe", "sk_live_1")
    findings(f"{STRIPE} OwnKey=true")
    asked = set(aws.asked) - {"sts.GetCallerIdentity", "secretsmanager.CreateSecret", "kms.ListAliases"}
    (mark,) = [
        mark
        for mark in test_a_check_without_permission_is_not_made_and_names_it.pytestmark
        if mark.name == "parametrize"
    ]
    assert asked == {operation for operation, *_ in mark.args[1]}
    assert "`kms:ListAliases`" in (ROOT / "docs/how-to/deploy.md").read_text()


def test_an_error_of_aws_leaves_a_check_open(aws):
    aws.answers["lambda.GetAccountSettings"] = refusal("ServiceException", "try later")
    assert found("Lambda's concurrency")[0] is Outcome.UNKNOWN


def test_a_service_that_does_not_answer_leaves_a_check_open(aws):
    aws.answers["sesv2.GetAccount"] = EndpointConnectionError(endpoint_url="https://email")
    outcome, text = found("SES sandbox")
    assert outcome is Outcome.UNKNOWN
    assert "https://email" in text


# --- credentials and region -------------------------------------------------------------------------------------------


@pytest.fixture
def signed_out(monkeypatch, tmp_path):
    """No credentials at all, and no AWS."""
    clean(monkeypatch)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


def test_without_credentials_one_check_fails_and_the_others_are_not_made(signed_out):
    seen = findings()
    outcome, text = seen["credentials and region"].outcome, seen["credentials and region"]
    assert outcome is Outcome.FAILED
    assert "Unable to locate credentials" in text.seen
    assert "aws sso login" in text.fix
    # AND what needs no AWS is checked
    assert seen["parameters"].outcome is Outcome.PASSED
    after = list(seen)[list(seen).index("credentials and region") + 1 :]
    assert len(after) > 8
    assert {seen[what].outcome for what in after} == {Outcome.UNKNOWN}


@pytest.mark.parametrize(
    ("answer", "outcome", "word"),
    [
        (refusal("ExpiredToken"), Outcome.FAILED, "ExpiredToken"),
        (refusal("InvalidClientTokenId"), Outcome.FAILED, "enable this one"),
        (EndpointConnectionError(endpoint_url="https://sts"), Outcome.UNKNOWN, "could not be reached"),
    ],
)
def test_credentials_that_do_not_work(answer, outcome, word, aws):
    aws.answers["sts.GetCallerIdentity"] = answer
    seen = found("credentials and region")
    assert seen[0] is outcome
    assert word in seen[1]


def test_an_unknown_profile_is_a_failed_check(aws, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "unknown")
    outcome, text = found("credentials and region")
    assert outcome is Outcome.FAILED
    assert "(unknown)" in text


def test_no_region_is_a_failed_check(aws, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    finding = findings(region=None)["credentials and region"]
    assert finding.outcome is Outcome.FAILED
    assert "[prod.deploy.parameters]" in finding.fix


def test_a_mistyped_region_is_a_failed_check(aws):
    assert findings(region="eu central")["credentials and region"].outcome is Outcome.FAILED


# --- parameters and the stack's name ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        ("DataPolicy=Keep", "must be one of Retain, Delete"),
        ("Currency=euro", "must match"),
        ("StripeSecret=sk_live_pasted", "must be the secret's name"),
        ("ShipsTo=DE,uk", "must be up to 50 codes"),
        ("ShipsTo=DE,UK", "UK is not a country (use GB)"),
        (f"ShipsTo={','.join(['DE'] * 50)} StripeSecret={'s' * 128} PaymentProvider=stripe", "too long together"),
        ("ThrottleRate=0", "must be at least 1"),
        ("MailsPerSecond=many", "must be a number"),
        ("PaymentProvider=stripe", "needs StripeSecret"),
        ("PaymentProvider=stripe StripeSecret=s Currency=ISK", "does not support this Currency"),
        ("JwtIssuer=https://issuer.example.com", "JwtIssuer needs JwtAudience"),
    ],
)
def test_parameters_that_cloudformation_would_reject(overrides, word, signed_out):
    outcome, text = found("parameters", overrides)
    assert outcome is Outcome.FAILED
    assert word in text


@pytest.mark.parametrize(
    ("stack", "outcome"),
    [
        ("h" * 56, Outcome.PASSED),
        ("h" * 57, Outcome.FAILED),  # the schedule STACK-sweeper may have 64 characters
        ("handoff_prod", Outcome.FAILED),
        ("1handoff", Outcome.FAILED),
    ],
)
def test_a_stack_name_must_fit(stack, outcome, signed_out):
    checks = {check.what: check.finding for check in run(replace(planned(), stack=stack), REGION)}
    assert checks["stack name"].outcome is outcome
    if len(stack) == 57:
        assert f"the schedule {stack}-sweeper would have 65 characters" in checks["stack name"].seen


def test_every_fixed_name_of_the_template_is_checked():
    """A name that contains the stack's is fixed: a leftover of that name blocks the next attempt, or is shared."""
    # Overwritten, or not unique in the account.
    unblocking = {
        "AWS::ApiGatewayV2::Api",
        "AWS::CloudWatch::Dashboard",
        "AWS::Lambda::LayerVersion",
        "AWS::Logs::QueryDefinition",
        "AWS::Logs::ResourcePolicy",
    }
    template = planned(f"{PARTNER} OwnKey=true Canary=true").template
    fixed = {
        resource["Type"]
        for resource in template.resources.values()
        for attribute, value in resource.get("Properties", {}).items()
        if attribute.endswith("Name") and isinstance(value, str) and "${AWS::StackName}" in value
    }
    assert fixed - unblocking == names.KINDS.keys()


# --- the machine that builds ------------------------------------------------------------------------------------------


def test_missing_build_tools_are_named(signed_out, tools):
    (tools / "sam").unlink()
    (tools / "uv").unlink()
    seen = findings()
    assert seen["build tools"].outcome is Outcome.FAILED
    assert "sam, uv" in seen["build tools"].seen
    assert seen["bytecode of the layers"].outcome is Outcome.FAILED


def test_without_the_functions_python_the_layers_get_no_bytecode(signed_out, tools):
    tool(tools / "uv", 'echo "$@" >"$0.arguments"; exit 2')
    outcome, text = found("bytecode of the layers")
    assert outcome is Outcome.WARNING
    assert "Python 3.13 is not installed" in text
    assert (tools / "uv.arguments").read_text() == "python find 3.13\n"


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        (f"{BASE} Runtime=python3.12", "dependencies for PYTHON_VERSION 3.13"),
        (f"{BASE} Architecture=x86_64", "dependencies for PYTHON_PLATFORM aarch64-manylinux2014"),
    ],
)
def test_layers_for_another_runtime_are_a_failed_check(overrides, word, signed_out):
    outcome, text = found("layers", overrides)
    assert outcome is Outcome.FAILED
    assert word in text


def test_variables_of_the_environment_decide_what_layers_are_built_for(signed_out, monkeypatch):
    monkeypatch.setenv("PYTHON_VERSION", "3.12")
    assert found("layers", f"{BASE} Runtime=python3.12")[0] is Outcome.PASSED


# --- the stack, its names, leftovers --------------------------------------------------------------------------------


def described(status):
    return {"Stacks": [{"StackName": "handoff-prod", "StackStatus": status}]}


@pytest.mark.parametrize(
    ("status", "outcome", "word"),
    [
        ("REVIEW_IN_PROGRESS", Outcome.PASSED, "no stack has this name"),
        ("CREATE_COMPLETE", Outcome.PASSED, "is deployed"),
        ("ROLLBACK_COMPLETE", Outcome.FAILED, "handoff cleanup --failed-create --stack handoff-prod"),
        ("ROLLBACK_FAILED", Outcome.FAILED, "handoff cleanup --failed-create --stack handoff-prod"),
        ("UPDATE_IN_PROGRESS", Outcome.FAILED, "Wait"),
        ("UPDATE_ROLLBACK_FAILED", Outcome.FAILED, "continue-update-rollback"),
    ],
)
def test_the_state_of_the_stack(status, outcome, word, aws):
    aws.answers["cloudformation.DescribeStacks"] = described(status)
    seen = found("stack")
    assert seen[0] is outcome
    assert word in seen[1]


NAMED = {
    BUS: lambda client: client("events").create_event_bus(Name="handoff-prod-bus"),
    LOG: lambda client: client("logs").create_log_group(logGroupName="/aws/events/handoff-prod"),
    "configuration set handoff-prod-mail": lambda client: client("sesv2").create_configuration_set(
        ConfigurationSetName="handoff-prod-mail"
    ),
    "schedule handoff-prod-sweeper": lambda client: client("scheduler").create_schedule(
        Name="handoff-prod-sweeper",
        ScheduleExpression="rate(1 minute)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": "arn:aws:sqs:eu-central-1:123456789012:q", "RoleArn": "arn:aws:iam::123456789012:role/r"},
    ),
    "key alias alias/handoff-prod": lambda client: client("kms").create_alias(
        AliasName="alias/handoff-prod", TargetKeyId=client("kms").create_key()["KeyMetadata"]["KeyId"]
    ),
}


@pytest.mark.parametrize("what", NAMED)
def test_a_name_that_is_taken_is_a_failed_check_unless_the_stack_is_deployed(what, aws):
    overrides = f"{BASE} OwnKey=true"
    NAMED[what](lambda service: boto3.client(service, region_name=REGION))
    outcome, text = found(what, overrides)
    assert outcome is Outcome.FAILED
    assert "handoff cleanup --failed-create --stack handoff-prod" in text
    # BUT it may be the deployed stack's own
    aws.answers["cloudformation.DescribeStacks"] = described("CREATE_COMPLETE")
    assert found(what, overrides)[0] is Outcome.PASSED


def test_a_log_group_of_a_longer_name_is_another_one(aws):
    boto3.client("logs", region_name=REGION).create_log_group(logGroupName="/aws/events/handoff-prod-2")
    assert found(LOG)[0] is Outcome.PASSED


def test_resources_of_an_earlier_stack_are_a_warning(aws):
    asked = []
    arns = [f"arn:aws:dynamodb:eu-central-1:123456789012:table/t{number}" for number in range(5)]
    aws.answers["resourcegroupstaggingapi.GetResources"] = lambda request: (
        asked.append(request) or {"ResourceTagMappingList": [{"ResourceARN": arn, "Tags": []} for arn in arns]}
    )
    outcome, text = found("resources left")
    assert outcome is Outcome.WARNING
    assert "5 of an earlier stack" in text
    assert "and 2 more" in text
    assert asked[0]["TagFilters"] == [{"Key": "aws:cloudformation:stack-name", "Values": ["handoff-prod"]}]


# --- region and quotas ------------------------------------------------------------------------------------------------


def test_a_resource_type_that_the_region_lacks_is_named(aws):
    lacking = "AWS::SES::ConfigurationSet"
    aws.answers["cloudformation.DescribeType"] = lambda request: (
        refusal("TypeNotFoundException") if request["TypeName"] == lacking else {"TypeName": request["TypeName"]}
    )
    outcome, text = found("resource types")
    assert outcome is Outcome.FAILED
    assert f"{REGION} has no {lacking} ->" in text


def test_only_resource_types_of_the_parameters_are_asked_for(aws):
    asked = []
    aws.answers["cloudformation.DescribeType"] = lambda request: asked.append(request["TypeName"]) or {}
    findings()
    assert "AWS::KMS::Key" not in asked
    findings(f"{BASE} OwnKey=true")
    assert "AWS::KMS::Key" in asked
    # AND SAM's own types, which are in no region's registry, are not
    assert not [kind for kind in asked if kind.startswith("AWS::Serverless::")]


# Executions that the consumers may take.
_CONSUMERS = sum(found.mapping["ScalingConfig"]["MaximumConcurrency"] for found in template_with().consumers())


@pytest.mark.parametrize(
    ("concurrency", "account", "outcome"),
    [
        (0, executions(1000, 1000), Outcome.PASSED),
        (0, executions(10, 10), Outcome.FAILED),  # a new account
        (0, executions(1000, _CONSUMERS + 1), Outcome.FAILED),  # orders and sweeper need one each
        (0, executions(1000, _CONSUMERS + 2), Outcome.PASSED),
        (900, executions(1000, 1000), Outcome.PASSED),
        (901, executions(1000, 1000), Outcome.FAILED),
        (901, executions(2000, 1000), Outcome.FAILED),  # other functions have reservations
    ],
)
def test_concurrency_that_the_parameters_need(concurrency, account, outcome, aws):
    aws.answers["lambda.GetAccountSettings"] = account
    overrides = BASE + (f" ApiConcurrency={concurrency}" if concurrency else "")
    seen = found("Lambda's concurrency", overrides)
    assert seen[0] is outcome
    assert ("Service Quotas" in seen[1]) is (outcome is Outcome.FAILED)


def test_a_deployed_stack_has_reserved_its_concurrency_already(aws):
    aws.answers["cloudformation.DescribeStacks"] = described("CREATE_COMPLETE")
    aws.answers["lambda.GetAccountSettings"] = executions(1000, 100)
    assert found("Lambda's concurrency", f"{BASE} ApiConcurrency=900")[0] is Outcome.PASSED


def log_policies(count, delivery=""):
    names = [f"policy-{number}" for number in range(count)]
    policies = [{"policyName": name, "policyDocument": "{}"} for name in names]
    if delivery:
        policies.append({"policyName": "AWSLogDeliveryWrite20150319", "policyDocument": delivery})
    return {"resourcePolicies": policies}


def own_policies():
    return sum(found["Type"] == "AWS::Logs::ResourcePolicy" for found in planned().template.resources.values())


@pytest.mark.parametrize(
    ("count", "delivery", "outcome"),
    [
        (9, "", Outcome.PASSED),  # API Gateway creates the tenth
        (10, "", Outcome.FAILED),
        (9, "{}", Outcome.PASSED),
        (8, "x" * 5000, Outcome.WARNING),
        (8, "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/vendedlogs/*", Outcome.WARNING),
    ],
)
def test_log_policies_that_are_left(count, delivery, outcome, aws):
    own = own_policies()
    aws.answers["logs.DescribeResourcePolicies"] = log_policies(count - own, delivery)
    assert found("log policies")[0] is outcome


# --- mails ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("identities", "outcome", "word"),
    [
        ({SENDER: True}, Outcome.PASSED, SENDER),
        ({"shop.example.org": True}, Outcome.PASSED, "identity shop.example.org"),
        ({"example.org": True}, Outcome.PASSED, "identity example.org"),  # verified for its subdomains too
        ({SENDER: False, "example.org": True}, Outcome.PASSED, "identity example.org"),
        ({SENDER: False}, Outcome.FAILED, "not verified yet"),
        ({"other.example.org": True}, Outcome.FAILED, "Set MailFrom"),
    ],
)
def test_the_sender_must_be_verified(identities, outcome, word, aws):
    aws.answers["sesv2.GetEmailIdentity"] = lambda request: (
        {"VerifiedForSendingStatus": identities[request["EmailIdentity"]]}
        if request["EmailIdentity"] in identities
        else refusal("NotFoundException")
    )
    seen = found("sender of mails")
    assert seen[0] is outcome
    assert word in seen[1]


@pytest.mark.parametrize(
    ("account", "policy", "outcome"),
    [
        (PRODUCTION, "Retain", Outcome.PASSED),
        (PRODUCTION | {"ProductionAccessEnabled": False}, "Retain", Outcome.FAILED),
        (PRODUCTION | {"ProductionAccessEnabled": False}, "Delete", Outcome.WARNING),
        (PRODUCTION | {"SendingEnabled": False}, "Delete", Outcome.FAILED),
        (PRODUCTION | {"EnforcementStatus": "SHUTDOWN"}, "Delete", Outcome.FAILED),
    ],
)
def test_the_state_of_ses(account, policy, outcome, aws):
    aws.answers["sesv2.GetAccount"] = account
    assert found("SES sandbox", f"DataPolicy={policy} MailFrom={SENDER}")[0] is outcome


def test_in_the_sandbox_cognito_should_send_the_mails_of_sign_ups(aws):
    aws.answers["sesv2.GetAccount"] = PRODUCTION | {"ProductionAccessEnabled": False}
    assert "set SignUpMails=cognito" in found("SES sandbox")[1]
    assert "SignUpMails" not in found("SES sandbox", f"{BASE} SignUpMails=cognito")[1]


def test_the_sending_rate_must_be_one_that_ses_accepts(aws):
    aws.answers["sesv2.GetAccount"] = PRODUCTION | {"SendQuota": {"MaxSendRate": 1.0}}
    outcome, text = found("sending rate")
    assert outcome is Outcome.FAILED
    assert "Set MailsPerSecond=1" in text
    assert found("sending rate", f"{BASE} MailsPerSecond=1")[0] is Outcome.PASSED
    # AND a stack for tests works with mails that are delayed
    assert found("sending rate", f"DataPolicy=Delete MailFrom={SENDER}")[0] is Outcome.WARNING


# --- secrets ----------------------------------------------------------------------------------------------------------


def secret(name, text):
    boto3.client("secretsmanager", region_name=REGION).create_secret(Name=name, SecretString=text)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("sk_live_51abcDEF", Outcome.PASSED),
        ("rk_live_51abcDEF\n", Outcome.PASSED),
        ("sk_test_51abcDEF", Outcome.WARNING),  # a shop that keeps its data, with a test key
        ("pk_live_51abcDEF", Outcome.FAILED),
        ('{"key": "sk_live_51abcDEF"}', Outcome.FAILED),
        ('"sk_live_51abcDEF"', Outcome.FAILED),
    ],
)
def test_the_form_of_stripes_key_is_checked_and_the_key_never_shown(text, outcome, aws):
    secret("shop/stripe", text)
    seen = found("secret of StripeSecret", STRIPE)
    assert seen[0] is outcome
    assert "51abc" not in seen[1]


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Outcome.PASSED),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nwhsec_AfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", Outcome.PASSED),
        ("whsec_hidden", Outcome.FAILED),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Outcome.FAILED),
        ('{"apiKey": "hidden"}', Outcome.FAILED),  # as earlier releases wanted it
    ],
)
def test_the_form_of_the_partners_secret_is_checked(text, outcome, aws):
    secret("partner", text)
    seen = found("secret of PartnerSecret", PARTNER)
    assert seen[0] is outcome
    assert "hidden" not in seen[1]
    assert "MfKQ" not in seen[1]


def test_a_secret_that_does_not_exist_is_a_failed_check(aws):
    outcome, text = found("secret of StripeSecret", STRIPE)
    assert outcome is Outcome.FAILED
    assert "shop/stripe: there is no such secret" in text


@pytest.mark.parametrize("code", ["InvalidRequestException", "DecryptionFailure"])
def test_a_secret_that_cannot_be_used_is_a_failed_check(code, aws):
    aws.answers["secretsmanager.GetSecretValue"] = refusal(code)
    assert found("secret of StripeSecret", STRIPE)[0] is Outcome.FAILED


def test_a_parameter_without_its_secret_is_a_failed_check(aws):
    assert found("secret of StripeSecret", "PaymentProvider=stripe")[0] is Outcome.FAILED


# --- the command ------------------------------------------------------------------------------------------------------


def command(*arguments):
    return CliRunner().invoke(cli.main, ["preflight", *arguments])


def test_the_command_shows_each_check_and_fails_if_one_does(aws, monkeypatch):
    monkeypatch.chdir(ROOT)
    aws.answers["lambda.GetAccountSettings"] = executions(10, 10)
    result = command("--config-env", "prod", "--parameter-overrides", BASE, "--region", REGION)
    assert result.exit_code == 1
    assert [line.split(":")[0] for line in result.output.splitlines() if "ok  " not in line] == [
        "failed       Lambda's concurrency"
    ]
    assert " -> Request an increase" in result.output


def test_a_check_that_could_not_be_made_is_not_taken_for_passed(aws, monkeypatch):
    monkeypatch.chdir(ROOT)
    arguments = ("--config-env", "prod", "--parameter-overrides", BASE, "--region", REGION, "--json")
    assert command(*arguments).exit_code == 0
    aws.answers["sesv2.GetAccount"] = refusal("AccessDeniedException")
    result = command(*arguments)
    assert result.exit_code == 1
    by_outcome = {check["outcome"] for check in json.loads(result.output)}
    assert by_outcome == {"passed", "not checked"}


def test_the_command_answers_without_credentials(signed_out, monkeypatch):
    monkeypatch.chdir(ROOT)
    result = command("--region", REGION)
    assert result.exit_code == 1
    assert "credentials and region: Unable to locate credentials" in result.output
    assert isinstance(result.exception, SystemExit)


def test_the_command_outside_the_folder_says_where_to_run_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = command()
    assert result.exit_code == 1
    assert "There is no template.yaml in" in result.stderr
    assert os.fspath(tmp_path) in result.stderr


@pytest.mark.parametrize(
    ("environment", "overrides", "word"),
    [
        ("staging", None, "'staging'"),
        ("version", None, "'version'"),
        ("dev", "Nothing=1", "no parameter Nothing"),
        ("dev", "DataPolicy", "'DataPolicy' is not a parameter"),
        ("dev", "ParameterKey=DataPolicy,ParameterValue=Delete", "is not a parameter"),
    ],
)
def test_a_plan_that_does_not_exist_is_rejected(environment, overrides, word):
    with pytest.raises(PlanError, match=word):
        plan(ROOT, environment, overrides)


def test_overrides_replace_the_list_of_the_environment():
    assert plan(ROOT, "prod", None).parameter("LogDays") == "90"
    assert planned().parameter("LogDays") == "30"
