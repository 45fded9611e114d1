"""When `make rights` takes a right for needed, and what it takes away."""

import pytest

from tests.rights.grants import Right, spoken
from tests.rights.trial import Trial

RIGHT = Right("OrdersRole", "dynamodb:PutItem", "OrdersTable")


def trial(**values: object) -> Trial:
    """A trial that shows that the right is needed, but for these values."""
    shown = {
        "wanted": "201",
        "without": "503",
        "denied": frozenset({"dynamodb:PutItem"}),
        "back": "201",
        "still_denied": frozenset(),
    }
    return Trial(right=RIGHT, **(shown | values))  # type: ignore[arg-type]


def test_a_right_without_which_the_work_fails_for_want_of_it_is_needed() -> None:
    assert trial().complaint == ""


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"without": "201"}, "all is as with it"),
        ({"denied": frozenset()}, "was denied nothing"),
        ({"denied": frozenset({"dynamodb:GetItem"})}, "was denied dynamodb:GetItem"),
        ({"denied": frozenset({"dynamodb:GetItem", "dynamodb:PutItem"})}, "was denied dynamodb:GetItem, dynamodb:Put"),
        ({"back": "503"}, "with it back, it is 503, not 201"),
        ({"still_denied": frozenset({"dynamodb:PutItem"})}, "denied: ['dynamodb:PutItem']"),
    ],
)
def test_anything_else_proves_nothing(values: dict[str, object], complaint: str) -> None:
    assert complaint in trial(**values).complaint


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        ("${OrdersTable.Arn}", "OrdersTable"),
        ("${OrdersTable.Arn}/index/byUser", "OrdersTable/index/byUser"),
        ("arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:identity/*", "identity/*"),
        (
            "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:configuration-set/${MailConfiguration}",
            "configuration-set/MailConfiguration",
        ),
        ("*", "*"),
    ],
)
def test_a_resource_is_called_by_its_name_in_the_template(resource: str, name: str) -> None:
    assert spoken(resource) == name
