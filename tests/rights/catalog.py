"""What each right is for, and how to need it."""

from dataclasses import dataclass

from tests.rights import scenarios
from tests.rights.grants import Right
from tests.rights.scenarios import Scenario

_AWS = "https://docs.aws.amazon.com/"
_POLLER = _AWS + "lambda/latest/dg/services-sqs-configure.html"
_LOGS = _AWS + "lambda/latest/dg/monitoring-cloudwatchlogs.html"
_TRACES = _AWS + "lambda/latest/dg/services-xray.html"
_SCHEDULES = _AWS + "scheduler/latest/UserGuide/setting-up.html"
_DESTINATIONS = _AWS + "eventbridge/latest/userguide/eb-create-rule-api-destination-target.html"
_SECRETS = _AWS + "secretsmanager/latest/userguide/auth-and-access_iam-policies.html"
_KEYS = _AWS + "kms/latest/developerguide/services-dynamodb.html"
_KEYS_OF_QUEUES = _AWS + "AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html"
_CANARIES = _AWS + "serverless-application-model/latest/developerguide/automating-updates-to-serverless-apps.html"
_MAILS = _AWS + "ses/latest/dg/control-user-access.html"


@dataclass(frozen=True, slots=True)
class Tried:
    """A right that the local stack enforces: what it is for, what needs it, and what comes of that with it."""

    what_for: str
    scenario: Scenario
    wanted: str


@dataclass(frozen=True, slots=True)
class Told:
    """A right that the local stack can't enforce: what it is for, why it can't, and where AWS asks for it."""

    what_for: str
    why_not: str
    source: str


_NO_KEY = "it has no such key"
_NO_CANARY = "it knows no CodeDeploy"


def _consumer(name: str) -> dict[Right, Tried | Told]:
    """What every consumer does with its queues."""
    role, queue = f"{name.capitalize()}Role", f"{name.capitalize()}Queue"
    by_lambda = "Lambda's poller does it, under this role"
    return {
        Right(role, "sqs:ReceiveMessage", queue): Told("Lambda takes messages for it", by_lambda, _POLLER),
        Right(role, "sqs:GetQueueAttributes", queue): Told("Lambda asks how the queue is set", by_lambda, _POLLER),
        Right(role, "sqs:DeleteMessage", queue): Tried(
            "deletes what came back as soon as it is done", scenarios.delete_what_came_back(name), "deleted"
        ),
        Right(role, "sqs:ChangeMessageVisibility", queue): Tried(
            "tries again later and later", scenarios.back_off(name), "back in 10 s"
        ),
        Right(role, "sqs:SendMessage", f"{name.capitalize()}DeadLetters"): Tried(
            "gives a dead letter its reason", scenarios.bury(name), "a dead letter"
        ),
        Right(role, "kms:GenerateDataKey", "DataKey"): Told(
            "writes dead letters under the stack's own key", _NO_KEY, _KEYS_OF_QUEUES
        ),
    }


def _function(name: str) -> dict[Right, Tried | Told]:
    """What Lambda does for every function, under its role."""
    role, logs = f"{name.capitalize()}Role", f"{name.capitalize()}Logs"
    by_lambda = "Lambda does it, under this role"
    return {
        Right(role, "logs:CreateLogStream", logs): Told("a log stream per instance", by_lambda, _LOGS),
        Right(role, "logs:PutLogEvents", logs): Told("logs, and metrics in them", by_lambda, _LOGS),
        Right(role, "xray:PutTraceSegments", "*"): Told("traces; X-Ray has no resources to name", by_lambda, _TRACES),
        Right(role, "xray:PutTelemetryRecords", "*"): Told(
            "traces; X-Ray has no resources to name", by_lambda, _TRACES
        ),
        Right(role, "kms:Decrypt", "DataKey"): Told("reads what is under the stack's own key", _NO_KEY, _KEYS),
    }


