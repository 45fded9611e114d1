"""The purpose of each permission, and a scenario that needs it."""

from dataclasses import dataclass

from dev.template import template_with
from tests.permissions import scenarios
from tests.permissions.grants import Permission
from tests.permissions.scenarios import Scenario

_AWS = "https://docs.aws.amazon.com/"
_POLLER = _AWS + "lambda/latest/dg/services-sqs-configure.html"
_LOGS = _AWS + "lambda/latest/dg/monitoring-cloudwatchlogs.html"
_TRACES = _AWS + "lambda/latest/dg/services-xray.html"
_SCHEDULES = _AWS + "scheduler/latest/UserGuide/setting-up.html"
_SECRETS = _AWS + "secretsmanager/latest/userguide/auth-and-access_iam-policies.html"
_KEYS_OF_SECRETS = _AWS + "secretsmanager/latest/userguide/security-encryption.html"
_KEYS = _AWS + "kms/latest/developerguide/services-dynamodb.html"
_KEYS_OF_QUEUES = _AWS + "AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html"
_CANARIES = _AWS + "serverless-application-model/latest/developerguide/automating-updates-to-serverless-apps.html"
_PUT_EVENTS = _AWS + "eventbridge/latest/userguide/eb-use-identity-based.html"
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
    title = name.title().replace("_", "")
    role, logs = f"{title}Role", f"{title}Logs"
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


def _reads_holds(role: str, settle: Scenario, settled: str) -> dict[Permission, Enforced]:
    """Return the further permission of a function that settles payments."""
    return {
        Permission(role, "dynamodb:BatchGetItem", "SandboxTable"): Enforced(
            "reads a hold in the sandbox provider's ledger", settle, settled
        )
    }


