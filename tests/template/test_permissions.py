"""Every role holds only what its function uses (promise 9)."""

import pytest

from dev.template import WITH_PARTNER, WITH_STRIPE, Properties, Template, as_list, logical_id, template_with

LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
CONSUME = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"}
TRACING = {"*": {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}}
SANDBOX = {"${SandboxTable.Arn}": {"dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"}}
COUNTS = {"${LimitsTable.Arn}": {"dynamodb:UpdateItem"}}
STRIPE_KEY = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:shop/stripe-??????"
PARTNER_SECRET = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:partner-??????"
ANY_KEY = "arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:key/*"
PUBLISH = {"${Bus.Arn}": {"events:PutEvents"}}

# The permissions of each function. If you add a call to AWS, add its permission here and mention it in the review.
PERMISSIONS: dict[str, dict[str, set[str]]] = {
    "orders": {
        "${OrdersTable.Arn}": {
            "dynamodb:GetItem",
            "dynamodb:BatchGetItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
        },
        "${OrdersTable.Arn}/index/byUser": {"dynamodb:Query"},
        "${OrdersTable.Arn}/index/unplaced": {"dynamodb:Query"},
        "${ShipmentsTable.Arn}/index/open": {"dynamodb:Query"},
        "${ShipmentsTable.Arn}": {"dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"},
        "${ProductsTable.Arn}": {"dynamodb:BatchGetItem", "dynamodb:Scan", "dynamodb:UpdateItem"},
        "${CustomersTable.Arn}": {"dynamodb:GetItem", "dynamodb:UpdateItem", "dynamodb:ConditionCheckItem"},
        "${SalesTable.Arn}": {"dynamodb:Query"},
        "${OrdersLogs.Arn}": LOGS,
        "${LimitsTable.Arn}": {"dynamodb:BatchGetItem", "dynamodb:UpdateItem"},
        **SANDBOX,
        **PUBLISH,
        **TRACING,
    },
    "emails": {
        "${OrdersTable.Arn}": {"dynamodb:BatchGetItem", "dynamodb:UpdateItem"},
        "${CustomersTable.Arn}": {"dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:UpdateItem"},
        "${IdempotencyTable.Arn}": {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"},
        "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:identity/*": {"ses:SendEmail"},
        "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:configuration-set/${MailConfiguration}": {
            "ses:SendEmail"
        },
        "${EmailsQueue.Arn}": CONSUME,
        "${EmailsDeadLetters.Arn}": {"sqs:SendMessage"},
        "${EmailsLogs.Arn}": LOGS,
        **TRACING,
    },
    "analytics": {
        "${OrdersTable.Arn}": {"dynamodb:BatchGetItem"},
        "${SalesTable.Arn}": {"dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"},
        "${AnalyticsQueue.Arn}": CONSUME,
        "${AnalyticsDeadLetters.Arn}": {"sqs:SendMessage"},
        "${AnalyticsLogs.Arn}": LOGS,
        **TRACING,
    },
    "fulfillment": {
        "${OrdersTable.Arn}": {"dynamodb:GetItem", "dynamodb:UpdateItem", "dynamodb:ConditionCheckItem"},
        "${ShipmentsTable.Arn}": {"dynamodb:PutItem"},
        "${FulfillmentQueue.Arn}": CONSUME,
        "${FulfillmentDeadLetters.Arn}": {"sqs:SendMessage"},
        "${FulfillmentLogs.Arn}": LOGS,
        **PUBLISH,
        **TRACING,
    },
    "settlement": {
        "${OrdersTable.Arn}": {"dynamodb:GetItem", "dynamodb:UpdateItem"},
        "${ProductsTable.Arn}": {"dynamodb:UpdateItem"},
        "${ShipmentsTable.Arn}": {"dynamodb:UpdateItem", "dynamodb:DeleteItem"},
        "${SettlementQueue.Arn}": CONSUME,
        "${SettlementDeadLetters.Arn}": {"sqs:SendMessage"},
        "${SettlementLogs.Arn}": LOGS,
        **COUNTS,
        **SANDBOX,
        **PUBLISH,
        **TRACING,
    },
    "feedback": {
        "${CustomersTable.Arn}": {"dynamodb:UpdateItem"},
        "${FeedbackQueue.Arn}": CONSUME,
        "${FeedbackDeadLetters.Arn}": {"sqs:SendMessage"},
        "${FeedbackLogs.Arn}": LOGS,
        **TRACING,
    },
    "partners": {
        PARTNER_SECRET: {"secretsmanager:GetSecretValue"},
        ANY_KEY: {"kms:Decrypt"},
        "${PartnersQueue.Arn}": CONSUME,
        "${PartnersDeadLetters.Arn}": {"sqs:SendMessage"},
        "${PartnersLogs.Arn}": LOGS,
        **TRACING,
    },
    "sweeper": {
        "${OrdersTable.Arn}/index/unfinished": {"dynamodb:Query"},
        "${OrdersTable.Arn}/index/byUser": {"dynamodb:Query"},
        "${OrdersTable.Arn}/index/unplaced": {"dynamodb:Query"},
        "${OrdersTable.Arn}": {"dynamodb:BatchGetItem", "dynamodb:UpdateItem", "dynamodb:Scan"},
        "${CustomersTable.Arn}/index/unfinished": {"dynamodb:Query"},
        "${ShipmentsTable.Arn}/index/open": {"dynamodb:Query"},
        "${CustomersTable.Arn}": {"dynamodb:BatchGetItem", "dynamodb:UpdateItem", "dynamodb:PutItem"},
        "${ProductsTable.Arn}": {"dynamodb:UpdateItem"},
        "${ShipmentsTable.Arn}": {"dynamodb:UpdateItem", "dynamodb:DeleteItem"},
        "${LimitsTable.Arn}": {"dynamodb:UpdateItem", "dynamodb:DeleteItem"},
        "${SweeperLogs.Arn}": LOGS,
        **SANDBOX,
        **PUBLISH,
        **TRACING,
    },
}


def statements(role: Properties) -> list[Properties]:
    """Return the statements of a role's policies."""
    return [statement for policy in role["Policies"] for statement in policy["PolicyDocument"]["Statement"]]


def permissions(role: Properties) -> dict[str, set[str]]:
    """Return a role's actions by resource."""
    found: dict[str, set[str]] = {}
    for statement in statements(role):
        assert statement["Effect"] == "Allow"
        for resource in as_list(statement["Resource"]):
            found.setdefault(resource, set()).update(as_list(statement["Action"]))
    return found


def role_of(template: Template, function: Properties) -> Properties:
    """Return a function's role."""
    return template.of_type("AWS::IAM::Role")[logical_id(function["Role"])]


def test_every_function_has_its_own_role(template: Template) -> None:
    roles = [function["Role"] for function in template.functions().values()]
    assert len(set(roles)) == len(roles)


def test_every_function_is_listed_here(template: Template) -> None:
    assert PERMISSIONS.keys() == template.functions().keys()


@pytest.mark.parametrize("name", PERMISSIONS)
def test_a_function_has_exactly_its_permissions(template: Template, name: str) -> None:
    assert permissions(role_of(template, template.functions()[name])) == PERMISSIONS[name]


@pytest.mark.parametrize("name", PERMISSIONS)
def test_without_the_sandbox_no_function_may_use_its_ledger(name: str) -> None:
    template = template_with(**WITH_PARTNER, PaymentProvider="another")
    expected = {resource: actions for resource, actions in PERMISSIONS[name].items() if resource not in SANDBOX}
    assert permissions(role_of(template, template.functions()[name])) == expected


@pytest.mark.parametrize("name", PERMISSIONS)
def test_only_functions_that_call_stripe_may_read_its_key(name: str) -> None:
    template = template_with(**WITH_PARTNER, **WITH_STRIPE)
    without = {resource: actions for resource, actions in PERMISSIONS[name].items() if resource not in SANDBOX}
    key = {STRIPE_KEY: {"secretsmanager:GetSecretValue"}, ANY_KEY: {"kms:Decrypt"}}
    expected = without | (key if without != PERMISSIONS[name] else {})
    assert permissions(role_of(template, template.functions()[name])) == expected


@pytest.mark.parametrize("own_key", ["false", "true"])
@pytest.mark.parametrize("name", PERMISSIONS)
def test_a_role_decrypts_the_secret_that_it_reads_and_no_other(name: str, own_key: str) -> None:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html: a secret under a key of the
    account needs kms:Decrypt, and Secrets Manager passes the secret's ARN as encryption context."""
    template = template_with(**WITH_PARTNER, **WITH_STRIPE, OwnKey=own_key)
    granted = statements(role_of(template, template.functions()[name]))
    read = [statement["Resource"] for statement in granted if statement["Action"] == "secretsmanager:GetSecretValue"]
    decrypting = [statement for statement in granted if statement["Resource"] == ANY_KEY]
    # THEN it may use any key, but only through Secrets Manager and for the secrets that it may read
    assert [statement["Action"] for statement in decrypting] == ["kms:Decrypt"] * len(read)
    assert [statement["Condition"] for statement in decrypting] == [
        {
            "StringEquals": {"kms:ViaService": "secretsmanager.${AWS::Region}.${AWS::URLSuffix}"},
            "ArnLike": {"kms:EncryptionContext:SecretARN": secret},
        }
        for secret in read
    ]


def test_no_permission_has_a_wildcard_action(template: Template) -> None:
    for role in template.of_type("AWS::IAM::Role").values():
        assert not any("*" in action for actions in permissions(role).values() for action in actions)


def test_only_tracing_is_allowed_on_all_resources(template: Template) -> None:
    for role in template.of_type("AWS::IAM::Role").values():
        assert permissions(role).get("*", set()) <= TRACING["*"]


def test_no_role_has_a_managed_policy(template: Template) -> None:
    assert not any("ManagedPolicyArns" in role for role in template.of_type("AWS::IAM::Role").values())


def test_only_the_service_that_needs_a_role_may_assume_it(template: Template) -> None:
    functions = {logical_id(function["Role"]) for function in template.functions().values()}
    for name, role in template.of_type("AWS::IAM::Role").items():
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        service = "lambda.amazonaws.com" if name in functions else "scheduler.amazonaws.com"
        assert as_list(trust["Principal"]["Service"]) == [service]
        assert as_list(trust["Action"]) == ["sts:AssumeRole"]


def test_the_scheduler_may_invoke_only_the_sweeper(template: Template) -> None:
    (schedule,) = template.of_type("AWS::Scheduler::Schedule").values()
    role = template.of_type("AWS::IAM::Role")[logical_id(schedule["Target"]["RoleArn"])]
    assert permissions(role) == {"${SweeperFunction.Arn}": {"lambda:InvokeFunction"}}


def test_mails_may_be_sent_only_from_the_configured_address(template: Template) -> None:
    role = role_of(template, template.functions()["emails"])
    (sending,) = (statement for statement in statements(role) if statement["Action"] == "ses:SendEmail")
    sender = template.functions()["emails"]["Environment"]["Variables"]["MAIL_FROM"]
    assert sending["Condition"] == {"StringEquals": {"ses:FromAddress": sender}}


def test_every_role_gets_the_permissions_boundary_if_one_is_given() -> None:
    boundary = "arn:aws:iam::123456789012:policy/handoff-deploy-prod-boundary"

    def boundaries(**parameters: str) -> list[str | None]:
        roles = template_with(**WITH_PARTNER, Canary="true", **parameters).of_type("AWS::IAM::Role").values()
        return [role.get("PermissionsBoundary") for role in roles]

    bounded = boundaries(PermissionsBoundary=boundary)
    assert len(bounded) >= 9  # SAM creates one of them, for the schedule
    assert set(bounded) == {boundary}
    assert set(boundaries()) == {None}
