"""Conditions on an item of DynamoDB: ``Attr("state").eq("free") | Attr("state").not_exists()``.

The notation is boto3's, of which functions import nothing (see `handoff.attribute_values`). Source:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Condition:
    """An expression with a ``{}`` in the place of each value, and the attribute names behind its placeholders."""

    expression: str
    names: Mapping[str, str]
    values: tuple[Any, ...] = ()

    def __and__(self, other: "Condition") -> "Condition":
        """Return the condition that both hold."""
        return self._joined("AND", other)

    def __or__(self, other: "Condition") -> "Condition":
        """Return the condition that at least one holds."""
        return self._joined("OR", other)

    def _joined(self, word: str, other: "Condition") -> "Condition":
        expression = f"({self.expression} {word} {other.expression})"
        return Condition(expression, {**self.names, **other.names}, self.values + other.values)

    def with_placeholders(self) -> tuple[str, dict[str, Any]]:
        """Return the expression with placeholders of values, and the values behind them."""
        values = {f":when{n}": value for n, value in enumerate(self.values)}
        return self.expression.format(*values), values


class Operand:
    """The left side of a comparison: an attribute, or its size."""

    def __init__(self, expression: str, names: Mapping[str, str]) -> None:
        self._expression = expression
        self._names = names

    def eq(self, value: object) -> Condition:
        """It is equal to the value."""
        return self._compared("=", value)

    def ne(self, value: object) -> Condition:
        """It differs from the value."""
        return self._compared("<>", value)

    def lt(self, value: object) -> Condition:
        """It is less than the value."""
        return self._compared("<", value)

    def lte(self, value: object) -> Condition:
        """It is at most the value."""
        return self._compared("<=", value)

    def gt(self, value: object) -> Condition:
        """It is greater than the value."""
        return self._compared(">", value)

    def gte(self, value: object) -> Condition:
        """It is at least the value."""
        return self._compared(">=", value)

    def _compared(self, operator: str, value: object) -> Condition:
        return Condition(f"{self._expression} {operator} {{}}", self._names, (value,))


class Attr(Operand):
    """An attribute of an item; dots lead to a nested one (``outbox.3``)."""

    def __init__(self, path: str) -> None:
        super().__init__(*placeholders(path))

    def exists(self) -> Condition:
        """The item has the attribute."""
        return Condition(f"attribute_exists({self._expression})", self._names)

    def not_exists(self) -> Condition:
        """The item does not have the attribute."""
        return Condition(f"attribute_not_exists({self._expression})", self._names)

    def size(self) -> Operand:
        """Return the number of elements of a list, map or set, or the length of a text or of bytes."""
        return Operand(f"size({self._expression})", self._names)


def placeholders(path: str) -> tuple[str, dict[str, str]]:
    """Return a path with a placeholder per part, and the parts: attribute names may be reserved words or numbers."""
    parts = path.split(".")
    return ".".join(f"#{part}" for part in parts), {f"#{part}": part for part in parts}