PURPOSES: dict[Permission, Enforced | NotEnforced] = {
    # --- the same for every function, and for every consumer
    **{permission: use for name in template_with().functions() for permission, use in _function(name).items()},
    **{permission: use for found in template_with().consumers() for permission, use in _consumer(found.name).items()},
    # --- orders
    Permission("OrdersRole", "dynamodb:GetItem", "OrdersTable"): Enforced(
        "GET /orders/{orderId}", scenarios.read, "200"
    ),
    Permission("OrdersRole", "dynamodb:BatchGetItem", "OrdersTable"): Enforced(
        "reads the orders of an export or an erasure", scenarios.export, "200"
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
    Permission("OrdersRole", "dynamodb:Query", "OrdersTable/index/unplaced"): Enforced(
        "GET /orders?status=REJECTED", scenarios.read_unplaced, "200"
    ),
    Permission("OrdersRole", "dynamodb:Query", "OrdersTable/index/byTime"): Enforced(
        "GET /orders?since=", scenarios.read_since, "200"
    ),
    Permission("OrdersRole", "dynamodb:Query", "ShipmentsTable/index/open"): Enforced(
        "GET /shipments", scenarios.read_shipments, "200"
    ),
    Permission("OrdersRole", "dynamodb:BatchGetItem", "ShipmentsTable"): Enforced(
        "reads the listed shipments", scenarios.read_shipments, "200"
    ),
    Permission("OrdersRole", "dynamodb:PutItem", "ShipmentsTable"): Enforced(
        "packs: stores the shipment", scenarios.pack, "200"
    ),
    Permission("OrdersRole", "dynamodb:DeleteItem", "ShipmentsTable"): Enforced(
        "cancels: deletes the shipment that waits to be packed", scenarios.cancel, "200"
    ),
    Permission("OrdersRole", "dynamodb:BatchGetItem", "ProductsTable"): Enforced(
        "prices an order", scenarios.price, "201"
    ),
    Permission("OrdersRole", "dynamodb:Scan", "ProductsTable"): Enforced("GET /catalog", scenarios.read_catalog, "200"),
    Permission("OrdersRole", "dynamodb:UpdateItem", "ProductsTable"): Enforced(
        "reserves: takes the stock", scenarios.place, "201"
    ),
    Permission("OrdersRole", "dynamodb:GetItem", "CustomersTable"): Enforced("GET /me", scenarios.read_profile, "200"),
    Permission("OrdersRole", "dynamodb:ConditionCheckItem", "CustomersTable"): Enforced(
        "reserves: checks the customer's address", scenarios.place_by_program, "201"
    ),
    Permission("OrdersRole", "dynamodb:UpdateItem", "CustomersTable"): Enforced(
        "PUT /me", scenarios.make_profile, "200"
    ),
    Permission("OrdersRole", "dynamodb:Query", "SalesTable"): Enforced(
        "GET /reports/sales", scenarios.read_sales, "200"
    ),
    Permission("OrdersRole", "events:PutEvents", "Bus"): Enforced(
        "publishes the order's event", scenarios.publish, "published"
    ),
    Permission("OrdersRole", "dynamodb:UpdateItem", "LimitsTable"): Enforced(
        "counts the order for its user", scenarios.place, "201"
    ),
    Permission("OrdersRole", "dynamodb:BatchGetItem", "LimitsTable"): Enforced(
        "exports the counts of a user", scenarios.export, "200"
    ),
    **_payments("OrdersRole", scenarios.place, "201", scenarios.retry_after_a_refusal, "201"),
    **_reads_holds("OrdersRole", scenarios.act, "200"),
    # --- emails
    Permission("EmailsRole", "dynamodb:BatchGetItem", "OrdersTable"): Enforced(
        "reads the order", scenarios.mail, "a mail"
    ),
    Permission("EmailsRole", "dynamodb:BatchGetItem", "CustomersTable"): Enforced(
        "reads the address", scenarios.mail, "a mail"
    ),
    Permission("EmailsRole", "dynamodb:GetItem", "CustomersTable"): Enforced(
        "reads a changed address", scenarios.notify_of_address, "removed"
    ),
    Permission("EmailsRole", "dynamodb:UpdateItem", "OrdersTable"): Enforced(
        "records that a mail about the order was not sent", scenarios.mail_to_a_bounced_address, "bounced"
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
    # --- analytics
    Permission("AnalyticsRole", "dynamodb:BatchGetItem", "OrdersTable"): Enforced(
        "reads the orders", scenarios.count, "counted"
    ),
    Permission("AnalyticsRole", "dynamodb:BatchGetItem", "SalesTable"): Enforced(
        "reads the current generation", scenarios.count, "counted"
    ),
    Permission("AnalyticsRole", "dynamodb:PutItem", "SalesTable"): Enforced(
        "writes the event's marker", scenarios.count, "counted"
    ),
    Permission("AnalyticsRole", "dynamodb:UpdateItem", "SalesTable"): Enforced(
        "adds to the counters", scenarios.count, "counted"
    ),
    # --- fulfillment
    Permission("FulfillmentRole", "dynamodb:GetItem", "OrdersTable"): Enforced(
        "reads the order", scenarios.prepare, "PREPARED"
    ),
    Permission("FulfillmentRole", "dynamodb:UpdateItem", "OrdersTable"): Enforced(
        "writes the transition", scenarios.prepare, "PREPARED"
    ),
    Permission("FulfillmentRole", "dynamodb:ConditionCheckItem", "OrdersTable"): Enforced(
        "opens a shipment only for an order that is still placed", scenarios.open_shipment, "open"
    ),
    Permission("FulfillmentRole", "dynamodb:PutItem", "ShipmentsTable"): Enforced(
        "writes the shipment", scenarios.prepare, "PREPARED"
    ),
    Permission("FulfillmentRole", "events:PutEvents", "Bus"): Enforced(
        "publishes the shipment's event", scenarios.publish_shipment, "published"
    ),
    # --- settlement
    Permission("SettlementRole", "dynamodb:GetItem", "OrdersTable"): Enforced(
        "reads the order", scenarios.capture, "captured"
    ),
    Permission("SettlementRole", "dynamodb:UpdateItem", "OrdersTable"): Enforced(
        "records the payment", scenarios.capture, "captured"
    ),
    Permission("SettlementRole", "dynamodb:UpdateItem", "ProductsTable"): Enforced(
        "returns the units of a refund to the stock", scenarios.return_units, "refunded"
    ),
    Permission("SettlementRole", "dynamodb:UpdateItem", "ShipmentsTable"): Enforced(
        "releases the paid shipment", scenarios.capture, "captured"
    ),
    Permission("SettlementRole", "dynamodb:DeleteItem", "ShipmentsTable"): Enforced(
        "deletes the open shipment of an order whose hold is lost", scenarios.lose_hold, "CANCELLED"
    ),
    Permission("SettlementRole", "dynamodb:UpdateItem", "LimitsTable"): Enforced(
        "counts a payment that the customer could not confirm", scenarios.decline_after_event, "REJECTED"
    ),
    Permission("SettlementRole", "events:PutEvents", "Bus"): Enforced(
        "publishes the released shipment's event", scenarios.publish_release, "published"
    ),
    **_payments("SettlementRole", scenarios.capture, "captured", scenarios.capture, "captured"),
    **_reads_holds("SettlementRole", scenarios.capture, "captured"),
    # --- feedback
    Permission("FeedbackRole", "dynamodb:UpdateItem", "CustomersTable"): Enforced(
        "flags an address", scenarios.flag, "bounced"
    ),
    # --- partners
    Permission("PartnersRole", "secretsmanager:GetSecretValue", "secret:PartnerSecret-??????"): NotEnforced(
        "reads the signing secrets of webhooks", "the local stack has no partner", _SECRETS
    ),
    Permission("PartnersRole", "kms:Decrypt", "key/*"): NotEnforced(
        "decrypts that secret if it is under a KMS key of the account",
        "the local stack has no partner",
        _KEYS_OF_SECRETS,
    ),
    **{
        permission: NotEnforced(use.purpose, "the local stack has no partner; as for the other consumers", _POLLER)
        if isinstance(use, Enforced)
        else use
        for permission, use in (_consumer("partners") | _function("partners")).items()
        if permission.resource != "DataKey"  # no table of permissions has both parameters, and the others show these
    },
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
    Permission("SweeperRole", "dynamodb:Query", "ShipmentsTable/index/open"): Enforced(
        "finds shipments that are not packed in time", scenarios.find_overdue_shipment, "found"
    ),
    Permission("SweeperRole", "dynamodb:Scan", "OrdersTable"): Enforced(
        "finds the orders that are older than `OrderDays`", scenarios.erase_an_old_order, "erased"
    ),
    Permission("SweeperRole", "dynamodb:Query", "OrdersTable/index/byUser"): Enforced(
        "finds the orders of a customer whose data is erased", scenarios.erase_an_order, "CANCELLED"
    ),
    Permission("SweeperRole", "dynamodb:Query", "OrdersTable/index/unplaced"): Enforced(
        "finds that customer's orders that were never placed", scenarios.erase_a_customer, "erased"
    ),
    Permission("SweeperRole", "dynamodb:PutItem", "CustomersTable"): Enforced(
        "replaces an erased customer's item", scenarios.erase_a_customer, "erased"
    ),
    Permission("SweeperRole", "dynamodb:DeleteItem", "ShipmentsTable"): Enforced(
        "cancels an order of such a customer: deletes the open shipment", scenarios.erase_an_order, "CANCELLED"
    ),
    Permission("SweeperRole", "dynamodb:DeleteItem", "LimitsTable"): Enforced(
        "deletes an erased customer's counts", scenarios.erase_a_customer, "erased"
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
    Permission("SweeperRole", "dynamodb:UpdateItem", "LimitsTable"): Enforced(
        "counts a payment that the customer could not confirm; keeps up to when the provider was asked for its events",
        scenarios.decline_in_a_sweep,
        "REJECTED",
    ),
    Permission("SweeperRole", "events:PutEvents", "Bus"): Enforced(
        "publishes unpublished events", scenarios.sweep_after_a_restart, "published"
    ),
    **_payments("SweeperRole", scenarios.void, "voided", scenarios.void, "voided"),
    **_reads_holds("SweeperRole", scenarios.void, "voided"),
    # --- payment_events
    Permission("PaymentEventsRole", "events:PutEvents", "Bus"): NotEnforced(
        "publishes Stripe's events", "the local stack uses the sandbox provider", _PUT_EVENTS
    ),
    Permission("PaymentEventsRole", "secretsmanager:GetSecretValue", "secret:PaymentEventsSecret-??????"): NotEnforced(
        "reads the webhook's signing secrets", "the local stack uses the sandbox provider", _SECRETS
    ),
    Permission("PaymentEventsRole", "kms:Decrypt", "key/*"): NotEnforced(
        "decrypts that secret if it is under a KMS key of the account",
        "the local stack uses the sandbox provider",
        _KEYS_OF_SECRETS,
    ),
    **{
        permission: use
        for permission, use in _function("payment_events").items()
        if permission.resource != "DataKey"  # it reads no table
    },
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
}
