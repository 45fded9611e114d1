"""DynamoDB's notation of values.

Instead of boto3's serializers: functions need nothing else of boto3, and importing it takes a sixth of a cold start.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

Item = Mapping[str, "AttributeValueTypeDef"]


def to_item(values: Mapping[str, Any]) -> dict[str, "AttributeValueTypeDef"]:
    """Return plain values in DynamoDB's notation.

    Raises
    ------
    TypeError
        If DynamoDB has no such type. It has none for a float, whose value may not fit into 38 decimal digits.
    """
    return {name: cast("AttributeValueTypeDef", _typed(value)) for name, value in values.items()}


def from_item(item: Item) -> dict[str, Any]:
    """Return values in DynamoDB's notation as plain values; numbers as int, which all stored numbers are."""
    return {name: _plain(value) for name, value in item.items()}


def _typed(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"S": value}
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):  # before int, which it is as well
        return {"BOOL": value}
    if isinstance(value, int | Decimal):
        return {"N": str(value)}
    if isinstance(value, Mapping):
        return {"M": to_item(value)}
    if isinstance(value, list | tuple):
        return {"L": [_typed(element) for element in value]}
    if isinstance(value, bytes | bytearray):
        return {"B": value}
    if isinstance(value, AbstractSet):
        return _typed_set(value)
    raise TypeError(f"DynamoDB has no type for a {type(value).__name__}")


def _typed_set(values: AbstractSet[Any]) -> dict[str, Any]:
    elements = [_typed(value) for value in values]
    kinds = {kind for element in elements for kind in element}
    if len(kinds) != 1 or not kinds <= {"S", "N", "B"}:
        raise TypeError("a set in DynamoDB has elements, which are all texts, all numbers or all bytes")
    (kind,) = kinds
    return {f"{kind}S": [element[kind] for element in elements]}


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)  # left for the model to reject


def _same(content: Any) -> Any:
    return content


_READERS: dict[str, Callable[[Any], Any]] = {
    "S": _same,
    "N": _number,
    "BOOL": _same,
    "NULL": lambda _: None,
    "M": from_item,
    "L": lambda elements: [_plain(element) for element in elements],
    "B": _same,
    "SS": set,
    "NS": lambda texts: {_number(text) for text in texts},
    "BS": set,
}


def _plain(value: Any) -> Any:
    ((kind, content),) = value.items()
    return _READERS[kind](content)
