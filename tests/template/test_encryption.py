"""Encryption at rest, with AWS's keys or the stack's own key and its policy, and in transit, with TLS."""

import json
import re
from typing import Any

import pytest

from dev.template import ROOT, WITH_PARTNER, Properties, Template, as_list, logical_id, template_with

KEY = "${DataKey.Arn}"
ACCOUNT = {"StringEquals": {"aws:SourceAccount": "${AWS::AccountId}"}}
DYNAMODB, SQS = "dynamodb.${AWS::Region}.${AWS::URLSuffix}", "sqs.${AWS::Region}.${AWS::URLSuffix}"
SERVICES = {"dynamodb": DYNAMODB, "sqs": SQS}
# The property that names the key, for each type of resource that stores data.
NAMES_KEY = {
    "AWS::DynamoDB::Table": lambda table: table["SSESpecification"].get("KMSMasterKeyId"),
    "AWS::SQS::Queue": lambda queue: queue.get("KmsMasterKeyId"),
    "AWS::SNS::Topic": lambda topic: topic.get("KmsMasterKeyId"),
    "AWS::Logs::LogGroup": lambda group: group.get("KmsKeyId"),
}
# The bus and its archive use AWS's key: events hold only ids, and without a key no event could be published.
WITH_AWS_KEY = {"AWS::Events::EventBus", "AWS::Events::Archive"}


@pytest.fixture(scope="module")
def own() -> Template:
    """The template with OwnKey and the partner's resources."""
    return template_with(**WITH_PARTNER, OwnKey="true")


def key_policy(template: Template) -> dict[str, Properties]:
    """Return the statements of the key's policy by principal."""
    statements = template.resources["DataKey"]["Properties"]["KeyPolicy"]["Statement"]
    assert {statement["Effect"] for statement in statements} == {"Allow"}
    return {str(*statement["Principal"].values()): statement for statement in statements}


# --- encryption of stored data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NAMES_KEY)
def test_with_own_key_all_stored_data_is_encrypted_with_it(own: Template, kind: str) -> None:
    keys = {name: NAMES_KEY[kind](properties) for name, properties in own.of_type(kind).items()}
    assert keys == dict.fromkeys(keys, KEY)


@pytest.mark.parametrize("kind", NAMES_KEY)
def test_without_own_key_no_resource_uses_a_kms_key(template: Template, kind: str) -> None:
    assert {NAMES_KEY[kind](properties) for properties in template.of_type(kind).values()} == {None}
    assert not [name for name, resource in template.resources.items() if resource["Type"].startswith("AWS::KMS")]
    # AND no role may use a key, but that of partners: the secret that it reads may be under another key of the account
    assert "kms:" not in json.dumps(template_with().resources)


def test_resources_without_customer_data_use_no_kms_key(own: Template) -> None:
    # GIVEN the resource types in the template whose CloudFormation schema accepts a KMS key
    takes_key = {*NAMES_KEY, *WITH_AWS_KEY, "AWS::Lambda::Function", "AWS::Lambda::EventSourceMapping"}
    takes_key |= {"AWS::Scheduler::Schedule"}
    # THEN those that store no customer data have none
    for name, resource in own.resources.items():
        if resource["Type"] in takes_key - NAMES_KEY.keys():
            assert not re.search("Kms|DataKey", json.dumps(resource.get("Properties"))), name


def test_a_table_with_own_key_has_the_settings_that_dynamodb_requires(own: Template) -> None:
    for table in own.of_type("AWS::DynamoDB::Table").values():
        assert table["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": KEY}


def test_a_queue_has_exactly_one_kind_of_encryption(template: Template, own: Template, queue_id: str) -> None:
    plain, under_key = template.of_type("AWS::SQS::Queue")[queue_id], own.of_type("AWS::SQS::Queue")[queue_id]
    assert plain["SqsManagedSseEnabled"] is True
    assert "KmsDataKeyReusePeriodSeconds" not in plain
    assert under_key["SqsManagedSseEnabled"] is False
    assert 60 <= under_key["KmsDataKeyReusePeriodSeconds"] <= 86400  # limits of SQS


def test_no_template_uses_an_aws_managed_key_for_sqs_or_sns() -> None:
    """EventBridge and CloudWatch can't use the AWS managed keys for SQS and SNS."""
    for template in (ROOT / "template.yaml", *ROOT.glob("examples/*/template.yaml")):
        assert not re.search(r"alias/aws/", template.read_text()), template


def test_the_key_is_rotated_and_outlives_the_stack(own: Template) -> None:
    key = own.resources["DataKey"]
    assert key["Properties"]["EnableKeyRotation"] is True
    assert key["DeletionPolicy"] == key["UpdateReplacePolicy"] == "Retain"
    alias = own.resources["DataKeyAlias"]["Properties"]
    assert alias == {"AliasName": "alias/${AWS::StackName}", "TargetKeyId": "${DataKey}"}


# --- who may use the key ----------------------------------------------------------------------------------------------


def test_the_key_policy_allows_the_account_and_three_services(own: Template) -> None:
    assert key_policy(own).keys() == {
        "arn:${AWS::Partition}:iam::${AWS::AccountId}:root",
        "events.amazonaws.com",
        "cloudwatch.amazonaws.com",
        "logs.${AWS::Region}.${AWS::URLSuffix}",
    }


def test_iam_policies_decide_who_in_the_account_may_use_the_key(own: Template) -> None:
    statement = key_policy(own)["arn:${AWS::Partition}:iam::${AWS::AccountId}:root"]
    assert (statement["Action"], statement["Resource"]) == ("kms:*", "*")


