"""`handoff cleanup --failed-create`: its list, its deletions, and the stacks and resources that it keeps."""

import json
from functools import cache, partial

import boto3
import pytest
from click.testing import CliRunner
from moto import mock_aws
from moto.cognitoidp.models import jwk

from dev.template import source
from ops.cleanup import kinds
from ops.cleanup.failed_stack import DESCRIPTION
from ops.cli import main as cli
from tests.support.aws_answers import AwsAnswers, refusal

REGION = "eu-central-1"
STACK = "handoff-prod"
ID = f"arn:aws:cloudformation:{REGION}:123456789012:stack/{STACK}/11111111-0000-0000-0000-000000000000"
EARLIER = f"arn:aws:cloudformation:{REGION}:123456789012:stack/{STACK}/00000000-0000-0000-0000-000000000000"
FAILED = ("ROLLBACK_FAILED", "ROLLBACK_IN_PROGRESS", "CREATE_IN_PROGRESS", "REVIEW_IN_PROGRESS")
DESCRIBED = "Handoff - an order workflow. POST /orders answers at once; everything else runs behind queues."
STACK_ITSELF = {"LogicalResourceId": STACK, "ResourceType": "AWS::CloudFormation::Stack"}
BUS, LOG = f"{STACK}-bus", f"/aws/events/{STACK}"


class Account:
    """An account with a failed stack, of which one resource of each kind is left."""

    def __init__(self, aws):
        self._aws = aws
        self.client = cache(partial(boto3.client, region_name=REGION))
        self.stacks = {}  # status and events by id
        self.deleted_stacks = []
        self.resources = []
        self.tags = {}  # the stack's id by ARN
        self.rule_lasts = 2  # refusals of the bus's deletion after that of its archive
        aws.answers.update(
            {
                "cloudformation.DescribeStacks": self._describe,
                "cloudformation.ListStacks": self._list,
                "cloudformation.DescribeStackEvents": self._events,
                "cloudformation.DeleteStack": self._delete,
                "resourcegroupstaggingapi.GetResources": self._tagged,
                "events.DeleteEventBus": self._delete_bus,
            }
        )

    @property
    def deletions(self):
        return [operation for operation in self._aws.asked if operation.partition(".")[2].startswith("Delete")]

    def stack(self, *states, stack_id=ID, description=DESCRIBED):
        """Add a stack with these states, the newest first."""
        self.stacks[stack_id] = {
            "StackId": stack_id,
            "StackName": STACK,
            "StackStatus": states[0],
            "Description": description,
            "states": states,
        }

    def left(self, logical_id, kind, physical_id, status="DELETE_SKIPPED", arn="", owner=ID):
        self.resources.append(
            {
                "LogicalResourceId": logical_id,
                "ResourceType": kind,
                "PhysicalResourceId": physical_id,
                "ResourceStatus": status,
            }
        )
        if arn:
            self.tags[arn] = owner

    def _describe(self, request):
        name = request["StackName"]
        found = [
            stack
            for stack_id, stack in self.stacks.items()
            if stack_id == name or (name == STACK and stack["StackStatus"] != "DELETE_COMPLETE")
        ]
        return {"Stacks": found} if found else refusal("ValidationError", f"Stack with id {name} does not exist")

    def _list(self, request):
        assert request["StackStatusFilter"] == ["DELETE_COMPLETE"]
        other = {"StackId": "other", "StackName": "other"}
        gone = [stack for stack in self.stacks.values() if stack["StackStatus"] == "DELETE_COMPLETE"]
        return {"StackSummaries": [other, *gone]}

    def _events(self, request):
        stack_id = request["StackName"]
        own = [
            {"PhysicalResourceId": stack_id, "ResourceStatus": state, **STACK_ITSELF}
            for state in self.stacks[stack_id]["states"]
        ]
        began = [one | {"ResourceStatus": "CREATE_COMPLETE"} for one in self.resources]
        planned = [one | {"ResourceStatus": "CREATE_IN_PROGRESS", "PhysicalResourceId": ""} for one in self.resources]
        return {"StackEvents": [*own, *self.resources, *began, *planned]}

    def _delete(self, request):
        self.deleted_stacks.append(request)
        self.stacks[request["StackName"]]["StackStatus"] = "DELETE_COMPLETE"
        return {}

    def _tagged(self, request):
        (wanted,) = request["TagFilters"]
        assert wanted["Key"] == "aws:cloudformation:stack-id"
        arns = [arn for arn, owner in self.tags.items() if [owner] == wanted["Values"]]
        return {"ResourceTagMappingList": [{"ResourceARN": arn} for arn in arns]}

    def _delete_bus(self, _request):
        archives = self.client("events").list_archives()["Archives"]
        if archives or self.rule_lasts:
            self.rule_lasts -= 0 if archives else 1
            return refusal("ValidationException", "EventBus can't be deleted since it has rules.")
        return None  # moto deletes it


