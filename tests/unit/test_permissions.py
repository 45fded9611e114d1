"""`make permissions`: which results prove that a permission is needed, and the names of resources."""

import pytest

from tests.permissions.grants import Permission, resource_name
from tests.permissions.trial import Trial

PERMISSION = Permission("OrdersRole", "dynamodb:PutItem", "OrdersTable")


def trial(**values: object) -> Trial:
    """Return a trial that proves that the permission is needed, except for these values."""
    shown = {
        "wanted": "201",
        "without": "503",
        "denied": frozenset({"dynamodb:PutItem"}),
        "restored": "201",
        "still_denied": frozenset(),
    }
    return Trial(permission=PERMISSION, **(shown | values))  # type: ignore[arg-type]


def test_a_permission_is_needed_if_its_removal_is_denied_and_changes_the_result() -> None:
    assert trial().objection == ""


@pytest.mark.parametrize(
    ("values", "objection"),
    [
        ({"without": "201"}, "the result is the same"),
        ({"denied": frozenset()}, "was denied nothing"),
        ({"denied": frozenset({"dynamodb:GetItem"})}, "was denied dynamodb:GetItem"),
        ({"denied": frozenset({"dynamodb:GetItem", "dynamodb:PutItem"})}, "was denied dynamodb:GetItem, dynamodb:Put"),
        ({"restored": "503"}, "restored, the result is 503, not 201"),
        ({"still_denied": frozenset({"dynamodb:PutItem"})}, "denied: ['dynamodb:PutItem']"),
    ],
)
def test_any_other_trial_proves_nothing(values: dict[str, object], objection: str) -> None:
    assert objection in trial(**values).objection


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
def test_a_resource_has_its_name_in_the_template(resource: str, name: str) -> None:
    assert resource_name(resource) == name
