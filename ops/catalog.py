"""Load products: add new ones; restock, reprice and delist existing ones."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from botocore.exceptions import ClientError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from handoff import aws
from handoff.attribute_values import from_item, to_item
from handoff.clock import Deadline
from handoff.update import Attr, Update
from shop import json_members, text
from shop.model import SKU
from shop.stock import item_sku

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

_WRITE_SECONDS = 20.0


def _one_line(value: str) -> str:
    problem = text.problem_of(value)
    if problem:
        raise PydanticCustomError("text", "{problem}", {"problem": problem})
    return text.normalized(value)


def _normal(value: str) -> str:
    normal = _one_line(value)
    if value != normal:  # a normal id could be one that is counted already, in another form
        raise PydanticCustomError(
            "text", "Has spaces around it, or letters and accents apart: write {id}", {"id": normal}
        )
    return value


class Strict(BaseModel):
    """A part of a catalog file, with exact types and no unknown fields."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, frozen=True)


class Delivery(Strict):
    """Units that arrived. The id keeps a delivery from being counted twice."""

    id: Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_normal)]
    units: int = Field(ge=1, le=10**9)


class Entry(Strict):
    """A product in a catalog file; ``unit_price`` in minor units.

    ``available`` is the initial stock of a new product. Only orders and a ``delivery`` change the stock of an existing
    one.
    """

    sku: Annotated[str, StringConstraints(pattern=SKU)]
    name: Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_one_line)]
    unit_price: int = Field(ge=0, le=10**9)
    available: int = Field(default=0, ge=0, le=10**9)
    listed: bool = True
    delivery: Delivery | None = None


class BadCatalog(Exception):
    """The file is not a valid catalog; the text lists the errors. Nothing was loaded."""


@dataclass
class Loaded:
    """The number of products that a load added and updated."""

    added: int = 0
    updated: int = 0

    @property
    def total(self) -> int:
        """All products."""
        return self.added + self.updated

    def __add__(self, other: "Loaded") -> "Loaded":
        return Loaded(self.added + other.added, self.updated + other.updated)


def read(file: Path) -> list[Entry]:
    """Return the entries of a catalog file, a JSON list of objects in UTF-8.

    Raises
    ------
    BadCatalog
        If the file is not one.
    """
    document = _decoded(file)
    try:
        entries = TypeAdapter(list[Entry]).validate_json(document)
    except ValidationError as error:
        problems = [f"  {'.'.join(map(str, p['loc'])) or 'file'}: {p['msg']}" for p in error.errors()]
        raise BadCatalog(f"{file} is not a valid catalog. Nothing was loaded.\n" + "\n".join(problems[:20])) from error
    duplicate = json_members.duplicate_in_list(document)
    if duplicate:
        name, line = duplicate
        raise BadCatalog(f"{file} has a product with {name} twice, in line {line}: keep one. Nothing was loaded.")
    check_unique(entries, file)
    return entries


def _decoded(file: Path) -> str:
    """Return the text of a file in UTF-8. A byte-order mark before it is ignored, as RFC 8259 (8.1) allows."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadCatalog(f"{file}: {error.strerror}") from error
    encoding = json.detect_encoding(content)
    if not encoding.startswith("utf-8"):
        raise BadCatalog(f"{file} is in {encoding.upper()}. Save it in UTF-8. Nothing was loaded.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = f"the byte 0x{content[error.start]:02x}, as in Windows-1252 or Latin-1"
        raise BadCatalog(
            f"{file} is not in UTF-8: line {line} has {byte}. Save it in UTF-8. Nothing was loaded."
        ) from error


def check_unique(entries: Iterable[Entry], file: Path) -> None:
    """Raise `BadCatalog` if a file has a product twice."""
    counts = Counter(entry.sku for entry in entries)
    duplicates = sorted(sku for sku, count in counts.items() if count > 1)
    if duplicates:
        raise BadCatalog(f"{file} has duplicate products: {', '.join(duplicates)}. Nothing was loaded.")


def load(client: "DynamoDBClient", table: str, entries: Sequence[Entry]) -> Loaded:
    """Write the entries; other products are unchanged. Idempotent.

    Call `count_deliveries` afterwards for their deliveries.
    """
    loaded = Loaded()
    for entry in entries:
        if _add(client, table, entry):
            loaded.added += 1
        else:
            _update(client, table, entry)
            loaded.updated += 1
    return loaded


def count_deliveries(client: "DynamoDBClient", table: str, markers: str, entries: Sequence[Entry]) -> int:
    """Add the entries' deliveries to the stock of their products; return how many were new.

    ``markers`` is the idempotency table. It keeps the id of each delivery permanently in a separate item, because a
    list in the product would grow with each delivery, and orders read and write the product. An earlier version did
    keep such a list, ``deliveries``; the ids in it are not counted again.

    Raises
    ------
    TransactionConflict
        If orders kept writing the same product. Call it again with the same entries: counted deliveries stay counted.
    """
    return sum(_restock(client, table, markers, entry.sku, entry.delivery) for entry in entries if entry.delivery)


def _if_condition_holds(write: Callable[[], object]) -> bool:
    try:
        write()
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            return False
        raise
    return True


def _add(client: "DynamoDBClient", table: str, entry: Entry) -> bool:
    item = entry.model_dump(by_alias=True, exclude={"delivery"})
    return _if_condition_holds(
        lambda: client.put_item(TableName=table, Item=to_item(item), ConditionExpression="attribute_not_exists(sku)")
    )


def _update(client: "DynamoDBClient", table: str, entry: Entry) -> None:
    """Change a product, then each of its shards. `ops.stock_shards` adds only shards that are like the product."""
    changed = client.update_item(
        TableName=table,
        Key=to_item({"sku": entry.sku}),
        UpdateExpression="SET #name = :name, unitPrice = :price, listed = :listed",
        ExpressionAttributeNames={"#name": "name"},
        ExpressionAttributeValues=to_item({":name": entry.name, ":price": entry.unit_price, ":listed": entry.listed}),
        ReturnValues="ALL_NEW",
    )
    for number in range(1, from_item(changed["Attributes"]).get("shards", 0) + 1):
        shard = Update(table, {"sku": item_sku(entry.sku, number)}).set("name", entry.name)
        shard.set("unitPrice", entry.unit_price).set("onSale", entry.listed).when(Attr("sku").exists())
        with suppress(aws.ConditionFailed):  # it was just removed
            aws.write(client, [shard.write()], Deadline(_WRITE_SECONDS))


def _restock(client: "DynamoDBClient", table: str, markers: str, sku: str, delivery: Delivery) -> bool:
    marker: TransactWriteItemTypeDef = {
        "Put": {
            "TableName": markers,
            "Item": to_item({"id": f"delivery#{sku}#{delivery.id}"}),  # without an expiry time
            "ConditionExpression": "attribute_not_exists(id)",
        }
    }
    stock: TransactWriteItemTypeDef = {
        "Update": {
            "TableName": table,
            "Key": to_item({"sku": sku}),
            "UpdateExpression": "ADD available :units",
            "ConditionExpression": "NOT contains(deliveries, :id)",
            "ExpressionAttributeValues": to_item({":units": delivery.units, ":id": delivery.id}),
        }
    }
    try:
        aws.write(client, [marker, stock], Deadline(_WRITE_SECONDS))
    except aws.ConditionFailed:  # the marker or the product has the id already
        return False
    return True
