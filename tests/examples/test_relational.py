"""The relational example, on SQLite and on PostgreSQL: an outbox table, and relays that publish it."""

import json
import os
import signal
import subprocess
import sys
import threading
from itertools import groupby

import pytest
from relational_orders.placing import cancel, place
from relational_orders.relay import LEASE_MS, Relay
from relational_orders.tables import EVENTS, Base, Order, OutboxRow
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session

from dev.simulated.world import CREDENTIALS
from handoff import bus as buses
from tests.support import postgresql
from tests.support.event_bus import event_bus
from tests.support.example_stack import EXAMPLES

DEMO = EXAMPLES / "first-workflow/relational/demo.py"


@pytest.fixture(scope="module")
def postgresql_url():
    found = postgresql.programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with postgresql.server(found) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/shop.db"
    return request.getfixturevalue("postgresql_url")


@pytest.fixture
def engine(url):
    engine = create_engine(url)
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def bus(monkeypatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with event_bus() as bus:
        monkeypatch.setenv("AWS_ENDPOINT_URL_EVENTBRIDGE", bus.url)
        yield bus


def relay(engine):
    return Relay(engine, buses.connect_patiently("shop"))


def place_one(engine, key="1", total=1250):
    with Session(engine) as session, session.begin():
        return place(session, "ada@example.com", key, total).order_id


def cancel_one(engine, order_id):
    with Session(engine) as session, session.begin():
        cancel(session, order_id)


def count(engine, table):
    with Session(engine) as session:
        return session.scalar(select(func.count()).select_from(table))


def published(bus):
    """Return the ids of the published events, in their order."""
    return [detail["metadata"]["eventId"] for detail in bus.details]


def as_delivered(entry):
    return json.dumps(
        {"source": entry["Source"], "detail-type": entry["DetailType"], "detail": json.loads(entry["Detail"])}
    )


def test_an_order_and_its_event_are_written_together_and_published_once(engine, bus):
    order_id = place_one(engine)
    assert (count(engine, Order), count(engine, OutboxRow)) == (1, 1)

    assert relay(engine).run_once() == 1

    assert count(engine, OutboxRow) == 0
    (entry,) = bus.entries
    envelope = EVENTS.parse(as_delivered(entry))
    assert (envelope.detail_type, envelope.event_id, envelope.data.order_id) == (
        "order_placed",
        f"{order_id}-1",
        order_id,
    )
    assert "example.com" not in entry["Detail"]


def test_an_event_is_published_in_the_trace_of_its_order(engine, bus, monkeypatch):
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    with monkeypatch.context() as request:
        request.setenv("_X_AMZN_TRACE_ID", trace)
        place_one(engine)

    assert relay(engine).run_once() == 1

    assert [entry.get("TraceHeader") for entry in bus.entries] == [trace]


def test_what_is_rolled_back_is_not_published(engine, bus):
    with Session(engine) as session:
        place(session, "ada@example.com", "1", 1250)
        session.flush()
        session.rollback()

    assert relay(engine).run_once() == 0
    assert (count(engine, Order), bus.entries) == (0, [])


def test_the_same_request_again_is_one_order_and_one_event(engine, bus):
    assert place_one(engine) == place_one(engine)

    assert relay(engine).run_once() == 1


def test_the_events_of_an_order_are_published_in_sequence(engine, bus):
    for key in "abc":
        cancel_one(engine, place_one(engine, key))

    relaying = relay(engine)
    assert [relaying.run_once() for _ in range(3)] == [3, 3, 0]

    assert [event_id.rpartition("-")[2] for event_id in published(bus)] == ["1"] * 3 + ["2"] * 3


def test_an_event_that_the_bus_refuses_stays_and_holds_back_its_order_only(engine, bus):
    cancel_one(engine, place_one(engine))
    bus.refuses = True
    assert relay(engine).run_once() == 0
    assert count(engine, OutboxRow) == 2

    bus.refuses = False
    relaying = relay(engine)
    if engine.dialect.name == "sqlite":
        release_lease(engine)
    assert [relaying.run_once() for _ in range(3)] == [1, 1, 0]


def release_lease(engine):
    """Let the lease of a relay that has died expire."""
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE relay_lease SET until = 0")


def test_a_relay_killed_between_publishing_and_removing_loses_nothing(engine, url, bus):
    # GIVEN a relay in a process that is killed once the bus has accepted its events
    cancel_one(engine, place_one(engine))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, DEMO, "--database", url, "relay", "--bus", "shop"]
    process = subprocess.Popen(command, env=environment)
    bus.accepted = lambda: (os.kill(process.pid, signal.SIGKILL), process.wait())
    assert process.wait() == -signal.SIGKILL
    assert len(bus.entries) == 1
    assert count(engine, OutboxRow) == 2

    # WHEN another relay takes over
    bus.accepted = lambda: None
    if engine.dialect.name == "sqlite":
        assert relay(engine).run_once() == 0  # the lease of the dead one is still valid
        release_lease(engine)
    relaying = relay(engine)
    assert [relaying.run_once() for _ in range(3)] == [1, 1, 0]

    # THEN the event is published again, under the same id, and before the next one of its order
    first, again, second = published(bus)
    assert first == again != second