@pytest.mark.parametrize("service", ["events.amazonaws.com", "cloudwatch.amazonaws.com"])
def test_services_that_send_to_queues_or_the_topic_may_use_the_key(own: Template, service: str) -> None:
    """See https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
    and https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html."""
    # GIVEN a service that sends to a queue or the topic
    assert service in senders(own)
    # THEN the key's policy allows it
    statement = key_policy(own)[service]
    assert {action.rstrip("*") for action in statement["Action"]} == {"kms:Decrypt", "kms:GenerateDataKey"}


def test_the_key_policy_has_only_conditions_that_each_service_sends(own: Template) -> None:
    """EventBridge may send no source account: https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html.
    A condition on it would reject every event, at the queue and at the undelivered queue."""
    policy = key_policy(own)
    assert "Condition" not in policy["events.amazonaws.com"]
    assert policy["cloudwatch.amazonaws.com"]["Condition"] == ACCOUNT
    # AND the policies of the queues name the rules
    for queue in own.of_type("AWS::SQS::QueuePolicy").values():
        for statement in queue["PolicyDocument"]["Statement"]:
            if statement["Effect"] == "Allow":
                assert statement["Condition"].keys() == {"ArnEquals"}
                assert statement["Condition"]["ArnEquals"].keys() == {"aws:SourceArn"}


def senders(template: Template) -> set[str]:
    """Return the services that the policies of queues and topics allow."""
    kinds = ("AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy")
    statements = [
        statement
        for kind in kinds
        for policy in template.of_type(kind).values()
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    return {statement["Principal"]["Service"] for statement in statements if statement["Effect"] == "Allow"}


def test_only_two_services_send_to_queues_and_the_topic(own: Template) -> None:
    assert senders(own) == {"events.amazonaws.com", "cloudwatch.amazonaws.com"}


def test_cloudwatch_logs_may_use_the_key_for_this_stacks_groups_only(own: Template) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html"""
    statement = key_policy(own)["logs.${AWS::Region}.${AWS::URLSuffix}"]
    operations = ("Encrypt*", "Decrypt*", "ReEncrypt*", "GenerateDataKey*", "Describe*")
    assert set(statement["Action"]) == {f"kms:{operation}" for operation in operations}
    (condition,) = statement["Condition"].values()
    (patterns,) = condition.values()
    assert statement["Condition"].keys() == {"ArnLike"}
    assert condition.keys() == {"kms:EncryptionContext:aws:logs:arn"}
    # GIVEN the names of the log groups; those chosen by CloudFormation begin with the stack's name
    prefix = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:"
    for name, group in own.of_type("AWS::Logs::LogGroup").items():
        arn = prefix + group.get("LogGroupName", f"${{AWS::StackName}}-{name}-1A2B3C")
        # THEN each matches a pattern
        assert any(re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), arn) for pattern in patterns), name
    # AND no other log group of the account does
    assert all(pattern.startswith((f"{prefix}${{AWS::StackName}}-", f"{prefix}/aws/events/$")) for pattern in patterns)


@pytest.mark.parametrize("name", template_with().functions())
def test_a_function_may_use_the_key_only_through_its_tables_and_queues(own: Template, name: str) -> None:
    # GIVEN a function's actions on tables and queues
    statements = statements_of(own, name)
    does = {action for statement in statements for action in as_list(statement["Action"])}
    through = {service for kind, service in SERVICES.items() if any(action.startswith(f"{kind}:") for action in does)}
    needed = {"kms:Decrypt"} | ({"kms:GenerateDataKey"} if "sqs:SendMessage" in does else set())
    # THEN it may use the key for these actions only
    (using,) = (statement for statement in statements if statement["Resource"] == KEY)
    assert set(as_list(using["Action"])) == needed
    assert using["Condition"].keys() == {"StringEquals"}
    assert using["Condition"]["StringEquals"].keys() == {"kms:ViaService"}
    assert set(as_list(using["Condition"]["StringEquals"]["kms:ViaService"])) == through


def statements_of(template: Template, function: str) -> list[dict[str, Any]]:
    """Return the statements of a function's role."""
    role = template.of_type("AWS::IAM::Role")[logical_id(template.functions()[function]["Role"])]
    return [statement for policy in role["Policies"] for statement in policy["PolicyDocument"]["Statement"]]


# --- TLS --------------------------------------------------------------------------------------------------------------


def topic_policy(template: Template) -> list[Properties]:
    """Return the statements of the topic's policy."""
    (policy,) = template.of_type("AWS::SNS::TopicPolicy").values()
    assert policy["Topics"] == ["${AlarmTopic}"]
    statements: list[Properties] = policy["PolicyDocument"]["Statement"]
    return statements


def test_only_alarms_of_this_account_may_publish_to_the_topic(template: Template) -> None:
    (allowed,) = (statement for statement in topic_policy(template) if statement["Effect"] == "Allow")
    alarms = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:*"
    assert allowed == {
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": "${AlarmTopic}",
        "Condition": {"ArnLike": {"aws:SourceArn": alarms}},
    }


def test_the_topic_rejects_requests_without_tls(template: Template) -> None:
    (denied,) = (statement for statement in topic_policy(template) if statement["Effect"] == "Deny")
    assert denied == {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sns:Publish",
        "Resource": "${AlarmTopic}",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def test_requests_without_tls_are_allowed_only_with_require_tls_off() -> None:
    template = template_with(**WITH_PARTNER, RequireTls="false")
    assert "aws:SecureTransport" not in json.dumps(template.resources)
