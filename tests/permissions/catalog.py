"""The purpose of each permission, and a scenario that needs it."""

from dataclasses import dataclass

from tests.permissions import scenarios
from tests.permissions.grants import Permission
from tests.permissions.scenarios import Scenario

_AWS = "https://docs.aws.amazon.com/"
_POLLER = _AWS + "lambda/latest/dg/services-sqs-configure.html"
_LOGS = _AWS + "lambda/latest/dg/monitoring-cloudwatchlogs.html"
_TRACES = _AWS + "lambda/latest/dg/services-xray.html"
_SCHEDULES = _AWS + "scheduler/latest/UserGuide/setting-up.html"
_DESTINATIONS = _AWS + "eventbridge/latest/userguide/eb-create-rule-api-destination-target.html"
_SECRETS = _AWS + "secretsmanager/latest/userguide/auth-and-access_iam-policies.html"
_KEYS_OF_SECRETS = _AWS + "secretsmanager/latest/userguide/security-encryption.html"
_KEYS = _AWS + "kms/latest/developerguide/services-dynamodb.html"
_KEYS_OF_QUEUES = _AWS + "AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html"
_CANARIES = _AWS + "serverless-application-model/latest/developerguide/automating-updates-to-serverless-apps.html"
_MAILS = _AWS + "ses/latest/dg/control-user-access.html"


@dataclass(frozen=True, slots=True)
class Enforced:
    """The purpose of a permission that the local stack enforces, with a scenario that needs it and its result."""

    purpose: str
    scenario: Scenario
    wanted: str


@dataclass(frozen=True, slots=True)
class NotEnforced:
    """The purpose of a permission that the local stack cannot enforce, with the reason and AWS's documentation."""

    purpose: str
    reason: str
    source: str


_NO_KEY = "no such key"
_NO_CANARY = "no CodeDeploy"


def _consumer(name: str) -> dict[Permission, Enforced | NotEnforced]:
    """Return the permissions of every consumer for its queues."""
    role, queue = f"{name.capitalize()}Role", f"{name.capitalize()}Queue"
    by_lambda = "used by Lambda's poller under this role"
    return {
        Permission(role, "sqs:ReceiveMessage", queue): NotEnforced("Lambda receives its messages", by_lambda, _POLLER),
        Permission(role, "sqs:GetQueueAttributes", queue): NotEnforced(
            "Lambda reads the queue's settings", by_lambda, _POLLER
        ),
        Permission(role, "sqs:DeleteMessage", queue): Enforced(
            "deletes redelivered messages as soon as they are handled", scenarios.delete_redelivered(name), "deleted"
        ),
        Permission(role, "sqs:ChangeMessageVisibility", queue): Enforced(
            "backs off before the next try", scenarios.back_off(name), "visible in 10 s"
        ),
        Permission(role, "sqs:SendMessage", f"{name.capitalize()}DeadLetters"): Enforced(
            "sends dead letters with their reason", scenarios.send_to_dlq(name), "a dead letter"
        ),
        Permission(role, "kms:GenerateDataKey", "DataKey"): NotEnforced(
            "encrypts dead letters with the stack's own key", _NO_KEY, _KEYS_OF_QUEUES
        ),
    }


def _function(name: str) -> dict[Permission, Enforced | NotEnforced]:
    """Return the permissions that Lambda uses for every function."""
    role, logs = f"{name.capitalize()}Role", f"{name.capitalize()}Logs"
    by_lambda = "used by Lambda under this role"
    return {
        Permission(role, "logs:CreateLogStream", logs): NotEnforced("a log stream for each instance", by_lambda, _LOGS),
        Permission(role, "logs:PutLogEvents", logs): NotEnforced("logs, and metrics in them", by_lambda, _LOGS),
        Permission(role, "xray:PutTraceSegments", "*"): NotEnforced(
            "traces; X-Ray has no resource-level permissions", by_lambda, _TRACES
        ),
        Permission(role, "xray:PutTelemetryRecords", "*"): NotEnforced(
            "traces; X-Ray has no resource-level permissions", by_lambda, _TRACES
        ),
        Permission(role, "kms:Decrypt", "DataKey"): NotEnforced("decrypts with the stack's own key", _NO_KEY, _KEYS),
    }


