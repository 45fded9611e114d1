"""The bus and its rules: which events reach which consumer, and where undelivered events go."""

import itertools
import json
from typing import Any

import pytest
from moto.events.models import EventPattern

from dev import samples
from dev.template import ROOT, Consumer, Properties, Template, as_list, logical_id, template_with
from ops.trace import effects
from shop.events import EVENTS, DetailType

EXAMPLES = ROOT / "contracts/events/examples"
HOUR = 3_600
# A new consumer may be added here. The general tests below apply to it in any case.
MATCHED = {
    "emails": set(DetailType)
    - {
        *(DetailType.SHIPMENT_PREPARED, DetailType.REFUND_REQUESTED),
        *(DetailType.PAYMENT_DISPUTED, DetailType.PAYMENT_EVENT, DetailType.USER_ERASED),
    },
    "analytics": {DetailType.ORDER_PLACED, DetailType.ORDER_CANCELLED, DetailType.ORDER_REFUNDED},
    "fulfillment": {DetailType.ORDER_PLACED},
    "settlement": {
        *(DetailType.ORDER_CANCELLED, DetailType.SHIPMENT_PREPARED, DetailType.REFUND_REQUESTED),
        DetailType.PAYMENT_EVENT,
    },
    "partners": set(DetailType)
    - {DetailType.USER_PROFILE_UPDATED, DetailType.REFUND_REQUESTED, DetailType.PAYMENT_EVENT},
}


def event(detail_type: DetailType) -> dict[str, Any]:
    """Return an event as the functions publish it, recorded by tests/contracts."""
    seen: dict[str, Any] = json.loads((EXAMPLES / f"{detail_type}.json").read_text(encoding="utf-8"))
    EVENTS.parse(json.dumps(seen))
    return seen


def matched_by(rule: Properties) -> set[DetailType]:
    """Return the events that a rule's pattern matches."""
    pattern = EventPattern.load(json.dumps(rule["EventPattern"]))
    return {detail_type for detail_type in DetailType if pattern.matches_event(event(detail_type))}


@pytest.mark.parametrize("name", MATCHED)
def test_a_consumers_rule_matches_exactly_its_events(template: Template, name: str) -> None:
    (consumer,) = (consumer for consumer in template.consumers() if consumer.name == name)
    (rule,) = consumer.rules.values()
    assert matched_by(rule) == MATCHED[name]


def test_every_event_but_of_disputes_and_erasures_has_a_consumer() -> None:
    template = template_with()
    rules = [rule for consumer in template.consumers() for rule in consumer.rules.values()]
    consumed = set(itertools.chain.from_iterable(matched_by(rule) for rule in rules))
    # A dispute raises an alarm. Both events are for the shop's own consumers, and for its partner.
    assert set(DetailType) - consumed <= {DetailType.PAYMENT_DISPUTED, DetailType.USER_ERASED}


def test_each_effect_in_words_is_of_an_event_that_its_consumer_gets() -> None:
    matched = {
        consumer.name: matched_by(rule) for consumer in template_with().consumers() for rule in consumer.rules.values()
    }
    wrong = [(consumer, event) for consumer, event in effects.EFFECTS if event not in matched[consumer]]
    assert not wrong
    assert effects.ENDS.keys() <= {*matched, "partners"}


def test_a_rule_is_updated_after_its_consumer(template: Template, consumer: Consumer) -> None:
    # Old code would send an event of a new type to the dead-letter queue.
    assert all(consumer.function_id in updated_before(template, name) for name in consumer.rules)


def test_released_shipments_are_mailed_once_all_captures_publish_them(template: Template) -> None:
    # GIVEN that earlier releases published no event with a capture, and mailed shipment_prepared
    capturing = {"FulfillmentFunction", "SettlementFunction", "SweeperFunction"}

    # THEN an order that is packed after the change of the rule is captured by code that publishes the event
    assert capturing <= updated_before(template, "EmailsRule")


def updated_before(template: Template, name: str) -> set[str]:
    """Return the resources that CloudFormation updates before this one, as far as it says so itself."""
    return set(as_list(template.resources[name].get("DependsOn", [])))


