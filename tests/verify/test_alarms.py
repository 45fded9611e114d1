"""The check of the alarms: each notification is seen, and nothing stays behind."""

import pytest
from botocore.exceptions import ReadTimeoutError

from ops.verify import alarms
from ops.verify.check import Outcome

NAMES = {"EmailsLagAlarm": "test-EmailsLagAlarm-1", "ApiErrorsAlarm": "test-ApiErrorsAlarm-2"}
_EVALUATED_AFTER = 60.0  # seconds


class Alarms:
    """CloudWatch's part that moto lacks: alarms notify their topic, and are evaluated."""

    def __init__(self, session, client, clock, topic):
        self._session = session
        self._cloudwatch, self._sns, self._clock, self._topic = client("cloudwatch"), client("sns"), clock, topic
        self._set_at = {}
        self.silent = set()
        self.evaluates = True
        session.events.register("provide-client-params.cloudwatch.SetAlarmState", self._set)
        session.events.register("before-call.cloudwatch.DescribeAlarms", self._evaluate)

    def create(self, name, state="OK", **values):
        self._cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="Handoff",
            MetricName="EventLagDone",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
            **{"AlarmActions": [self._topic], "ActionsEnabled": True} | values,
        )
        self._cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="evaluated")

    def states(self):
        return {alarm["AlarmName"]: alarm["StateValue"] for alarm in self._described()}

    def _described(self):
        return self._cloudwatch.describe_alarms()["MetricAlarms"]

    def raise_between(self, name):
        """Raise an alarm by itself, between the two changes of its state that the check makes."""

        def evaluate(params, **_):
            if (
                params["AlarmName"] == name
                and params["StateReason"] == alarms.REASON
                and params["StateValue"] == "ALARM"
            ):
                raised = {"AlarmName": name, "StateValue": "ALARM", "StateReason": "evaluated"}
                self._set(raised)
                self._cloudwatch.set_alarm_state(**raised)

        self._session.events.register_first("provide-client-params.cloudwatch.SetAlarmState", evaluate)

    def _set(self, params, **_):
        name, state = params["AlarmName"], params["StateValue"]
        changes = self.states()[name] != state
        self._set_at[name] = self._clock.ms
        if changes and state == "ALARM" and name not in self.silent:
            message = (
                f'{{"AlarmName": "{name}", "NewStateValue": "ALARM", "NewStateReason": "{params["StateReason"]}"}}'
            )
            self._sns.publish(TopicArn=self._topic, Message=message)

    def _evaluate(self, **_):
        for name, at in self._set_at.items() if self.evaluates else ():
            if self._clock.ms - at > _EVALUATED_AFTER * 1000:
                self._cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="evaluated")


@pytest.fixture
def topic(client):
    return client("sns").create_topic(Name="alarms")["TopicArn"]


@pytest.fixture
def cloudwatch(account, client, clock, topic):
    return Alarms(account, client, clock, topic)


@pytest.fixture
def deployment(make_deployment, cloudwatch, topic):
    for name in NAMES.values():
        cloudwatch.create(name)
    resources = {logical_id: ("AWS::CloudWatch::Alarm", name) for logical_id, name in NAMES.items()}
    return make_deployment(resources, outputs={"AlarmTopicArn": topic})


@pytest.fixture
def left(client, topic):
    """Return the queues and subscriptions that exist."""

    def left():
        queues = client("sqs").list_queues().get("QueueUrls", [])
        return queues, client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]

    return left


def test_every_alarm_notifies_and_returns(deployment, perform, cloudwatch, left):
    check, returned = perform(alarms.CHECK, deployment)
    assert (check.outcome, check.seen) == (Outcome.PASSED, "2 alarms, 2 notifications")
    assert (returned.outcome, returned.name) == (Outcome.PASSED, "alarms return to their state")
    assert left() == ([], [])
    assert set(cloudwatch.states().values()) == {"OK"}
    # AND AWS's answers are kept
    (answer,) = [answer for answer in check.answers if answer.operation == "monitoring:SetAlarmState"]
    assert (answer.status, answer.count) == (200, 4)


def test_other_messages_of_the_topic_are_ignored(deployment, perform, account, client, topic):
    def publish(**_):
        for message in ("deployed", '"deployed"', "{}"):
            client("sns").publish(TopicArn=topic, Message=message)

    account.events.register("after-call.sns.Subscribe", publish)
    check, _ = perform(alarms.CHECK, deployment)
    assert check.outcome == Outcome.PASSED


def test_an_alarm_that_is_raised_by_itself_meanwhile_has_notified(deployment, perform, cloudwatch):
    cloudwatch.raise_between(NAMES["EmailsLagAlarm"])
    check, _ = perform(alarms.CHECK, deployment)
    assert (check.outcome, check.seen) == (Outcome.PASSED, "2 alarms, 2 notifications")