def test_two_relays_publish_each_event_once_and_in_sequence(engine, bus):
    orders = [place_one(engine, str(n)) for n in range(25)]
    for order_id in orders:
        cancel_one(engine, order_id)
    relays = [threading.Thread(target=relay(engine).run, args=(lambda: count(engine, OutboxRow),)) for _ in range(2)]
    for thread in relays:
        thread.start()
    for thread in relays:
        thread.join()

    assert sorted(published(bus)) == sorted(f"{order_id}-{n}" for order_id in orders for n in (1, 2))
    by_order = sorted(published(bus), key=lambda event_id: event_id.rpartition("-")[0])
    for order_id, ids in groupby(by_order, key=lambda event_id: event_id.rpartition("-")[0]):
        assert list(ids) == [f"{order_id}-1", f"{order_id}-2"]


def test_a_second_relay_works_beside_the_first_with_row_locks(postgresql_url, bus):
    """While one relay waits for the bus with its rows locked, another one publishes events of other orders."""
    engine = create_engine(postgresql_url)
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    orders = [place_one(engine, str(n)) for n in range(12)]
    for order_id in orders:
        cancel_one(engine, order_id)
    meanwhile = []

    def second():
        bus.accepted = lambda: None
        meanwhile.append(relay(engine).run_once())

    bus.accepted = second

    assert relay(engine).run_once() == 10
    assert meanwhile == [2]
    assert sorted(published(bus)) == sorted(f"{order_id}-1" for order_id in orders)
    engine.dispose()


def test_without_row_locks_one_relay_works_until_its_lease_expires(tmp_path, bus, monkeypatch):
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    Base.metadata.create_all(engine)
    first, second = relay(engine), relay(engine)
    now = 1_800_000_000_000
    monkeypatch.setattr("relational_orders.relay.now_ms", lambda: now)
    place_one(engine, "1")
    assert (first.run_once(), second.run_once()) == (1, 0)

    place_one(engine, "2")
    now += LEASE_MS
    assert second.run_once() == 0
    now += 1
    assert (second.run_once(), first.run_once()) == (1, 0)
    engine.dispose()


def test_the_demo_places_and_relays(engine, url, bus, capfd):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for arguments in (["place", "--orders", "3"], ["relay", "--bus", "shop"]):
        command = [sys.executable, DEMO, "--database", url, *arguments]
        subprocess.run(command, env=environment, check=True)

    assert capfd.readouterr().out.splitlines() == [
        "3 events in the outbox",
        "3 events published",
        "0 events in the outbox",
    ]