def _payments(
    role: str, ask: Scenario, wanted: str, settle: Scenario, settled: str
) -> dict[Permission, Enforced | NotEnforced]:
    """Return the permissions of a function that uses the payment provider."""
    return {
        Permission(role, "dynamodb:PutItem", "SandboxTable"): Enforced(
            "authorizes at the sandbox provider", ask, wanted
        ),
        Permission(role, "dynamodb:UpdateItem", "SandboxTable"): Enforced(
            "changes a hold in the sandbox provider's ledger", settle, settled
        ),
        Permission(role, "secretsmanager:GetSecretValue", "secret:StripeSecret-??????"): NotEnforced(
            "reads Stripe's API key", "the local stack uses the sandbox provider", _SECRETS
        ),
        Permission(role, "kms:Decrypt", "key/*"): NotEnforced(
            "decrypts that secret if it is under a KMS key of the account",
            "the local stack uses the sandbox provider",
            _KEYS_OF_SECRETS,
        ),
    }


PURPOSES: dict[Permission, Enforced | NotEnforced] = {
    # --- orders
    Permission("OrdersRole", "dynamodb:GetItem", "OrdersTable"): Enforced(
        "GET /orders/{orderId}", scenarios.read, "200"
    ),
    Permission("OrdersRole", "dynamodb:PutItem", "OrdersTable"): Enforced(
        "reserves: stores the order", scenarios.place, "201"
    ),
    Permission("OrdersRole", "dynamodb:UpdateItem", "OrdersTable"): Enforced(
        "commits the order", scenarios.place, "201"
    ),
    Permission("OrdersRole", "dynamodb:Query", "OrdersTable/index/byUser"): Enforced(
        "GET /orders", scenarios.read_list, "200"
    ),
    Permission("OrdersRole", "dynamodb:Scan", "ProductsTable"): Enforced(
        "reads its copy of the catalog", scenarios.read_catalog, "200"
    ),
    Permission("OrdersRole", "dynamodb:UpdateItem", "ProductsTable"): Enforced(
        "reserves: takes the stock", scenarios.place, "201"
    ),
    Permission("OrdersRole", "dynamodb:GetItem", "CustomersTable"): Enforced("GET /me", scenarios.read_profile, "200"),
    Permission("OrdersRole", "dynamodb:UpdateItem", "CustomersTable"): Enforced(
        "PUT /me", scenarios.make_profile, "200"
    ),
    Permission("OrdersRole", "dynamodb:Query", "SalesTable"): Enforced(
        "GET /reports/sales", scenarios.read_sales, "200"
    ),
    Permission("OrdersRole", "events:PutEvents", "Bus"): Enforced(
        "publishes the order's event", scenarios.publish, "published"
    ),
    **_payments("OrdersRole", scenarios.place, "201", scenarios.retry_after_a_refusal, "201"),
    **_function("orders"),
    # --- emails
    Permission("EmailsRole", "dynamodb:GetItem", "OrdersTable"): Enforced("reads the order", scenarios.mail, "a mail"),
    Permission("EmailsRole", "dynamodb:GetItem", "CustomersTable"): Enforced(
        "reads the address", scenarios.mail, "a mail"
    ),
    Permission("EmailsRole", "dynamodb:UpdateItem", "CustomersTable"): Enforced(
        "removes an old address once it is notified", scenarios.notify_of_address, "removed"
    ),
    Permission("EmailsRole", "dynamodb:PutItem", "IdempotencyTable"): Enforced(
        "locks the mail of an event", scenarios.mail, "a mail"
    ),
    Permission("EmailsRole", "dynamodb:UpdateItem", "IdempotencyTable"): Enforced(
        "records that it was sent", scenarios.handle("emails"), "done"
    ),
    Permission("EmailsRole", "dynamodb:DeleteItem", "IdempotencyTable"): Enforced(
        "unlocks a mail that failed, for the retry", scenarios.mail_after_a_failure, "a mail"
    ),
    Permission("EmailsRole", "ses:SendEmail", "*"): Enforced("sends the mail", scenarios.mail, "a mail"),
    Permission("EmailsRole", "ses:SendEmail", "identity/*"): NotEnforced(
        "sends the mail: SES requires the sender's identity, and in its sandbox the recipient's",
        "no SES identities; tested as `*`",
        _MAILS,
    ),
    Permission("EmailsRole", "ses:SendEmail", "configuration-set/MailConfiguration"): NotEnforced(
        "sends the mail: SES requires the configuration set too", "no configuration sets; tested as `*`", _MAILS
    ),
    **_consumer("emails"),
    **_function("emails"),
    # --- analytics
    Permission("AnalyticsRole", "dynamodb:BatchGetItem", "OrdersTable"): Enforced(
        "reads the orders", scenarios.count, "counted"
    ),
    Permission("AnalyticsRole", "dynamodb:Query", "SalesTable"): Enforced(
        "reads the current generation", scenarios.count, "counted"
    ),
    Permission("AnalyticsRole", "dynamodb:PutItem", "SalesTable"): Enforced(
        "writes the event's marker", scenarios.count, "counted"
    ),
    Permission("AnalyticsRole", "dynamodb:UpdateItem", "SalesTable"): Enforced(
        "adds to the counters", scenarios.count, "counted"
    ),
    **_consumer("analytics"),
    **_function("analytics"),
    # --- fulfillment
    Permission("FulfillmentRole", "dynamodb:GetItem", "OrdersTable"): Enforced(
        "reads the order", scenarios.prepare, "PREPARED"
    ),
    Permission("FulfillmentRole", "dynamodb:UpdateItem", "OrdersTable"): Enforced(
        "writes the transition", scenarios.prepare, "PREPARED"
    ),
    Permission("FulfillmentRole", "dynamodb:PutItem", "ShipmentsTable"): Enforced(
        "writes the shipment", scenarios.prepare, "PREPARED"
    ),
    Permission("FulfillmentRole", "dynamodb:UpdateItem", "ShipmentsTable"): Enforced(
        "releases the paid shipment", scenarios.capture, "captured"
    ),
    Permission("FulfillmentRole", "events:PutEvents", "Bus"): Enforced(
        "publishes the shipment's event", scenarios.publish_shipment, "published"
    ),
    **_payments("FulfillmentRole", scenarios.capture, "captured", scenarios.capture, "captured"),
    **_consumer("fulfillment"),
    **_function("fulfillment"),
    # --- feedback
    Permission("FeedbackRole", "dynamodb:UpdateItem", "CustomersTable"): Enforced(
        "flags an address", scenarios.flag, "bounced"
    ),
    **_consumer("feedback"),
    **_function("feedback"),
    # --- sweeper
    Permission("SweeperRole", "dynamodb:Query", "OrdersTable/index/unfinished"): Enforced(
        "finds unfinished orders", scenarios.sweep_an_order, "published"
    ),
    Permission("SweeperRole", "dynamodb:BatchGetItem", "OrdersTable"): Enforced(
        "reads their current state", scenarios.sweep_an_order, "published"
    ),
    Permission("SweeperRole", "dynamodb:UpdateItem", "OrdersTable"): Enforced(
        "finishes them", scenarios.sweep_an_order, "published"
    ),
    Permission("SweeperRole", "dynamodb:Query", "CustomersTable/index/unfinished"): Enforced(
        "finds unfinished profiles", scenarios.sweep_a_profile, "published"
    ),
    Permission("SweeperRole", "dynamodb:BatchGetItem", "CustomersTable"): Enforced(
        "reads their current state", scenarios.sweep_a_profile, "published"
    ),
    Permission("SweeperRole", "dynamodb:UpdateItem", "CustomersTable"): Enforced(
        "finishes them", scenarios.sweep_a_profile, "published"
    ),
    Permission("SweeperRole", "dynamodb:UpdateItem", "ProductsTable"): Enforced(
        "returns an expired order's stock", scenarios.expire, "REJECTED"
    ),
    Permission("SweeperRole", "dynamodb:UpdateItem", "ShipmentsTable"): Enforced(
        "releases the paid shipment", scenarios.capture_late, "captured"
    ),
    Permission("SweeperRole", "events:PutEvents", "Bus"): Enforced(
        "publishes unpublished events", scenarios.sweep_after_a_restart, "published"
    ),
    **_payments("SweeperRole", scenarios.void, "voided", scenarios.void, "voided"),
    **_function("sweeper"),
    # --- services
    Permission("SweeperFunctionEveryMinuteRole", "lambda:InvokeFunction", "SweeperFunction"): NotEnforced(
        "invokes the sweeper each minute", "used by the scheduler under this role", _SCHEDULES
    ),
    **{
        Permission("DeployRole", f"lambda:{action}", resource): NotEnforced(
            "shifts requests from one version to the next", _NO_CANARY, _CANARIES
        )
        for action in ("GetAlias", "UpdateAlias", "GetProvisionedConcurrencyConfig")
        for resource in ("OrdersFunction", "OrdersFunction:live")
    },
    Permission("DeployRole", "cloudwatch:DescribeAlarms", "alarm:*"): NotEnforced(
        "checks whether to roll back", _NO_CANARY, _CANARIES
    ),
    Permission("PartnerRole", "events:InvokeApiDestination", "PartnerDestination"): NotEnforced(
        "sends events to the partner", "no API destinations", _DESTINATIONS
    ),
}
