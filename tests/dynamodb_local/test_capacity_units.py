"""The benchmark's capacity units equal those that AWS's own engine reports."""

from collections import Counter

import boto3
import pytest
from botocore import xform_name

from bench.scenarios import ANALYTICS, EMAILS, FULFILLMENT, MeteredShop, fresh_world

_TABLES = (
    "OrdersTable",
    "ProductsTable",
    "CustomersTable",
    "ShipmentsTable",
    "SalesTable",
    "IdempotencyTable",
    "LimitsTable",
)


@pytest.fixture(scope="module")
def recorded():
    """Run all scenarios in moto; return the tables with their items before it, and each call with its units."""
    with fresh_world() as world:
        shop = MeteredShop(world)
        client = world.client("dynamodb")
        names = {world.table(name): name for name in (*_TABLES, "SandboxTable")}
        tables = [client.describe_table(TableName=table)["Table"] for table in names]
        held = {table: client.scan(TableName=table)["Items"] for table in names}
        start = len(world.wire.calls)
        logs = list(_scenarios(shop))
        metered = [call for log in logs for call in log.calls]
        calls = world.wire.calls[start:]
        assert [call.name for call in calls] == [call.name for call in metered]
        return names, tables, held, list(zip(calls, metered, strict=True))


def _scenarios(shop):
    for lines in (1, 3, 50):
        yield shop.new_order(lines)[0]
    yield shop.new_order(3, key="again")[0]
    yield shop.new_order(3, key="again")[0]
    yield shop.new_order(3, token="tok_decline")[0]
    yield shop.out_of_stock()
    for function in (EMAILS, ANALYTICS, FULFILLMENT, FULFILLMENT, EMAILS):
        yield shop.deliver(function)
    log, order_id = shop.new_order(10)
    yield log
    yield shop.look_up(order_id)
    yield shop.list_orders()
    yield shop.cancel(order_id)
    for function in (EMAILS, ANALYTICS, FULFILLMENT):
        yield shop.deliver(function)
    yield shop.sweep()


@pytest.fixture
def engine(address, recorded):
    """DynamoDB Local with the same tables and items."""
    _, tables, held, _ = recorded
    keys = {"aws_access_key_id": "units", "aws_secret_access_key": "units", "region_name": "eu-central-1"}
    client = boto3.client("dynamodb", endpoint_url=address, **keys)
    for table in tables:
        client.create_table(**_definition(table))
        for item in held[table["TableName"]]:
            client.put_item(TableName=table["TableName"], Item=item)
    return client


def _definition(table):
    indexes = [
        {name: index[name] for name in ("IndexName", "KeySchema", "Projection")}
        for index in table.get("GlobalSecondaryIndexes", [])
    ]
    return {
        **{name: table[name] for name in ("TableName", "KeySchema", "AttributeDefinitions")},
        "BillingMode": "PAY_PER_REQUEST",
        **({"GlobalSecondaryIndexes": indexes} if indexes else {}),
    }


def _consumed(client, call, names):
    """Return the units of a call that the engine reports, by table and index.

    For a transaction it reports one item per table only, and doubles the units of indexes, which AWS does not do
    (measured by https://github.com/nubo-db/dynoxide/pull/188). So the writes run one by one, and the tables' units are
    doubled.
    """
    writes = call.request.get("TransactItems")
    if not writes:
        return _units(client, call.operation, call.request, names)
    units = Counter()
    for write in writes:
        ((kind, request),) = write.items()
        if kind == "ConditionCheck":
            units.update(_units(client, "TransactWriteItems", {"TransactItems": [write]}, names))
            continue
        for name, count in _units(client, f"{kind}Item", request, names).items():
            units[name] += count if "/" in name else 2 * count
    return dict(units)


def _units(client, operation, request, names):
    answer = getattr(client, xform_name(operation))(**request, ReturnConsumedCapacity="INDEXES")["ConsumedCapacity"]
    units = {}
    for table in answer if isinstance(answer, list) else [answer]:
        name = names[table["TableName"]]
        units[name] = table["Table"]["CapacityUnits"]
        for index, used in table.get("GlobalSecondaryIndexes", {}).items():
            units[f"{name}/{index}"] = used["CapacityUnits"]
    return {name: count for name, count in units.items() if count}


def test_computed_units_equal_the_units_of_the_engine(engine, recorded):
    names, _, _, calls = recorded
    done = [(call, metered) for call, metered in calls if call.service == "dynamodb" and call.status == 200]

    compared = [
        (metered.text, dict(Counter(metered.write_units) + Counter(metered.read_units)), _consumed(engine, call, names))
        for call, metered in done
    ]

    assert len(compared) > 40
    assert [which for which in compared if which[2] != {name: which[1].get(name) for name in which[2]}] == []
    # The engine reports nothing for a query without results or a missing item of a batch. AWS bills the smallest read.
    silent = {(text, name): units for text, ours, said in compared for name, units in ours.items() if name not in said}
    assert silent == {
        ("Query (customers)", "CustomersTable/unfinished"): 0.5,
        ("Query (shipments)", "ShipmentsTable/open"): 0.5,
        ("BatchGetItem (orders, sales)", "SalesTable"): 1.0,
    }
