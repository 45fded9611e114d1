"""Queues and event source mappings: settings that the local stack ignores or that matter only under load."""

from dev.template import (
    WITH_PARTNER,
    Consumer,
    Properties,
    Template,
    as_list,
    logical_id,
    source,
    template_with,
    variables_of,
)
from handoff.consumer import BACKOFF
from tests.template import function_source

DAY = 86_400
HOUR = 3_600
LONGEST_VISIBILITY = 12 * HOUR  # limit of SQS


def test_the_consumers_exist(template: Template) -> None:
    assert {consumer.name for consumer in template.consumers()} >= {"emails", "analytics", "fulfillment", "settlement"}


def test_each_consumer_has_its_own_queue_and_dlq(template: Template) -> None:
    # GIVEN the queues of all consumers, and those for undelivered events
    consumers = template.consumers()
    used = [queue for consumer in consumers for queue in (consumer.queue_id, consumer.dead_letters_id)]
    undelivered = {
        logical_id(target["DeadLetterConfig"]["Arn"])
        for rule in template.of_type("AWS::Events::Rule").values()
        for target in rule["Targets"]
    }
    # THEN no queue is shared, and there are no others
    assert len(set(used)) == 2 * len(consumers)
    assert set(used) | undelivered == set(template.of_type("AWS::SQS::Queue"))
    assert not undelivered & set(used)


def test_visibility_timeout_covers_six_function_timeouts(consumer: Consumer) -> None:
    needed = 6 * consumer.function["Timeout"] + consumer.mapping["MaximumBatchingWindowInSeconds"]
    assert needed <= consumer.queue["VisibilityTimeout"] <= LONGEST_VISIBILITY


def test_visibility_timeout_covers_the_longest_batching_window() -> None:
    longest = template_with(BatchingWindow=str(source()["Parameters"]["BatchingWindow"]["MaxValue"]))
    gathering = [one for one in longest.consumers() if int(one.mapping["MaximumBatchingWindowInSeconds"]) == 5]
    assert {one.name for one in gathering} == {"emails", "analytics", "fulfillment", "settlement"}
    for one in gathering:
        assert 6 * one.function["Timeout"] + 5 <= one.queue["VisibilityTimeout"]


def test_queue_and_function_agree_on_at_least_five_receives(consumer: Consumer) -> None:
    receives = consumer.queue["RedrivePolicy"]["maxReceiveCount"]
    assert receives >= 5
    assert consumer.variables["MAX_RECEIVES"] == receives


def test_max_receives_cannot_be_set_below_five() -> None:
    assert source()["Parameters"]["MaxReceives"]["MinValue"] >= 5


def test_retries_last_over_two_hours_and_end_before_messages_expire(consumer: Consumer) -> None:
    # GIVEN the pauses between the receives of one message, each shortened by up to a fifth
    receives = consumer.queue["RedrivePolicy"]["maxReceiveCount"]
    pauses = [BACKOFF[min(n, len(BACKOFF)) - 1] for n in range(1, receives)]
    # THEN their sum is longer than an outage and much shorter than the retention of the queue
    assert 0.8 * sum(pauses) > 2 * HOUR
    assert sum(pauses) + receives * consumer.queue["VisibilityTimeout"] < consumer.queue["MessageRetentionPeriod"] / 2
    assert max(pauses) <= LONGEST_VISIBILITY


def test_queues_keep_messages_for_four_days(consumer: Consumer) -> None:
    assert consumer.queue["MessageRetentionPeriod"] == 4 * DAY


def test_dead_letters_are_kept_for_fourteen_days(template: Template, dead_letters_id: str) -> None:
    # The maximum of SQS.
    assert template.of_type("AWS::SQS::Queue")[dead_letters_id]["MessageRetentionPeriod"] == 14 * DAY