@pytest.fixture
def aws(monkeypatch):
    for name in ("AWS_PROFILE", "HANDOFF_STACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setattr(kinds, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(jwk.RSAKey, "import_key", lambda _key: None)  # slow, and no pool signs a token here
    aws = AwsAnswers()
    monkeypatch.setattr(boto3, "Session", aws.session)
    with mock_aws():
        yield aws


@pytest.fixture
def account(aws):
    """The account after a failed first deployment of prod, with the deletion protection of DataPolicy=Retain."""
    account = Account(aws)
    client = account.client
    account.stack(*FAILED)
    table = client("dynamodb").create_table(
        TableName="orders",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        DeletionProtectionEnabled=True,
    )["TableDescription"]["TableArn"]
    queue = client("sqs").create_queue(QueueName="emails")["QueueUrl"]
    pool = client("cognito-idp").create_user_pool(PoolName="pool", DeletionProtection="ACTIVE")["UserPool"]
    client("cognito-idp").create_user_pool_domain(Domain="handoff", UserPoolId=pool["Id"])
    bus = client("events").create_event_bus(Name=BUS)["EventBusArn"]
    client("events").create_archive(ArchiveName="kept", EventSourceArn=bus)
    client("logs").create_log_group(logGroupName=LOG)
    account.left("OrdersTable", "AWS::DynamoDB::Table", "orders", arn=table)
    account.left("Bus", "AWS::Events::EventBus", BUS, "DELETE_FAILED", arn=bus)
    account.left("EmailsQueue", "AWS::SQS::Queue", queue, arn=f"arn:aws:sqs:{REGION}:123456789012:emails")
    account.left("UserPool", "AWS::Cognito::UserPool", pool["Id"], arn=pool["Arn"])
    account.left("AuditLog", "AWS::Logs::LogGroup", LOG, arn=f"arn:aws:logs:{REGION}:123456789012:log-group:{LOG}:*")
    account.left("Archive", "AWS::Events::Archive", "kept")
    account.left("OrdersRole", "AWS::IAM::Role", "role", "DELETE_COMPLETE")
    return account


def cleanup(*arguments, status=0):
    result = CliRunner().invoke(cli.main, ["cleanup", "--failed-create", "--stack", STACK, *arguments])
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert result.exit_code == status, result.output
    return result.output


def remaining(account):
    """The resources of the account that exist, by logical id."""
    client = account.client
    found = {
        "OrdersTable": client("dynamodb").list_tables()["TableNames"],
        "EmailsQueue": client("sqs").list_queues().get("QueueUrls", []),
        "UserPool": client("cognito-idp").list_user_pools(MaxResults=1)["UserPools"],
        "Bus": [bus for bus in client("events").list_event_buses()["EventBuses"] if bus["Name"] != "default"],
        "Archive": client("events").list_archives()["Archives"],
        "AuditLog": client("logs").describe_log_groups()["logGroups"],
    }
    return {name for name, exists in found.items() if exists}


ALL = {"OrdersTable", "EmailsQueue", "UserPool", "Bus", "Archive", "AuditLog"}


# --- what it does -----------------------------------------------------------------------------------------------------


def test_without_delete_it_only_lists(account):
    output = cleanup()
    for name in ALL:
        assert f"{name} (" in output
    assert output.count(": delete\n") == len(ALL) + 1  # and the stack
    assert "OrdersRole" not in output
    assert output.endswith("Nothing was deleted. To delete the resources marked so, add --delete.\n")
    assert remaining(account) == ALL
    assert account.deletions == []


def test_with_delete_nothing_is_left(account):
    output = cleanup("--delete", "--yes")
    assert remaining(account) == set()
    assert "the stack: deleted. Its name is free." in output
    assert account.deleted_stacks == [{"StackName": ID}]


def test_the_archive_is_deleted_before_its_bus_and_the_stack_at_last(account):
    cleanup("--delete", "--yes")
    order = [operation for operation in account.deletions if "events" in operation or "cloudformation" in operation]
    # The bus is refused twice, until the archive's rule is gone.
    assert order == ["events.DeleteArchive", *["events.DeleteEventBus"] * 3, "cloudformation.DeleteStack"]


def test_deletion_is_confirmed(account):
    runner = CliRunner()
    arguments = ["cleanup", "--failed-create", "--stack", STACK, "--delete"]
    assert runner.invoke(cli.main, arguments, input="n\n").exit_code == 1
    assert remaining(account) == ALL
    assert runner.invoke(cli.main, arguments, input="y\n").exit_code == 0
    assert remaining(account) == set()


def test_a_bus_whose_rule_stays_is_reported_and_the_stack_kept(account, monkeypatch):
    monkeypatch.setattr(kinds, "_RULE_WITHIN", -1.0)
    output = cleanup("--delete", "--yes", status=1)
    assert "event bus Bus: not deleted: " in output
    assert remaining(account) == {"Bus"}
    assert account.deleted_stacks == []
    # AND a second run finishes
    account.rule_lasts = 0
    cleanup("--delete", "--yes")
    assert remaining(account) == set()
    assert account.deleted_stacks != []


def test_what_a_deleted_stack_has_left_is_deleted_too(account):
    account.stack("DELETE_COMPLETE", *FAILED)
    cleanup("--delete", "--yes")
    assert remaining(account) == set()
    assert account.deleted_stacks == []


def test_a_resource_that_is_gone_already_is_not_listed(account):
    account.client("sqs").delete_queue(QueueUrl=account.client("sqs").get_queue_url(QueueName="emails")["QueueUrl"])
    assert "EmailsQueue" not in cleanup()


def test_the_key_is_never_deleted(account):
    account.left("DataKey", "AWS::KMS::Key", "1234")
    output = cleanup("--delete", "--yes")
    assert "aws kms schedule-key-deletion --key-id 1234" in output
    assert not [operation for operation in account.deletions if operation.startswith("kms")]


def test_other_types_are_left_to_cloudformation(account):
    account.left("OrdersRole", "AWS::IAM::Role", "role-2", "DELETE_FAILED")
    assert "CloudFormation deletes it with the stack" in cleanup("--delete", "--yes")
    assert account.deleted_stacks


# --- data -------------------------------------------------------------------------------------------------------------


def put_item(account):
    account.client("dynamodb").put_item(TableName="orders", Item={"id": {"S": "1"}})


def put_message(account):
    sqs = account.client("sqs")
    sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName="emails")["QueueUrl"], MessageBody="{}")


