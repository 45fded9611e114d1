"""Tables: billing, backups, encryption, keys, and what happens to them when the stack is deleted."""

import inspect

from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer

from dev.template import ROOT, Template, template_with
from shop.limits import Limits
from shop.model import Order

# Deleted with the stack: the sandbox payment provider's ledger holds no money, and counts are good for an hour.
DISPOSABLE = {"SandboxTable", "LimitsTable"}
KEYS = {
    "OrdersTable": ["orderId"],
    "ProductsTable": ["sku"],
    "CustomersTable": ["userId"],
    "ShipmentsTable": ["orderId"],
    "SalesTable": ["bucketId", "entry"],
    "IdempotencyTable": ["id"],
    "LimitsTable": ["id"],
    "SandboxTable": ["key"],
}


def keys(described: dict) -> list[str]:
    """Return the names of a table's or an index's keys, the partition key first."""
    assert [key["KeyType"] for key in described["KeySchema"]] == ["HASH", "RANGE"][: len(described["KeySchema"])]
    return [key["AttributeName"] for key in described["KeySchema"]]


def test_tables_are_billed_on_demand(template: Template, table_id: str) -> None:
    table = template.of_type("AWS::DynamoDB::Table")[table_id]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert "ProvisionedThroughput" not in table


def test_tables_can_be_restored_to_any_point_in_time(template: Template, table_id: str) -> None:
    table = template.of_type("AWS::DynamoDB::Table")[table_id]
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_tables_are_encrypted(template: Template, table_id: str) -> None:
    assert template.of_type("AWS::DynamoDB::Table")[table_id]["SSESpecification"] == {"SSEEnabled": True}


def test_tables_have_no_fixed_names_so_they_can_be_replaced(template: Template, table_id: str) -> None:
    assert "TableName" not in template.of_type("AWS::DynamoDB::Table")[table_id]


def test_data_is_retained_and_protected_by_default(template: Template) -> None:
    kept = template.of_type("AWS::DynamoDB::Table").keys() - DISPOSABLE
    for table in (template.resources[name] for name in kept):
        assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
        assert table["Properties"]["DeletionProtectionEnabled"] is True


def test_data_policy_delete_removes_data_with_the_stack(table_id: str) -> None:
    table = template_with(DataPolicy="Delete").resources[table_id]
    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Delete"
    assert table["Properties"].get("DeletionProtectionEnabled", False) is False


def test_tables_have_the_expected_keys(template: Template) -> None:
    found = {name: keys(table) for name, table in template.of_type("AWS::DynamoDB::Table").items()}
    assert {name: found.get(name) for name in KEYS} == KEYS


def test_every_declared_attribute_is_used_by_a_key(template: Template, table_id: str) -> None:
    # CloudFormation rejects it, but only at deployment.
    table = template.of_type("AWS::DynamoDB::Table")[table_id]
    used = {key for described in (table, *table.get("GlobalSecondaryIndexes", [])) for key in keys(described)}
    assert {attribute["AttributeName"] for attribute in table["AttributeDefinitions"]} == used


def test_the_index_of_orders_by_user_has_what_the_list_shows(template: Template) -> None:
    index = indexes(template)["byUser"]
    assert keys(index) == ["userId", "placedAt"]
    projected = {*keys(index), "orderId", *index["Projection"]["NonKeyAttributes"]}
    assert projected == {"orderId", "userId", "placedAt", "status", "total", "currency"}


def test_the_index_of_unfinished_work_is_by_shard_and_due_time(template: Template) -> None:
    index = indexes(template)["unfinished"]
    assert keys(index) == ["unfinished", "dueAt"]
    assert index["Projection"] == {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["unfinishedSince"]}


def test_the_index_of_unplaced_orders_has_what_the_list_shows(template: Template) -> None:
    by_user, unplaced = (indexes(template)[name] for name in ("byUser", "unplaced"))
    assert keys(unplaced) == ["userId", "unplacedSince"]
    assert unplaced["Projection"] == by_user["Projection"]


def test_the_index_of_orders_by_time_is_for_programs_that_look_orders_up(template: Template) -> None:
    assert "byTime" not in indexes(template)
    index = indexes(template_with(OrdersReadAccess="true"))["byTime"]
    assert keys(index) == ["timeBucket", "timeEntry"]
    assert set(index["Projection"]["NonKeyAttributes"]) == {"userId", "placedAt", "status", "total", "currency"}


def test_the_index_of_open_shipments_is_by_time_and_has_the_latest_time_to_pack(template: Template) -> None:
    (index,) = template.of_type("AWS::DynamoDB::Table")["ShipmentsTable"]["GlobalSecondaryIndexes"]
    assert (index["IndexName"], keys(index)) == ("open", ["openKey", "openSince"])
    assert index["Projection"] == {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["packBy"]}


def test_there_are_no_other_indexes(template: Template) -> None:
    assert indexes(template).keys() == {"byUser", "unplaced", "unfinished"}
    tables = template.of_type("AWS::DynamoDB::Table")
    assert [index["IndexName"] for index in tables["CustomersTable"]["GlobalSecondaryIndexes"]] == ["unfinished"]
    others = tables.keys() - {"OrdersTable", "CustomersTable", "ShipmentsTable"}
    assert not any("GlobalSecondaryIndexes" in tables[name] for name in others)


def test_mail_records_expire_by_the_attribute_of_powertools(template: Template) -> None:
    # GIVEN Powertools' default names of the attributes, which the emails function uses
    defaults = inspect.signature(DynamoDBPersistenceLayer.__init__).parameters
    assert "_attr" not in (ROOT / "functions/emails/emails.py").read_text()
    # THEN the table has the same names
    table = template.of_type("AWS::DynamoDB::Table")["IdempotencyTable"]
    assert keys(table) == [defaults["key_attr"].default]
    assert table["TimeToLiveSpecification"] == {"AttributeName": defaults["expiry_attr"].default, "Enabled": True}


def test_only_rejected_orders_and_counts_expire_besides(template: Template) -> None:
    expiring = {
        name: table["TimeToLiveSpecification"]
        for name, table in template.of_type("AWS::DynamoDB::Table").items()
        if "TimeToLiveSpecification" in table and name != "IdempotencyTable"
    }
    assert expiring == {name: {"AttributeName": "expireAt", "Enabled": True} for name in ("OrdersTable", "LimitsTable")}
    # AND it is the attribute that the stores write
    assert Order.model_fields["expire_at"].alias == "expireAt"
    (written,) = Limits(table="limits", orders=1, declines=1).reserving("user")
    assert "expireAt" in written["Update"]["ExpressionAttributeNames"].values()


def test_without_the_sandbox_there_is_no_ledger() -> None:
    # GIVEN a deployment with another provider
    template = template_with(PaymentProvider="another")
    # THEN nothing refers to the sandbox's table, which would have failed
    assert "SandboxTable" not in template.resources
    assert all(
        function["Environment"]["Variables"]["SANDBOX_TABLE"] == "" for function in template.functions().values()
    )


def indexes(template: Template) -> dict[str, dict]:
    """Return the indexes of the orders table, by name."""
    table = template.of_type("AWS::DynamoDB::Table")["OrdersTable"]
    return {index["IndexName"]: index for index in table["GlobalSecondaryIndexes"]}