def test_queues_are_encrypted_and_retained_once_they_are_in_use(template: Template, queue_id: str) -> None:
    queue = template.resources[queue_id]
    assert queue["Properties"]["SqsManagedSseEnabled"] is True
    assert (queue["DeletionPolicy"], queue["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    deleted = template_with(**WITH_PARTNER, DataPolicy="Delete").resources[queue_id]
    assert deleted["DeletionPolicy"] == deleted["UpdateReplacePolicy"] == "Delete"


def test_the_function_gets_the_urls_of_its_own_queues(consumer: Consumer) -> None:
    assert consumer.variables["QUEUE_URL"] == f"${{{consumer.queue_id}}}"
    assert consumer.variables["DEAD_LETTER_QUEUE_URL"] == f"${{{consumer.dead_letters_id}}}"


def test_only_the_queue_of_fulfillment_delays_messages(template: Template) -> None:
    delays = {name: queue["DelaySeconds"] for name, queue in _queues(template).items() if "DelaySeconds" in queue}
    assert delays == {"FulfillmentQueue": template.parameters["PackAfter"]}


def test_a_consumer_knows_the_delay_of_its_queue(consumer: Consumer) -> None:
    # Its lag counts from the end of that delay.
    assert consumer.variables.get("QUEUE_DELAY") == consumer.queue.get("DelaySeconds")


def test_the_cancel_window_is_one_that_a_queue_can_delay_messages_for() -> None:
    declared = source()["Parameters"]["PackAfter"]
    assert (declared["MinValue"], declared["Default"], declared["MaxValue"]) == (0, 600, 900)


def test_consumers_report_partial_batch_failures(consumer: Consumer) -> None:
    assert consumer.mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_concurrency_is_limited_at_the_queue(consumer: Consumer) -> None:
    # Two is Lambda's minimum.
    assert consumer.mapping["ScalingConfig"]["MaximumConcurrency"] >= 2


def test_no_function_has_reserved_concurrency(
    template: Template,
) -> None:
    assert not any("ReservedConcurrentExecutions" in function for function in template.functions().values())


def test_a_large_batch_has_a_batching_window(consumer: Consumer) -> None:
    # Lambda requires one for batches of more than ten messages.
    assert consumer.mapping["BatchSize"] <= 10 or consumer.mapping["MaximumBatchingWindowInSeconds"] >= 1


def test_concurrent_mail_senders_share_the_ses_rate(template: Template) -> None:
    # GIVEN the consumers that limit their rate
    paced = [consumer for consumer in template.consumers() if "MAIL_SENDERS" in consumer.variables]
    assert [consumer.name for consumer in paced] == ["emails"]
    # THEN each gets its concurrency and the total rate
    for consumer in paced:
        assert int(consumer.variables["MAIL_SENDERS"]) == consumer.mapping["ScalingConfig"]["MaximumConcurrency"]
        assert consumer.variables["MAILS_PER_SECOND"] == template.parameters["MailsPerSecond"]


def test_sent_mails_are_remembered_longer_than_events_are_queued(template: Template) -> None:
    (emails,) = (consumer for consumer in template.consumers() if consumer.name == "emails")
    dead_letters = template.of_type("AWS::SQS::Queue")[emails.dead_letters_id]
    longest = emails.queue["MessageRetentionPeriod"] + dead_letters["MessageRetentionPeriod"]
    assert function_source.constant("emails", "_REMEMBERED_DAYS") * DAY > longest


def test_a_queue_accepts_messages_from_its_rules_only(template: Template, queue_id: str) -> None:
    # GIVEN the rules that send to a queue, or use it as their dead-letter queue
    arn = f"${{{queue_id}.Arn}}"
    senders = {
        f"${{{name}.Arn}}"
        for name, rule in template.of_type("AWS::Events::Rule").items()
        for target in rule["Targets"]
        if arn in (target["Arn"], target["DeadLetterConfig"]["Arn"])
    }
    allowed = [statement for statement in statements(template, queue_id) if statement["Effect"] == "Allow"]
    # THEN its policy allows these rules, and nothing else
    assert len(allowed) == (1 if senders else 0)
    for statement in allowed:
        assert statement["Principal"] == {"Service": "events.amazonaws.com"}
        assert statement["Action"] == "sqs:SendMessage"
        assert statement["Resource"] == arn
        assert statement["Condition"].keys() == {"ArnEquals"}
        assert statement["Condition"]["ArnEquals"].keys() == {"aws:SourceArn"}
        assert set(as_list(statement["Condition"]["ArnEquals"]["aws:SourceArn"])) == senders


def test_a_consumer_queue_has_exactly_one_rule(consumer: Consumer) -> None:
    assert len(consumer.rules) == 1


def test_every_queue_rejects_requests_without_tls(template: Template, queue_id: str) -> None:
    denied = [statement for statement in statements(template, queue_id) if statement["Effect"] == "Deny"]
    assert denied == [
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sqs:*",
            "Resource": f"${{{queue_id}.Arn}}",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]


def test_only_consumers_get_queue_variables(template: Template) -> None:
    # GIVEN the functions without a queue
    consuming = {consumer.name for consumer in template.consumers()}
    others = [function for name, function in template.functions().items() if name not in consuming]
    # THEN they have no variable about one
    assert others
    assert not any({"QUEUE_URL", "MAX_RECEIVES"} & variables_of(function).keys() for function in others)


def _queues(template: Template) -> dict[str, Properties]:
    """Return all queues by logical id."""
    return template.of_type("AWS::SQS::Queue")


def statements(template: Template, queue_id: str) -> list[dict]:
    """Return the statements of a queue's policies."""
    policies = template.of_type("AWS::SQS::QueuePolicy").values()
    return [
        statement
        for policy in policies
        if f"${{{queue_id}}}" in policy["Queues"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]
