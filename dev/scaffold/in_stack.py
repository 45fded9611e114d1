"""A consumer in this stack: its files, and its line in every list of consumers."""

from dev.scaffold.edits import Edits, filled
from dev.scaffold.request import ALARMS, ConsumerRequest
from shop.events import DetailType

_TEMPLATE = "template.yaml"
_MODEL = "fulfillment"  # the consumer whose lines in lists are copied
# Its lines in the lists of template.yaml.
_LISTED = (
    "- !Ref FulfillmentErrorsAlarm",  # DeploymentPreference
    "- !GetAtt FulfillmentRule.Arn",  # UndeliveredQueuePolicy
    "- !Ref FulfillmentLogs",  # OrderLinesQuery
    # the dashboard
    " ".join(f'"${{Fulfillment{kind}Alarm.Arn}}",' for kind in ALARMS),
    '["Handoff", "EventLagDone", "service", "${AWS::StackName}", "consumer", "fulfillment"],',
    '["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", "${FulfillmentQueue.QueueName}"],',
    '["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", "${FulfillmentQueue.QueueName}"],',
    '["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", "${FulfillmentDeadLetters.QueueName}"],',
    '["AWS/Lambda", "Errors", "FunctionName", "${FulfillmentFunction}"],',
)
_SWEEPER = "# FUNCTION sweeper: finishes work that a crash left unfinished"
_SAMPLES = {  # in dev/samples.py, the names of the sample events
    DetailType.ORDER_PLACED: "placed, other_placed",
    DetailType.ORDER_CANCELLED: "other_cancelled",
    DetailType.SHIPMENT_PREPARED: "prepared",
    DetailType.SHIPMENT_RELEASED: "released",
    DetailType.REFUND_REQUESTED: "refund_requested",
    DetailType.ORDER_REFUNDED: "refunded",
    DetailType.RETURN_REQUESTED: "returned",
    DetailType.PAYMENT_DISPUTED: "disputed",
}
_CONSUMERS = "| consumer | events | effect | idempotent by | batch, concurrency |"
# Modules that generate files from the written ones, each others.
GENERATORS = ("dev.scaffold.generate", "tests.permissions.page", "tests.template.released_resources")
GENERATED = (
    "events/{name}.json",
    "docs/reference/alarms.md",
    "docs/reference/events.md",
    "docs/reference/permissions.md",
    "tests/template/released_resources.toml",
    "tests/template/snapshot.toml",
)
NEW = ("functions/{name}", "events/{name}.json", "tests/integration/test_{name}.py")
NEXT = """\
Your business: the function `effect` in functions/{name}/{name}.py, its table in template.yaml ({Name}Table), and its
test tests/integration/test_{name}.py.
Check it:      make lint test
Try it:        make run, then in another terminal: .venv/bin/handoff lag --local
Permissions:   make permissions ONLY={Name}Role tries them, writes docs/reference/permissions.md"""


def add(request: ConsumerRequest, edits: Edits) -> None:
    """Add the consumer's files and lines."""
    name, words = request.name, request.words
    edits.create(f"functions/{name}/{name}.py", filled("function.py.txt", words))
    edits.create(f"tests/integration/test_{name}.py", filled("test.py.txt", words))
    edits.before(_TEMPLATE, _SWEEPER, filled("resources.yaml.txt", words), above=1)  # the banner's first line
    for line in _LISTED:
        edits.after(_TEMPLATE, line, lambda line: _renamed(line, request))
    sample = (
        f'        "{name}.json": _queued("{name}", [{", ".join(_SAMPLES[each] for each in request.detail_types)}]),\n'
    )
    edits.before("dev/samples.py", '"sweeper.json": _scheduled("sweeper"),', sample)
    edits.before("tests/template/test_permissions.py", '"sweeper": {', filled("permissions.txt", words))
    edits.before("tests/permissions/catalog.py", "# --- sweeper", filled("purposes.txt", words))
    edits.append_row("docs/architecture.md", _CONSUMERS, filled("row.md.txt", words).rstrip("\n"))


def _renamed(line: str, request: ConsumerRequest) -> str:
    return line.replace(_MODEL.capitalize(), request.title).replace(_MODEL, request.name)
