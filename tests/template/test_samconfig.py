"""samconfig.toml: parameters that the deployments set, and parameters that they must not change."""

import re
import tomllib
from typing import Any

import pytest

from dev.template import ROOT, Template, source, template_with

CONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())
DEPLOYMENTS = [name for name, value in CONFIG.items() if isinstance(value, dict)]
ON_AWS = [name for name in DEPLOYMENTS if name != "local"]


def overrides(deployment: str) -> dict[str, str]:
    """Return the parameters that a deployment sets."""
    given: Any = CONFIG[deployment]["deploy"]["parameters"].get("parameter_overrides", [])
    return dict(pair.split("=", 1) for pair in (given.split() if isinstance(given, str) else given))


def deployed(deployment: str) -> Template:
    """Return the template with the parameters of this deployment."""
    return template_with(**overrides(deployment))


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_a_deployment_sets_existing_parameters_to_allowed_values(deployment: str) -> None:
    declared = source()["Parameters"]
    for name, value in overrides(deployment).items():
        assert value in map(str, declared[name].get("AllowedValues", [value]))
        assert re.fullmatch(declared[name].get("AllowedPattern", ".*"), value)
        assert declared[name]["Type"] == "String" or float(value) >= declared[name].get("MinValue", 0)


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_a_deployment_has_every_function(deployment: str) -> None:
    # A reference to a resource whose condition is false would have failed.
    assert deployed(deployment).functions().keys() == template_with().functions().keys()


def test_production_keeps_its_data() -> None:
    tables = deployed("prod").of_type("AWS::DynamoDB::Table")
    kept = {name for name, table in tables.items() if table.get("DeletionProtectionEnabled")}
    assert kept == tables.keys() - {"SandboxTable", "LimitsTable"}


@pytest.mark.parametrize("deployment", ON_AWS)
def test_only_the_local_stack_allows_plain_http_to_queues(deployment: str) -> None:
    policies = deployed(deployment).of_type("AWS::SQS::QueuePolicy").values()
    queues = deployed(deployment).of_type("AWS::SQS::Queue")
    denying = [
        policy
        for policy in policies
        if any(statement["Effect"] == "Deny" for statement in policy["PolicyDocument"]["Statement"])
    ]
    assert len(denying) == len(queues)


@pytest.mark.parametrize("deployment", ON_AWS)
def test_only_the_local_stack_may_send_mail_as_any_identity(deployment: str) -> None:
    role = deployed(deployment).resources["EmailsRole"]["Properties"]
    (sending,) = (
        statement
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Action"] == "ses:SendEmail"
    )
    assert sending["Resource"] != "*"
    assert "ses:FromAddress" in sending["Condition"]["StringEquals"]


def test_production_accepts_no_plain_passwords() -> None:
    assert deployed("prod").parameters["PasswordSignIn"] == "false"


@pytest.mark.parametrize("parameter", ["MailFrom", "AlarmEmail", "PaymentProvider", "StripeSecret"])
def test_the_shops_own_parameters_are_documented_and_never_reset(parameter: str) -> None:
    # GIVEN the first step of the page on deploying
    step = (ROOT / "docs/how-to/deploy-from-github.md").read_text().partition("\n1. ")[2].partition("\n2. ")[0]
    # THEN it sets the parameter
    assert f" {parameter}=" in step
    # AND samconfig.toml, which applies to each deployment, does not reset it to its default
    assert overrides("prod").get(parameter) != source()["Parameters"][parameter]["Default"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_code_is_uploaded_under_the_prefix_that_the_stacks_role_allows(deployment: str) -> None:
    config = CONFIG[deployment]["deploy"]["parameters"]
    assert config["s3_prefix"] == config["stack_name"]


def test_production_deploys_only_files_that_its_own_job_has_uploaded() -> None:
    assert CONFIG["prod"]["deploy"]["parameters"]["force_upload"] is True


def test_deployments_do_not_share_a_stack() -> None:
    names = [CONFIG[deployment]["deploy"]["parameters"]["stack_name"] for deployment in DEPLOYMENTS]
    assert len(set(names)) == len(names)
