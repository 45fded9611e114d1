"""A move to EventBridge's new custom event bus changes one module: what decisions.md says about it holds."""

import re

import boto3

from dev.template import ROOT

_CLIENT = re.compile(r"""client\(\s*["'](?:events|eventbridgev2)["']|\.put_events\(|\.put_raw_events\(""")


def test_only_the_bus_makes_a_client_of_event_bridge_or_publishes():
    sources = [path for folder in ("layers", "functions") for path in (ROOT / folder).rglob("*.py")]

    assert len(sources) > 50
    assert [str(path.relative_to(ROOT)) for path in sources if _CLIENT.search(path.read_text())] == [
        "layers/handoff/handoff/bus.py"
    ]


def test_the_new_bus_has_the_members_that_decisions_names():
    service = boto3.Session()._session.get_service_model("eventbridgev2")
    put, subscribe = (service.operation_model(name).input_shape.members for name in ("PutEvents", "CreateSubscriber"))
    entry, created = put["Entries"], service.operation_model("CreateEventBus").input_shape.members

    assert "EventBusArn" in put  # not a name, as today
    assert entry.metadata["max"] == 100
    assert {"EventGroupId", "DeduplicationId"} == set(entry.member.members["SystemMetadata"].members)
    assert "TraceHeader" not in entry.member.members
    assert subscribe["Type"].enum == ["FIFO", "UNORDERED"]
    assert subscribe["StartingPosition"].enum == ["LATEST", "POINT_IN_TIME"]
    assert created["StorageConfiguration"].members["RetentionPeriodInDays"].metadata == {"min": 1, "max": 365}