def put_received_message(account):
    put_message(account)
    sqs = account.client("sqs")
    sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName="emails")["QueueUrl"], VisibilityTimeout=600)


def put_user(account):
    cognito = account.client("cognito-idp")
    (pool,) = cognito.list_user_pools(MaxResults=1)["UserPools"]
    cognito.admin_create_user(UserPoolId=pool["Id"], Username="ada")


def put_event(account):
    account.client("events").put_events(
        Entries=[{"EventBusName": BUS, "Source": "s", "DetailType": "d", "Detail": json.dumps({"a": 1})}]
    )


def put_rule(account):
    account.client("events").put_rule(Name="loyalty", EventBusName=BUS, EventPattern="{}")


def put_stream(account):
    account.client("logs").create_log_stream(logGroupName=LOG, logStreamName="1")


DATA = {
    "OrdersTable": (
        put_item,
        {"OrdersTable", "Archive", "Bus"},
    ),  # the archive may have events that are not counted yet
    "EmailsQueue": (put_message, {"EmailsQueue"}),
    "EmailsQueue in flight": (put_received_message, {"EmailsQueue"}),
    "UserPool": (put_user, {"UserPool"}),
    "Archive": (put_event, {"Archive", "Bus"}),  # the archive's rule forbids deleting the bus
    "Bus": (put_rule, {"Bus"}),
    "AuditLog": (put_stream, {"AuditLog"}),
}


@pytest.mark.parametrize("what", DATA)
def test_data_is_kept_unless_it_is_named(what, account):
    put, kept = DATA[what]
    put(account)
    output = cleanup("--delete", "--yes")
    assert f"--with-data {what.split()[0]}" in output
    assert remaining(account) == kept
    # AND the stack stays if its deletion could take the bus along, whose removal had failed
    assert bool(account.deleted_stacks) is ("Bus" not in kept)


def test_data_that_is_named_is_deleted(account):
    put_item(account)
    put_user(account)
    cleanup("--delete", "--yes", "--with-data", "OrdersTable", "--with-data", "Archive")
    assert remaining(account) == {"UserPool"}


def test_a_name_that_is_not_in_the_list_deletes_nothing(account):
    put_item(account)
    assert "There is no OrderTable in this list" in cleanup("--delete", "--yes", "--with-data", "OrderTable", status=1)
    assert remaining(account) == ALL


