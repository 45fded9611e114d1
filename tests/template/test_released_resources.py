"""No deployment loses data of an earlier one: no resource is renamed, replaced or left unprotected."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from dev.template import ROOT, WITH_PARTNER, WITH_PAYMENT_EVENTS, Template, logical_id, source, template_with
from tests.template import released_resources

RELEASED = released_resources.listed()
DEPLOYMENTS = released_resources.deployments()
# Types that must be retained when the stack is deleted or the resource replaced. A user pool's client can be recreated.
KEPT = released_resources.FIXED.keys() - {"AWS::Cognito::UserPoolClient"}
# Logs of functions and of the gateway expire after LogDays anyway, counts after hours, and the sandbox holds no money.
_FUNCTIONS = template_with(**WITH_PARTNER, **WITH_PAYMENT_EVENTS).functions()
_LOGS = {"ApiLogs", *(logical_id(function["LoggingConfig"]["LogGroup"]) for function in _FUNCTIONS.values())}
DISPOSABLE = {"SandboxTable", "LimitsTable"} | _LOGS


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_no_deployment_loses_a_released_resource(deployment: str) -> None:
    template = template_with(**DEPLOYMENTS[deployment])
    assert released_resources.lost(RELEASED, template, deployment) == []


def test_new_resources_are_on_the_list() -> None:
    missing = released_resources.current().keys() - RELEASED.keys()
    assert not missing, "protect them with .venv/bin/python -m tests.template.released_resources"


def test_the_list_has_the_format_of_the_command(tmp_path: Path) -> None:
    path = tmp_path / "released_resources.toml"
    path.write_text(released_resources.written(RELEASED))
    released_resources.extend(path)
    assert path.read_text() == released_resources.LIST.read_text()


def test_the_command_only_adds_to_the_list(tmp_path: Path) -> None:
    # GIVEN a list with a resource that the template lacks, and one with other properties than in the template
    path = tmp_path / "released_resources.toml"
    older: dict[str, Any] = copy.deepcopy(RELEASED)
    older["OldTable"] = older.pop("SalesTable")
    older["OrdersTable"]["fixed"]["TableName"] = '"orders"'
    path.write_text(released_resources.written(older))
    # WHEN it is extended
    released_resources.extend(path)
    # THEN both entries are unchanged, and the missing resource is added
    assert released_resources.listed(path) == older | {"SalesTable": RELEASED["SalesTable"]}


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("OrdersTable", None, "OrdersTable (AWS::DynamoDB::Table) is no longer in the stack"),
        ("OrdersTable", {"TableName": "orders"}, "OrdersTable.TableName has changed"),
        ("EmailsQueue", {"QueueName": "emails"}, "EmailsQueue.QueueName has changed"),
        ("UserPool", {"UsernameAttributes": ["phone_number"]}, "UserPool.UsernameAttributes has changed"),
        ("UserPool", {"UsernameAttributes": None}, "UserPool.UsernameAttributes has changed"),
        ("Bus", {"Name": "bus"}, "Bus.Name has changed"),
        ("AuditLog", {"LogGroupName": "/aws/events/audit"}, "AuditLog.LogGroupName has changed"),
        ("DataKey", None, "DataKey (AWS::KMS::Key) is no longer in the stack"),
        ("Archive", {"ArchiveName": "archive"}, "Archive.ArchiveName has changed"),
        (
            "SalesTable",
            {"KeySchema": [{"AttributeName": "bucketId", "KeyType": "HASH"}]},
            "SalesTable.KeySchema has changed",
        ),
        (
            "ProductsTable",
            {"AttributeDefinitions": [{"AttributeName": "sku", "AttributeType": "N"}]},
            "ProductsTable.AttributeTypes has changed",
        ),
    ],
)
def test_a_change_that_loses_data_is_reported(name: str, change: dict[str, Any] | None, complaint: str) -> None:
    # GIVEN a change that CloudFormation would apply without a warning
    template = Template(**DEPLOYMENTS["everything"])
    if change is None:
        del template.resources[name]
    else:
        properties = template.resources[name]["Properties"] | change
        template.resources[name]["Properties"] = {key: value for key, value in properties.items() if value is not None}
    # THEN it is reported, with its consequence
    reported = released_resources.lost(RELEASED, template, "everything")
    assert [text for text in reported if text.startswith(f"everything: {complaint}")]
    assert all(name in text for text in reported)


def test_adding_an_index_to_a_table_is_allowed() -> None:
    template = Template(**DEPLOYMENTS["prod"])
    table = template.resources["OrdersTable"]["Properties"]
    table["AttributeDefinitions"] = [*table["AttributeDefinitions"], {"AttributeName": "day", "AttributeType": "S"}]
    table["GlobalSecondaryIndexes"] = [*table["GlobalSecondaryIndexes"], {"IndexName": "byDay"}]
    assert released_resources.lost(RELEASED, template, "prod") == []


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_resources_with_data_are_retained(deployment: str) -> None:
    template = template_with(**(DEPLOYMENTS[deployment] | {"DataPolicy": "Retain"}))
    for name, resource in template.resources.items():
        if resource["Type"] in KEPT and name not in DISPOSABLE:
            assert resource.get("DeletionPolicy") in {"Retain", "RetainExceptOnCreate"}, name
            assert resource.get("UpdateReplacePolicy") == "Retain", name


# --- a first deployment that fails ------------------------------------------------------------------------------------


def left_behind(template: Template) -> dict[str, Any]:
    """Return the resources that CloudFormation keeps when the deployment that creates them is rolled back.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html
    """
    resources = template.resources.items()
    return {name: resource for name, resource in resources if resource.get("DeletionPolicy") == "Retain"}


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_a_failed_first_deployment_leaves_only_what_it_cannot_delete(deployment: str) -> None:
    # GIVEN that the rollback would fail at a table or a pool that is protected from deletion
    template = template_with(**(DEPLOYMENTS[deployment] | {"DataPolicy": "Retain"}))
    protected = {name for name, resource in template.resources.items() if _is_protected(resource["Properties"])}
    assert len(protected) >= 6
    # THEN it leaves these, and with OwnKey the key, without which their content is lost
    keys = {name for name, resource in template.resources.items() if resource["Type"] == "AWS::KMS::Key"}
    assert left_behind(template).keys() == protected | keys


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_nothing_that_is_left_behind_blocks_the_next_attempt(deployment: str) -> None:
    # GIVEN that a name can't be used twice, and that a bus can't be deleted while an archive's rule is on it
    template = template_with(**(DEPLOYMENTS[deployment] | {"DataPolicy": "Retain"}))
    for name, resource in left_behind(template).items():
        assert not [key for key in resource["Properties"] if key.endswith("Name") and key != "AttributeName"], name
        assert resource["Type"] in {"AWS::DynamoDB::Table", "AWS::Cognito::UserPool", "AWS::KMS::Key"}, name


def test_with_data_policy_delete_only_the_key_is_left_behind() -> None:
    assert left_behind(template_with(DataPolicy="Delete")) == {}
    assert left_behind(template_with(DataPolicy="Delete", OwnKey="true")).keys() == {"DataKey"}


def test_the_docs_list_what_a_failed_first_deployment_leaves_behind() -> None:
    page = (ROOT / "docs/how-to/deploy.md").read_text()
    section = page.partition("## After a failed first deployment\n")[2].partition("\n## ")[0]
    everything = template_with(**DEPLOYMENTS["everything"])
    named = set(re.findall(r"`(\w+)`", section)) & everything.resources.keys()
    # A consumer that a reader has added may have a table, too.
    assert named <= left_behind(everything).keys()
    assert named >= {*released_tables(), "UserPool", "DataKey"}
    assert len(named - {"DataKey"}) == 7
    assert "seven empty resources" in section


def released_tables() -> set[str]:
    """Return the tables of the shop itself: those that the architecture page describes."""
    page = (ROOT / "docs/architecture.md").read_text().partition("## Tables and indexes\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)) - DISPOSABLE


def _is_protected(properties: dict[str, Any]) -> bool:
    return properties.get("DeletionProtectionEnabled") is True or properties.get("DeletionProtection") == "ACTIVE"


# --- policies ---------------------------------------------------------------------------------------------------------


def test_sams_transform_is_the_only_one() -> None:
    # AWS::LanguageExtensions rejects a function as DeletionPolicy of a resource whose condition is false.
    assert source()["Transform"] == "AWS::Serverless-2016-10-31"


def test_production_retains_and_protects_its_data() -> None:
    assert DEPLOYMENTS["prod"]["DataPolicy"] == "Retain"
    template = template_with(**DEPLOYMENTS["prod"])
    assert template.resources["UserPool"]["Properties"]["DeletionProtection"] == "ACTIVE"
    for name, table in template.of_type("AWS::DynamoDB::Table").items():
        assert table.get("DeletionProtectionEnabled", False) is (name not in DISPOSABLE), name


def test_data_is_retained_by_default() -> None:
    assert source()["Parameters"]["DataPolicy"]["Default"] == "Retain"
