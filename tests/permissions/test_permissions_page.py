"""docs/reference/permissions.md matches the template, and every permission has a stated purpose."""

from pathlib import Path

import pytest

from tests.permissions import catalog, grants, page, routes
from tests.permissions.catalog import Enforced, NotEnforced

TEXT = page.PAGE.read_text()
# The webhook is deployed only with Stripe, and the consumer of partners only with a partner.
ELSEWHERE = {"PaymentEventsRole", "PartnersRole"}
NO_USER_DATA = {"GET /catalog", "GET /health", "GET /openapi.json", "$default"}


@pytest.mark.parametrize("name", ["routes", "permissions", "policies"])
def test_the_tables_match_the_template(name: str) -> None:
    """If not: ``python -m tests.permissions.page``, or for a new permission ``make permissions``."""
    assert page.in_page(TEXT)[name] == page.tables(page.results_in(TEXT))[name].strip()


def test_writing_the_tables_again_changes_nothing(tmp_path: Path) -> None:
    copy = tmp_path / "permissions.md"
    copy.write_text(TEXT)
    page.write(copy, page.results_in(TEXT))
    assert copy.read_text() == TEXT


def test_every_permission_has_its_purpose() -> None:
    assert catalog.PURPOSES.keys() == {grant.permission for grant in grants.all_grants()}


def test_every_permission_that_the_local_stack_enforces_was_tried() -> None:
    tested = {permission for permission, use in catalog.PURPOSES.items() if isinstance(use, Enforced)}
    tried = page.results_in(TEXT).keys()
    # A new function's are tried all at once: until then, the page names the command.
    roles = {permission.role for permission in tried}
    assert {permission for permission in tested - tried if permission.role in roles} == set()
    assert len(roles) >= 7
    # AND all of them are the local stack's
    assert tested <= grants.permissions_of(grants.stack(**grants.local_parameters())).keys()


def test_only_permissions_of_services_or_of_missing_features_are_untested() -> None:
    by_services = {"logs", "xray", "lambda"}
    others = {
        permission.action
        for permission, use in catalog.PURPOSES.items()
        if isinstance(use, NotEnforced)
        and permission.action.partition(":")[0] not in by_services
        and permission.role not in ELSEWHERE
    }
    assert others == {
        "sqs:ReceiveMessage",
        "sqs:GetQueueAttributes",
        "secretsmanager:GetSecretValue",
        "ses:SendEmail",
        "cloudwatch:DescribeAlarms",
        "kms:Decrypt",
        "kms:GenerateDataKey",
    }


def test_the_parameters_that_add_permissions_are_named() -> None:
    added = [grant for grant in grants.all_grants() if grant.only_with]
    elsewhere = {grant.permission.role: grant.only_with for grant in added if grant.permission.role in ELSEWHERE}
    assert elsewhere == {"PaymentEventsRole": "PaymentEventsSecret", "PartnersRole": "PartnerEndpoint"}
    others = [grant for grant in added if grant.permission.role not in ELSEWHERE]
    assert {grant.permission.resource: grant.only_with for grant in others} == {
        "SandboxTable": "PaymentProvider=sandbox",
        "secret:StripeSecret-??????": "PaymentProvider=stripe",
        "key/*": "PaymentProvider=stripe",
        "identity/*": "MailRights=sender",
        "configuration-set/MailConfiguration": "MailRights=sender",
        "*": "MailRights=any",
        "OrdersTable/index/byTime": "OrdersReadAccess=true",
        "DataKey": "OwnKey=true",
        "OrdersFunction": "Canary=true",
        "OrdersFunction:live": "Canary=true",
        "alarm:*": "Canary=true",
    }


def test_every_route_has_a_check() -> None:
    assert routes.CHECKS.keys() == routes.routes().keys()


@pytest.mark.parametrize("key", sorted(routes.CHECKS.keys() - NO_USER_DATA))
def test_every_route_with_user_data_names_an_existing_test(key: str) -> None:
    file, _, test = routes.CHECKS[key].test.partition("::")
    assert test in routes.tests_of(file)


def test_every_route_with_an_order_id_checks_the_owner_or_the_scope() -> None:
    scoped = {key for key, route in routes.routes().items() if "AuthorizationScopes" in route}
    for key, check in routes.CHECKS.items():
        assert ("{" in key and key not in scoped) == ("own_order" in check.how), key
        assert (key in scoped) == check.how.startswith("the scope, checked by the gateway and by the function"), key