def test_an_alarm_that_notifies_no_one_fails(deployment, perform, cloudwatch, left):
    cloudwatch.silent.add(NAMES["EmailsLagAlarm"])
    check, _ = perform(alarms.CHECK, deployment)
    assert (check.outcome, check.seen) == (Outcome.FAILED, "no notification of EmailsLagAlarm in 120 s")
    assert left() == ([], [])


def test_an_alarm_that_is_already_on_notifies_too(deployment, perform, client, cloudwatch):
    client("cloudwatch").set_alarm_state(AlarmName=NAMES["ApiErrorsAlarm"], StateValue="ALARM", StateReason="evaluated")
    check, _ = perform(alarms.CHECK, deployment)
    assert check.outcome == Outcome.PASSED


@pytest.mark.parametrize("values", [{"AlarmActions": []}, {"ActionsEnabled": False}])
def test_an_alarm_without_an_action_fails(deployment, perform, cloudwatch, values, left):
    cloudwatch.create(NAMES["EmailsLagAlarm"], **values)
    (check,) = perform(alarms.CHECK, deployment)
    assert check.outcome == Outcome.FAILED
    assert check.seen.startswith("EmailsLagAlarm have no action")
    assert left() == ([], [])


def test_an_alarm_that_was_deleted_fails(deployment, perform, client):
    client("cloudwatch").delete_alarms(AlarmNames=[NAMES["ApiErrorsAlarm"]])
    (check,) = perform(alarms.CHECK, deployment)
    assert (check.outcome, check.seen) == (
        Outcome.FAILED,
        "CloudWatch does not have ApiErrorsAlarm: deploy the stack again",
    )


def test_an_alarm_that_does_not_return_fails_and_is_set_back(deployment, perform, cloudwatch):
    cloudwatch.evaluates = False
    check, returned = perform(alarms.CHECK, deployment)
    assert (check.outcome, returned.outcome) == (Outcome.PASSED, Outcome.FAILED)
    assert returned.seen.startswith("ApiErrorsAlarm, EmailsLagAlarm kept it")
    assert set(cloudwatch.states().values()) == {"OK"}


def test_on_the_local_stack_the_return_is_not_available(deployment, perform, cloudwatch, monkeypatch):
    cloudwatch.evaluates = False
    monkeypatch.setattr(alarms.Situation, "is_local", True)
    check, returned = perform(alarms.CHECK, deployment)
    assert (check.outcome, returned.outcome) == (Outcome.PASSED, Outcome.NOT_AVAILABLE)
    assert set(cloudwatch.states().values()) == {"OK"}


def test_after_ctrl_c_everything_is_cleaned_up(deployment, perform, cloudwatch, account, left):
    # GIVEN Ctrl-C while the notifications are awaited
    account.events.register("before-call.sqs.ReceiveMessage", interrupt)
    (check,) = perform(alarms.CHECK, deployment)
    assert (check.outcome, check.left) == (Outcome.INTERRUPTED, ())
    assert left() == ([], [])
    assert set(cloudwatch.states().values()) == {"OK"}


def test_a_second_ctrl_c_ends_one_step_of_cleaning_up(deployment, perform, account, left):
    account.events.register("before-call.sqs.ReceiveMessage", interrupt)
    account.events.register("before-call.sns.Unsubscribe", interrupt)
    (check,) = perform(alarms.CHECK, deployment)
    (what,) = check.left
    assert what.startswith("the subscription of ")
    assert what.endswith(": interrupted")
    queues, subscriptions = left()
    assert (queues, len(subscriptions)) == ([], 1)


@pytest.mark.parametrize("operation", ["sqs.CreateQueue", "sns.Subscribe"])
def test_what_was_created_without_an_answer_is_removed(deployment, perform, account, left, operation):
    account.events.register(f"after-call.{operation}", lose)
    (check,) = perform(alarms.CHECK, deployment)
    assert (check.outcome, check.left) == (Outcome.FAILED, ())
    assert "ReadTimeoutError" in check.seen
    assert left() == ([], [])


def test_what_cannot_be_removed_is_named(deployment, perform, account, left):
    account.events.register("before-call.sqs.DeleteQueue", lose)
    check, _ = perform(alarms.CHECK, deployment)
    assert check.outcome == Outcome.FAILED
    assert check.seen == "2 alarms, 2 notifications, but not everything was cleaned up"
    (what,) = check.left
    (url,), _ = left()
    assert what.startswith(f"the queue {url.rpartition('/')[2]}: ")


def test_the_plan_names_those_who_are_notified(deployment, client, topic, attempt):
    situation = attempt(deployment).situation
    assert "set AlarmEmail" in alarms.CHECK.warning(situation)
    client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="ops@example.com")
    assert alarms.CHECK.warning(situation) == "warn them first: 2 notifications go to each of email ops@example.com"


def interrupt(**_):
    raise KeyboardInterrupt


def lose(**_):
    raise ReadTimeoutError(endpoint_url="https://aws")