def _payments(role: str, ask: Scenario, wanted: str, settle: Scenario, settled: str) -> dict[Right, Tried | Told]:
    """What whoever asks the payment provider needs for it."""
    return {
        Right(role, "dynamodb:PutItem", "SandboxTable"): Tried("asks the sandbox provider", ask, wanted),
        Right(role, "dynamodb:UpdateItem", "SandboxTable"): Tried(
            "changes a hold in the sandbox provider's ledger", settle, settled
        ),
        Right(role, "secretsmanager:GetSecretValue", "secret:StripeSecret-??????"): Told(
            "reads Stripe's API key", "the local stack's provider is the sandbox", _SECRETS
        ),
    }


CATALOGUE: dict[Right, Tried | Told] = {
    # --- orders
    Right("OrdersRole", "dynamodb:GetItem", "OrdersTable"): Tried("GET /orders/{orderId}", scenarios.read, "200"),
    Right("OrdersRole", "dynamodb:PutItem", "OrdersTable"): Tried("reserves: a new order", scenarios.place, "201"),
    Right("OrdersRole", "dynamodb:UpdateItem", "OrdersTable"): Tried("commits the order", scenarios.place, "201"),
    Right("OrdersRole", "dynamodb:Query", "OrdersTable/index/byUser"): Tried("GET /orders", scenarios.read_list, "200"),
    Right("OrdersRole", "dynamodb:Scan", "ProductsTable"): Tried(
        "its copy of the catalog", scenarios.read_catalog, "200"
    ),
    Right("OrdersRole", "dynamodb:UpdateItem", "ProductsTable"): Tried("reserves: the stock", scenarios.place, "201"),
    Right("OrdersRole", "dynamodb:GetItem", "CustomersTable"): Tried("GET /me", scenarios.read_profile, "200"),
    Right("OrdersRole", "dynamodb:UpdateItem", "CustomersTable"): Tried("PUT /me", scenarios.make_profile, "200"),
    Right("OrdersRole", "dynamodb:Query", "SalesTable"): Tried("GET /reports/sales", scenarios.read_sales, "200"),
    Right("OrdersRole", "events:PutEvents", "Bus"): Tried("announces the order", scenarios.publish, "published"),
    **_payments("OrdersRole", scenarios.place, "201", scenarios.place_again_after_a_refusal, "201"),
    **_function("orders"),
    # --- emails
    Right("EmailsRole", "dynamodb:GetItem", "OrdersTable"): Tried("what to write", scenarios.mail, "a mail"),
    Right("EmailsRole", "dynamodb:GetItem", "CustomersTable"): Tried("whom to write to", scenarios.mail, "a mail"),
    Right("EmailsRole", "dynamodb:UpdateItem", "CustomersTable"): Tried(
        "forgets an old address once it was told", scenarios.tell_of_address, "forgotten"
    ),
    Right("EmailsRole", "dynamodb:PutItem", "IdempotencyTable"): Tried("one mail an event", scenarios.mail, "a mail"),
    Right("EmailsRole", "dynamodb:UpdateItem", "IdempotencyTable"): Tried(
        "remembers that it was sent", scenarios.handle("emails"), "done"
    ),
    Right("EmailsRole", "dynamodb:DeleteItem", "IdempotencyTable"): Tried(
        "lets a mail that failed be tried again", scenarios.mail_again_after_a_failure, "a mail"
    ),
    Right("EmailsRole", "ses:SendEmail", "*"): Tried("sends it", scenarios.mail, "a mail"),
    Right("EmailsRole", "ses:SendEmail", "identity/*"): Told(
        "sends it: SES asks for the sender's identity, and in its sandbox for the recipient's",
        "its IAM knows no identities; tried as `*`",
        _MAILS,
    ),
    Right("EmailsRole", "ses:SendEmail", "configuration-set/MailConfiguration"): Told(
        "sends it: SES asks for the configuration set as well", "its IAM knows none; tried as `*`", _MAILS
    ),
    **_consumer("emails"),
    **_function("emails"),
    # --- analytics
    Right("AnalyticsRole", "dynamodb:BatchGetItem", "OrdersTable"): Tried("what to count", scenarios.count, "counted"),
    Right("AnalyticsRole", "dynamodb:Query", "SalesTable"): Tried(
        "which generation counts", scenarios.count, "counted"
    ),
    Right("AnalyticsRole", "dynamodb:PutItem", "SalesTable"): Tried("the event's marker", scenarios.count, "counted"),
    Right("AnalyticsRole", "dynamodb:UpdateItem", "SalesTable"): Tried("the counters", scenarios.count, "counted"),
    **_consumer("analytics"),
    **_function("analytics"),
    # --- fulfillment
    Right("FulfillmentRole", "dynamodb:GetItem", "OrdersTable"): Tried(
        "how far the order is", scenarios.prepare, "PREPARED"
    ),
    Right("FulfillmentRole", "dynamodb:UpdateItem", "OrdersTable"): Tried(
        "takes the order on", scenarios.prepare, "PREPARED"
    ),
    Right("FulfillmentRole", "dynamodb:PutItem", "ShipmentsTable"): Tried(
        "writes the shipment", scenarios.prepare, "PREPARED"
    ),
    Right("FulfillmentRole", "dynamodb:UpdateItem", "ShipmentsTable"): Tried(
        "releases what is paid", scenarios.capture, "captured"
    ),
    Right("FulfillmentRole", "events:PutEvents", "Bus"): Tried(
        "announces the shipment", scenarios.announce, "published"
    ),
    **_payments("FulfillmentRole", scenarios.capture, "captured", scenarios.capture, "captured"),
    **_consumer("fulfillment"),
    **_function("fulfillment"),
    # --- feedback
    Right("FeedbackRole", "dynamodb:UpdateItem", "CustomersTable"): Tried(
        "marks an address", scenarios.mark, "bounced"
    ),
    **_consumer("feedback"),
    **_function("feedback"),
    # --- sweeper
    Right("SweeperRole", "dynamodb:Query", "OrdersTable/index/unfinished"): Tried(
        "finds unfinished orders", scenarios.sweep_an_order, "published"
    ),
    Right("SweeperRole", "dynamodb:BatchGetItem", "OrdersTable"): Tried(
        "reads them as they are now", scenarios.sweep_an_order, "published"
    ),
    Right("SweeperRole", "dynamodb:UpdateItem", "OrdersTable"): Tried(
        "finishes them", scenarios.sweep_an_order, "published"
    ),
    Right("SweeperRole", "dynamodb:Query", "CustomersTable/index/unfinished"): Tried(
        "finds unfinished profiles", scenarios.sweep_a_profile, "published"
    ),
    Right("SweeperRole", "dynamodb:BatchGetItem", "CustomersTable"): Tried(
        "reads them as they are now", scenarios.sweep_a_profile, "published"
    ),
    Right("SweeperRole", "dynamodb:UpdateItem", "CustomersTable"): Tried(
        "finishes them", scenarios.sweep_a_profile, "published"
    ),
    Right("SweeperRole", "dynamodb:UpdateItem", "ProductsTable"): Tried(
        "gives an expired order's stock back", scenarios.expire, "REJECTED"
    ),
    Right("SweeperRole", "dynamodb:UpdateItem", "ShipmentsTable"): Tried(
        "releases what is paid", scenarios.capture_late, "captured"
    ),
    Right("SweeperRole", "events:PutEvents", "Bus"): Tried(
        "publishes what was left", scenarios.sweep_after_a_restart, "published"
    ),
    **_payments("SweeperRole", scenarios.void, "voided", scenarios.void, "voided"),
    **_function("sweeper"),
    # --- services
    Right("SweeperFunctionEveryMinuteRole", "lambda:InvokeFunction", "SweeperFunction"): Told(
        "starts the sweeper each minute", "the scheduler does it, under this role", _SCHEDULES
    ),
    **{
        Right("DeployRole", f"lambda:{action}", resource): Told(
            "shifts requests from one version to the next", _NO_CANARY, _CANARIES
        )
        for action in ("GetAlias", "UpdateAlias", "GetProvisionedConcurrencyConfig")
        for resource in ("OrdersFunction", "OrdersFunction:live")
    },
    Right("DeployRole", "cloudwatch:DescribeAlarms", "alarm:*"): Told(
        "looks whether to go back", _NO_CANARY, _CANARIES
    ),
    Right("PartnerRole", "events:InvokeApiDestination", "PartnerDestination"): Told(
        "sends events to the partner", "it knows no API destinations", _DESTINATIONS
    ),
}
