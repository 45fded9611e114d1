"""docs/reference/permissions.md says of routes and rights what the template says, and every right is accounted for."""

from pathlib import Path

import pytest

from tests.rights import catalog, grants, page, routes
from tests.rights.catalog import Told, Tried

TEXT = page.PAGE.read_text()
NOBODYS = {"GET /catalog", "GET /health", "GET /openapi.json", "$default"}


@pytest.mark.parametrize("name", ["routes", "rights", "policies"])
def test_the_tables_are_what_the_template_says(name: str) -> None:
    """If not: ``python -m tests.rights.page``, or for a new right ``make rights``."""
    assert page.in_page(TEXT)[name] == page.tables(page.seen_in(TEXT))[name].strip()


def test_writing_the_tables_again_changes_nothing(tmp_path: Path) -> None:
    copy = tmp_path / "security.md"
    copy.write_text(TEXT)
    page.write(copy, page.seen_in(TEXT))
    assert copy.read_text() == TEXT


def test_every_right_has_its_purpose_and_every_purpose_its_right() -> None:
    assert catalog.CATALOGUE.keys() == {grant.right for grant in grants.all_grants()}


def test_every_right_that_the_local_stack_enforces_was_taken_away_once() -> None:
    tried = {right for right, need in catalog.CATALOGUE.items() if isinstance(need, Tried)}
    seen = page.seen_in(TEXT)
    assert {right for right in tried if "(with it:" not in seen[right]} == set()
    # AND all of them are the local stack's
    assert tried <= grants.rights(grants.stack(**grants.local_parameters())).keys()


def test_only_what_services_do_or_the_local_stack_lacks_is_taken_on_trust() -> None:
    by_services = {"logs", "xray", "lambda"}
    others = {
        right.action
        for right, need in catalog.CATALOGUE.items()
        if isinstance(need, Told) and right.action.partition(":")[0] not in by_services
    }
    assert others == {
        "sqs:ReceiveMessage",
        "sqs:GetQueueAttributes",
        "secretsmanager:GetSecretValue",
        "ses:SendEmail",
        "events:InvokeApiDestination",
        "cloudwatch:DescribeAlarms",
        "kms:Decrypt",
        "kms:GenerateDataKey",
    }


def test_a_parameter_that_adds_rights_is_named() -> None:
    added = {grant.right.resource: grant.only_with for grant in grants.all_grants() if grant.only_with}
    assert added == {
        "SandboxTable": "PaymentProvider=sandbox",
        "secret:StripeSecret-??????": "PaymentProvider=stripe",
        "identity/*": "MailRights=sender",
        "configuration-set/MailConfiguration": "MailRights=sender",
        "*": "MailRights=any",
        "PartnerDestination": "PartnerEndpoint",
        "DataKey": "OwnKey=true",
        "OrdersFunction": "Canary=true",
        "OrdersFunction:live": "Canary=true",
        "alarm:*": "Canary=true",
    }


def test_every_route_has_its_check() -> None:
    assert routes.CHECKS.keys() == routes.routes().keys()


@pytest.mark.parametrize("key", sorted(routes.CHECKS.keys() - NOBODYS))
def test_what_belongs_to_somebody_is_kept_apart_by_a_test(key: str) -> None:
    file, _, test = routes.CHECKS[key].test.partition("::")
    assert test in routes.tests_of(file)


def test_every_route_with_an_id_looks_at_the_owner() -> None:
    for key, check in routes.CHECKS.items():
        assert ("{" in key) == ("own_order" in check.how), key