def test_a_pattern_names_only_events_and_sources_that_exist(choosing_rule: Properties) -> None:
    # GIVEN a pattern by source and detail-type only, so that a reader sees which events it matches
    pattern = choosing_rule["EventPattern"]
    assert pattern.keys() == {"source", "detail-type"}
    # THEN each detail-type exists, and the sources are those that emit them
    detail_types = {DetailType(name) for name in pattern["detail-type"]}
    assert set(pattern["source"]) == {EVENTS[detail_type].source for detail_type in detail_types}
    assert matched_by(choosing_rule) == detail_types


def test_a_pattern_matches_no_events_of_other_senders(choosing_rule: Properties) -> None:
    pattern = EventPattern.load(json.dumps(choosing_rule["EventPattern"]))
    for detail_type in DetailType:
        source = EVENTS[detail_type].source
        for other in ("aws.partner/other", f"{source}.eu", f"my.{source}", source.upper(), source[:-1], ""):
            assert not pattern.matches_event({**event(detail_type), "source": other}), other
        for other in (f"{detail_type}_v2", f"un{detail_type}", str(detail_type).upper(), ""):
            assert not pattern.matches_event({**event(detail_type), "detail-type": other}), other


def test_the_audit_rule_matches_every_event_from_any_sender(template: Template) -> None:
    pattern = EventPattern.load(json.dumps(template.of_type("AWS::Events::Rule")["AuditRule"]["EventPattern"]))
    for detail_type in DetailType:
        assert pattern.matches_event(event(detail_type))
        assert pattern.matches_event({**event(detail_type), "source": "another.sender", "detail-type": "anything"})


def test_only_feedback_and_the_audit_get_reports_of_ses(template: Template) -> None:
    # GIVEN a bounce of a mail of this stack, and the rules
    bounced = samples.bounced(samples.customers()[0])
    bounced["detail"]["mail"]["tags"]["ses:configuration-set"] = ["${AWS::StackName}-mail"]
    rules = {
        name: EventPattern.load(json.dumps(rule["EventPattern"]))
        for name, rule in template.of_type("AWS::Events::Rule").items()
    }
    # THEN only the rules of feedback and of the audit match it, and feedback matches no other event
    assert {name for name, pattern in rules.items() if pattern.matches_event(bounced)} == {"AuditRule", "FeedbackRule"}
    assert not [detail_type for detail_type in DetailType if rules["FeedbackRule"].matches_event(event(detail_type))]


def test_rules_are_on_the_bus_that_functions_publish_to(template: Template, choosing_rule: Properties) -> None:
    publishing = {function["Environment"]["Variables"]["BUS_NAME"] for function in template.functions().values()}
    assert publishing == {choosing_rule["EventBusName"]}


def test_rules_are_enabled(rule: Properties) -> None:
    assert rule.get("State", "ENABLED") == "ENABLED"


def test_every_target_retries_for_over_an_hour_and_has_a_dlq(template: Template, rule: Properties) -> None:
    queues = template.of_type("AWS::SQS::Queue")
    for target in rule["Targets"]:
        assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] > HOUR
        assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0
        assert logical_id(target["DeadLetterConfig"]["Arn"]) in queues


def test_targets_get_the_unchanged_event(consumer: Consumer) -> None:
    # Consumers parse EventBridge's envelope, so no target may rewrite it.
    changing = {"Input", "InputPath", "InputTransformer"}
    assert not any(changing & target.keys() for rule in consumer.rules.values() for target in rule["Targets"])


def test_undelivered_events_are_separate_from_dead_letters(template: Template, consumer: Consumer) -> None:
    # Dead letters are redriven to the queue they came from; undelivered events have not been in a queue yet.
    (rule,) = consumer.rules.values()
    assert {logical_id(target["DeadLetterConfig"]["Arn"]) for target in rule["Targets"]}.isdisjoint(
        {consumer.queue_id, consumer.dead_letters_id}
    )


def test_other_stacks_can_find_the_bus(template: Template) -> None:
    exported = {output["Export"]["Name"]: output["Value"] for output in template.outputs.values() if "Export" in output}
    assert exported == {
        "${AWS::StackName}-BusName": "${Bus}",
        "${AWS::StackName}-BusArn": "${Bus.Arn}",
    }
