"""Times that alarms, parameters and guides state are those of the template and the code."""

import re
from collections.abc import Callable, Iterable

import pytest

from dev.template import ROOT, WITH_PARTNER, Consumer, Properties, Template, logical_id, source, template_with
from handoff import sweep
from handoff.consumer import BACKOFF
from shop import finishing, placing
from shop.payments import stripe_intents, stripe_key
from tests.template import function_source

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
_TEMPLATE = template_with(**WITH_PARTNER)
_ALARMS = _TEMPLATE.of_type("AWS::CloudWatch::Alarm")
_QUEUES = _TEMPLATE.of_type("AWS::SQS::Queue")
_WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 10: "ten", 20: "twenty"}
# "72 minutes for emails and fulfillment, 36 for analytics, 18 for feedback"
_PER_CONSUMER = re.compile(r"(\d+)(?: minutes)? for (\w+(?:(?:, \w+)* and \w+)?)(?=[,.; ])")


def text_of(path: str) -> str:
    """Return a page's text in one line."""
    return " ".join((ROOT / path).read_text().split())


def minutes_of_crashes(consumer: Consumer) -> int:
    """Return for how long a message is retried whose function crashes each time: nothing but SQS ends its receives."""
    receives = int(consumer.queue["RedrivePolicy"]["maxReceiveCount"])
    return int(receives * consumer.queue["VisibilityTimeout"] // MINUTE)


def hours_of_errors(consumer: Consumer) -> int:
    """Return for how long a message is retried whose function reports an error each time, at the shortest pauses."""
    receives = int(consumer.variables["MAX_RECEIVES"])
    return int(0.8 * sum(BACKOFF[min(n, len(BACKOFF)) - 1] for n in range(1, receives)) // HOUR)


def range_of_crashes() -> str:
    """Return the shortest and the longest time of all consumers."""
    minutes = [minutes_of_crashes(consumer) for consumer in _TEMPLATE.consumers()]
    return f"{min(minutes)} to {max(minutes)} minutes"


# --- until an event becomes a dead letter -----------------------------------------------------------------------------


def test_an_alarm_on_errors_states_the_times_of_its_own_consumer(consumer: Consumer) -> None:
    described = _ALARMS[f"{consumer.queue_id.removesuffix('Queue')}ErrorsAlarm"]["AlarmDescription"]
    assert f"dead letters after {consumer.variables['MAX_RECEIVES']} receives" in described
    stated = re.search(r"six take (\d+) minutes if it crashes, and (\w+) hours if it reports errors", described)
    assert stated
    assert int(stated[1]) == minutes_of_crashes(consumer)
    assert stated[2] == _WORDS[hours_of_errors(consumer)]


@pytest.mark.parametrize("path", ["docs/how-to/alarms.md", "docs/architecture.md"])
def test_a_page_states_the_time_of_crashes_of_each_consumer(path: str) -> None:
    stated = {
        name: int(found[1])
        for found in _PER_CONSUMER.finditer(text_of(path))
        for name in re.split(", | and ", found[2])
    }
    computed = {consumer.name: minutes_of_crashes(consumer) for consumer in _TEMPLATE.consumers()}
    assert stated.keys() >= {"emails", "analytics", "fulfillment", "settlement", "feedback"}
    assert stated.items() <= computed.items()


def test_other_texts_state_the_range_of_all_consumers() -> None:
    described = source()["Parameters"]["MaxReceives"]["Description"]
    for text in (described, text_of("docs/how-to/dead-letters.md"), text_of("docs/how-to/on-call.md")):
        assert range_of_crashes() in text
        assert "crash" in text


def test_no_text_states_the_time_of_errors_without_saying_so() -> None:
    """Two hours are true of reported errors only."""
    pages = {*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")} - {ROOT / "docs/reference/mutants.md"}
    texts = [
        *(path.read_text() for path in pages),
        *(alarm["AlarmDescription"] for alarm in _ALARMS.values()),
        *(parameter.get("Description", "") for parameter in source()["Parameters"].values()),
    ]
    claims = [sentence for text in texts for sentence in sentences(text) if "two hours" in sentence]
    assert len(claims) > 8
    assert [claim for claim in claims if "error" not in claim] == []


def sentences(text: str) -> Iterable[str]:
    """Yield the sentences of a page, and the rows of its tables, each in one line."""
    for block in re.split(r"\n\s*\n|\n(?=\||\s*-\s|\s*\d+\.\s)", text):
        line = " ".join(block.split())
        yield from [line] if line.startswith("|") else re.split(r"(?<=[.!?])\s", line)


def test_texts_state_how_long_a_queue_keeps_messages() -> None:
    kept = {queue["MessageRetentionPeriod"] // DAY for queue in _QUEUES.values()}
    in_queue, as_dead_letter = min(kept), max(kept)
    assert len(kept) == 2
    assert f"A queue keeps messages for {in_queue} days, a dead-letter queue for {as_dead_letter}." in text_of(
        "docs/how-to/on-call.md"
    )
    assert f"is kept for {as_dead_letter} days" in text_of("docs/how-to/dead-letters.md")
    assert f"dead letters for {as_dead_letter} days" in text_of("docs/glossary.md")
    assert f"is lost for {in_queue} days" in text_of("docs/how-to/alarms.md")
    assert f"An event lives for {in_queue} days in the queue and {as_dead_letter} in" in text_of("docs/decisions.md")


def test_texts_state_how_long_eventbridge_retries() -> None:
    ages = {target["RetryPolicy"]["MaximumEventAgeInSeconds"] for target in targets(_TEMPLATE)}
    assert ages == {DAY}
    assert text_of("docs/architecture.md").count(f"for {DAY // HOUR} hours") == 2
    assert "was retried for a day" in text_of("docs/how-to/alarms.md")


def targets(template: Template) -> list[Properties]:
    """Return the targets of all rules."""
    return [target for rule in template.of_type("AWS::Events::Rule").values() for target in rule["Targets"]]


# --- when an alarm fires ----------------------------------------------------------------------------------------------


def seconds(alarm: Properties) -> int:
    """Return the time with bad values that an alarm needs."""
    return int(alarm["Period"] * alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]))


def longest_delay(alarm: Properties) -> int:
    """Return for how many seconds the alarm's queue may delay messages at most."""
    (queue,) = (dimension["Value"] for dimension in alarm["Dimensions"])
    delays = "DelaySeconds" in _QUEUES[logical_id(queue)]
    assert delays == ("longer than the longest cancel window" in alarm["AlarmDescription"])
    return int(source()["Parameters"]["PackAfter"]["MaxValue"]) if delays else 0


# The alarm, a text of its description, and the number in its settings that the text is about.
CLAIMS: list[tuple[str, str, Callable[[Properties], bool]]] = [
    ("Oldest", "has waited 15 minutes", lambda alarm: alarm["Threshold"] - longest_delay(alarm) == 15 * MINUTE),
    ("Lag", "For ten minutes", lambda alarm: seconds(alarm) == 10 * MINUTE),
    ("Lag", "more than a minute after", lambda alarm: alarm["Threshold"] == 1000 * MINUTE),
    ("ApiLatency", "For ten minutes", lambda alarm: seconds(alarm) == 10 * MINUTE),
    ("ApiLatency", "more than 3 s", lambda alarm: alarm["Threshold"] == 3 * 1000),
    ("UnfinishedAge", "unfinished for 15 minutes", lambda alarm: alarm["Threshold"] == 15 * MINUTE),
    ("MailsNotSent", "within an hour", lambda alarm: seconds(alarm) == HOUR),
    ("PaymentEventsLate", "for an hour", lambda alarm: alarm["Threshold"] == HOUR),
    ("PaymentsStuck", "due for 23 hours", lambda alarm: finishing.STUCK_AFTER == 23 * HOUR * 1000),
]


@pytest.mark.parametrize(("kind", "claim", "holds"), CLAIMS, ids=[f"{kind}: {claim}" for kind, claim, _ in CLAIMS])
def test_an_alarms_description_states_its_settings(kind: str, claim: str, holds: Callable[[Properties], bool]) -> None:
    chosen = {name: alarm for name, alarm in _ALARMS.items() if name.endswith(f"{kind}Alarm")}
    assert chosen
    for name, alarm in chosen.items():
        assert claim in alarm["AlarmDescription"], name
        assert holds(alarm), name


def test_every_time_in_an_alarms_description_is_compared() -> None:
    for name, alarm in _ALARMS.items():
        rest = alarm["AlarmDescription"]
        for kind, claim, _ in CLAIMS:
            rest = rest.replace(claim, "") if name.endswith(f"{kind}Alarm") else rest
        if name.endswith("ErrorsAlarm"):
            rest = re.sub(r"six take \d+ minutes if it crashes, and \w+ hours if it reports errors", "", rest)
        assert not re.search(r"\b(minutes?|hours?|days)\b", rest), (name, rest)


def test_a_batch_that_crashes_twice_is_within_the_periods_of_its_alarm(consumer: Consumer) -> None:
    alarm = _ALARMS[f"{consumer.queue_id.removesuffix('Queue')}ErrorsAlarm"]
    # GIVEN two crashes, a visibility timeout apart, at the worst moments within their periods
    apart = -(-consumer.queue["VisibilityTimeout"] // alarm["Period"])
    assert alarm["DatapointsToAlarm"] == 2
    assert apart + 1 <= alarm["EvaluationPeriods"]


# --- times in guides --------------------------------------------------------------------------------------------------


def minutes(milliseconds: int) -> str:
    """Return a duration in words."""
    return f"{_WORDS[milliseconds // 1000 // MINUTE]} minutes"


def canary_minutes() -> str:
    """Return for how long a tenth of the requests goes to a new version."""
    chosen = source()["Resources"]["OrdersFunction"]["Properties"]["DeploymentPreference"]["Type"]
    found = re.search(r"10Percent(\d+)Minutes", chosen)
    assert found
    return found[1]


EVERY = sweep._LONGEST_PAUSE + 60_000  # ms: the pause ends within a run, so the next run retries
GUIDES: list[tuple[str, str]] = [
    ("docs/architecture.md", f"{minutes(placing.EXPIRES_AFTER)} after the last attempt the order is REJECTED"),
    ("docs/glossary.md", f"not finished within {minutes(placing.EXPIRES_AFTER)} of its last attempt"),
    ("docs/architecture.md", f"moves `dueAt` one to {minutes(sweep._LONGEST_PAUSE)} ahead"),
    ("docs/architecture.md", f"lease of {placing.LEASE // 1000} s"),
    ("docs/architecture.md", f"publishing has {sweep.PUBLISHING_BUDGET:.0f} s of each run and settling"),
    ("docs/architecture.md", f"settling {sweep.FINISHING_BUDGET:.0f} s"),
    ("docs/how-to/alarms.md", f"a payment after {minutes(EVERY)} at most"),
    ("docs/how-to/alarms.md", f"The sweeper asks every {minutes(EVERY)}"),
    ("docs/how-to/alarms.md", f"has been due for {finishing.STUCK_AFTER // 1000 // HOUR} hours"),
    ("docs/how-to/alarms.md", f"from {stripe_intents.KEY_TRUSTED_FOR // 1000 // HOUR} hours on the provider may"),
    ("docs/decisions.md", f"kept for {minutes(int(stripe_key.KEPT_FOR * 1000))}, and read again"),
    ("docs/how-to/use-stripe.md", f"keeps a key for {minutes(int(stripe_key.KEPT_FOR * 1000))}"),
    ("docs/architecture.md", f"{function_source.constant('emails', '_REMEMBERED_DAYS')} days"),
    ("docs/how-to/dead-letters.md", f"older than {function_source.constant('emails', '_REMEMBERED_DAYS')} days"),
    ("docs/how-to/deploy.md", f"a tenth of the requests for {canary_minutes()} minutes"),
    ("docs/decisions.md", f"**{canary_minutes()} minutes for a tenth of the requests**"),
]


@pytest.mark.parametrize(("path", "text"), GUIDES)
def test_a_guide_states_the_time_of_the_code(path: str, text: str) -> None:
    assert text in text_of(path)


def test_the_canary_parameter_states_its_time() -> None:
    assert f"for {canary_minutes()} minutes" in source()["Parameters"]["Canary"]["Description"]