def test_data_that_arrives_after_the_list_is_kept(account, monkeypatch):
    # GIVEN a table that is empty when it is listed, and has an item when it is to be deleted
    account._aws.answers["dynamodb.Scan"] = lambda _: {"Items": [{}] if account.deletions else [], "Count": 0}
    output = cleanup("--delete", "--yes", status=1)
    assert "table OrdersTable: not deleted: it holds items now" in output
    assert "OrdersTable" in remaining(account)
    assert account.deleted_stacks == []


def test_a_resource_whose_contents_are_unknown_is_kept(account):
    account._aws.answers["dynamodb.Scan"] = refusal("AccessDeniedException", "not authorized to perform: dynamodb:Scan")
    assert "AWS did not say what it holds" in cleanup("--delete", "--yes")
    assert "OrdersTable" in remaining(account)


# --- what it refuses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "states",
    [
        ("CREATE_COMPLETE", "CREATE_IN_PROGRESS"),
        ("UPDATE_ROLLBACK_COMPLETE", "CREATE_COMPLETE", "CREATE_IN_PROGRESS"),
        ("ROLLBACK_IN_PROGRESS", "CREATE_IN_PROGRESS"),
        ("CREATE_FAILED", "CREATE_IN_PROGRESS"),  # with rollback switched off: all resources are still in use
        ("DELETE_FAILED", "DELETE_IN_PROGRESS", "CREATE_COMPLETE", "CREATE_IN_PROGRESS"),
        ("DELETE_FAILED", "DELETE_IN_PROGRESS", "UPDATE_COMPLETE"),
        ("DELETE_FAILED", "DELETE_IN_PROGRESS"),  # its events do not go back to its creation
    ],
)
def test_a_stack_that_was_or_may_have_been_created_is_refused(states, account):
    account.stack(*states)
    assert f"'{STACK}' is {states[0]}" in cleanup("--delete", "--yes", status=1)
    assert remaining(account) == ALL


def test_a_deleted_stack_that_was_created_keeps_what_it_retained(account):
    account.stack("DELETE_COMPLETE", "CREATE_COMPLETE", "CREATE_IN_PROGRESS")
    assert "No stack 'handoff-prod' whose first deployment failed" in cleanup("--delete", "--yes", status=1)
    assert remaining(account) == ALL


def test_a_name_in_use_by_a_deployed_stack_is_refused_whatever_was_deleted(account):
    account.stack("DELETE_COMPLETE", *FAILED, stack_id=EARLIER)
    account.stack("CREATE_COMPLETE", "CREATE_IN_PROGRESS")
    cleanup("--delete", "--yes", status=1)
    assert remaining(account) == ALL


def test_resources_that_another_stack_of_the_name_owns_are_kept(account):
    """A former stack of this name was deployed, and retained its bus and log: the failed one never owned them."""
    account.tags = dict.fromkeys(account.tags, EARLIER)
    output = cleanup("--delete", "--yes")
    assert output.count("its tags do not name this stack") == len(ALL)
    assert remaining(account) == ALL


def test_a_stack_that_is_no_handoff_is_refused(account):
    account.stack(*FAILED, description="another app")
    assert "is not a Handoff" in cleanup("--delete", "--yes", status=1)
    account.stack("DELETE_COMPLETE", *FAILED, description="another app")
    assert "No stack 'handoff-prod'" in cleanup("--delete", "--yes", status=1)
    assert remaining(account) == ALL


def test_the_description_is_the_templates():
    assert source()["Description"].startswith(DESCRIPTION)


def test_an_unknown_profile_is_reported(account, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "unknown")
    assert "(unknown)" in cleanup(status=1)


def test_an_unknown_stack_is_refused(account):
    account.stacks = {}
    assert "No stack 'handoff-prod'" in cleanup(status=1)


def test_the_command_says_what_kind_of_cleanup_there_is(account):
    result = CliRunner().invoke(cli.main, ["cleanup", "--stack", STACK, "--delete", "--yes"])
    assert result.exit_code == 2
    assert "--failed-create" in result.stderr
    assert remaining(account) == ALL


def test_a_change_set_that_was_not_executed_is_no_stack(account):
    account.stack("DELETE_COMPLETE", *FAILED)
    account.stack("REVIEW_IN_PROGRESS", stack_id=EARLIER)
    cleanup("--delete", "--yes")
    assert remaining(account) == set()
    assert account.deleted_stacks == []


# --- the template -----------------------------------------------------------------------------------------------------


def test_every_type_that_the_template_retains_is_known():
    """Those with a DeletionPolicy that keeps them, with the key, which is never deleted by the command."""
    retained = {resource["Type"] for resource in source()["Resources"].values() if "DeletionPolicy" in resource}
    assert retained == kinds.KINDS.keys() | {"AWS::KMS::Key"}
