"""Audit log and archive. No local engine has them, so these tests compare them with AWS's documentation."""

import json

from moto.events.models import EventPattern

from dev.template import ROOT, Consumer, Properties, Template, template_with
from ops import replay
from shop.events import DetailType
from tests.template.test_events import event

LOG_ARN = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${AuditLog}"


def audit(template: Template) -> Properties:
    """Return the rule of the audit log."""
    return template.of_type("AWS::Events::Rule")["AuditRule"]


# --- audit ------------------------------------------------------------------------------------------------------------


def test_the_audit_log_keeps_every_event_from_any_sender(template: Template) -> None:
    pattern = EventPattern.load(json.dumps(audit(template)["EventPattern"]))
    assert audit(template)["EventBusName"] == "${Bus}"
    for detail_type in DetailType:
        assert pattern.matches_event(event(detail_type))
    assert pattern.matches_event({"source": "another.stack", "detail-type": "anything", "detail": {}})


def test_the_audit_log_keeps_events_for_a_year(template: Template) -> None:
    # GIVEN that EventBridge writes only to log groups under /aws/events/
    (target,) = audit(template)["Targets"]
    group = template.of_type("AWS::Logs::LogGroup")["AuditLog"]
    assert group["LogGroupName"] == "/aws/events/${AWS::StackName}"
    assert group["RetentionInDays"] == 365
    # THEN the target is such a group, without the ":*" of the group's ARN attribute, and without a role
    assert target["Arn"] == LOG_ARN
    assert "RoleArn" not in target


def test_eventbridge_may_write_only_to_the_audit_log(template: Template) -> None:
    group = template.of_type("AWS::Logs::LogGroup")["AuditLog"]
    create, put = group["ResourcePolicyDocument"]["Statement"]
    for statement in (create, put):
        assert statement["Effect"] == "Allow"
        assert set(statement["Principal"]["Service"]) == {"events.amazonaws.com", "delivery.logs.amazonaws.com"}
        assert statement["Resource"] == f"{LOG_ARN.replace('${AuditLog}', group['LogGroupName'])}:*"
    assert (create["Action"], put["Action"]) == ("logs:CreateLogStream", "logs:PutLogEvents")
    # AND only for rules of the bus. Naming the rule would be circular: its target is the group
    rules = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/${Bus}/*"
    assert put["Condition"] == {"ArnLike": {"aws:SourceArn": rules}}


def test_no_stack_takes_one_of_the_accounts_few_log_policies(template: Template) -> None:
    """Ten in a region: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html"""
    assert "AWS::Logs::ResourcePolicy" not in {resource["Type"] for resource in template.resources.values()}


def test_a_saved_query_finds_the_audit_trail_of_one_order(template: Template) -> None:
    query = template.of_type("AWS::Logs::QueryDefinition")["OrderTrailQuery"]
    assert query["LogGroupNames"] == ["${AuditLog}"]
    assert 'filter detail.data.orderId = "ORDER_ID"' in query["QueryString"]
    assert "`detail-type`" in query["QueryString"]
    # AND the docs show the same query
    documented = (ROOT / "docs/how-to/monitor.md").read_text()
    assert all(line in documented for line in query["QueryString"].splitlines())


def test_the_audit_log_has_the_deletion_policy_of_the_tables(template: Template) -> None:
    assert template.resources["AuditLog"]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert template_with(DataPolicy="Delete").resources["AuditLog"]["DeletionPolicy"] == "Delete"


def test_the_audit_log_can_be_disabled() -> None:
    template = template_with(Audit="false")
    assert not {"AuditRule", "AuditLog", "OrderTrailQuery"} & template.resources.keys()


# --- archive and replay -----------------------------------------------------------------------------------------------


def test_the_archive_keeps_all_events_of_the_bus_for_a_year(template: Template) -> None:
    (archive,) = template.of_type("AWS::Events::Archive").values()
    assert archive["SourceArn"] == "${Bus.Arn}"
    assert archive["RetentionDays"] == 365
    assert "EventPattern" not in archive


def test_the_archive_is_retained_with_its_bus_once_they_are_in_use(template: Template) -> None:
    """Its rule is on the bus, which can't be deleted before it. So their policies must not differ."""
    for name in ("Archive", "Bus"):
        assert template.resources[name]["DeletionPolicy"] == "RetainExceptOnCreate"
        assert template_with(DataPolicy="Delete").resources[name]["DeletionPolicy"] == "Delete"


def test_zero_days_of_retention_create_no_archive() -> None:
    # GIVEN that zero would mean unlimited retention on AWS
    assert template_with(ArchiveDays="30").resources["Archive"]["Properties"]["RetentionDays"] == "30"
    assert "Archive" not in template_with(ArchiveDays="0").resources


def test_a_replay_finds_a_rule_by_its_consumers_name(template: Template, consumer: Consumer) -> None:
    # GIVEN that `handoff replay` derives a rule's name from its logical id
    on_the_bus = {name for name, rule in consumer.rules.items() if rule["EventBusName"] == "${Bus}"}
    # THEN the name is that of the consumer
    assert {name.removesuffix("Rule").lower() for name in on_the_bus} <= {consumer.name}


def test_a_replay_goes_to_analytics_unless_others_are_named() -> None:
    assert replay.DEFAULT == ("analytics",)
    # AND every other consumer has a caution about the effects
    others = [found.name for found in template_with().event_consumers() if found.name != "analytics"]
    wanted = replay.parse("2026-11-22T10:00:00Z", "2026-11-23T09:00:00Z", others)
    assert [caution.partition(":")[0] for caution in wanted.cautions] == others
