"""The console without a stack: which requests it accepts, its switches and its redrives."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import httpx
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from dev.console.switches import ProxySwitches, Switch
from dev.faults.proxy import running_proxy
from dev.faults.rules import Rule
from dev.simulated.messages import message
from dev.simulated.wire import refuse
from ops.console import figures, server
from ops.console.coordinator import Coordinator
from ops.console.formats import clock as clock_time
from ops.console.poller import Poller, Snapshot
from ops.console.redrive_job import RedriveJob
from ops.console.same_origin import own_names
from ops.console.scan import Scan
from ops.dlq import redrive as redriving
from ops.dlq.directory import Filter
from ops.dlq.redrive import Outcome

ROOT = Path(__file__).parents[2]
# A console without a deployment: enough to test which requests it accepts.
SERVE = """
from ops.stack.cloudwatch import MetricsError
from ops.console import server
from ops.console.page import Console
from ops.console.poller import Poller

def read():
    raise MetricsError("no metrics")

listener = server.listen("127.0.0.1", 0)
print(server.address(listener), flush=True)
server.serve(Console(None, "nowhere", Poller(read, 1)), listener, "Shop.example")
"""
# Prepended to it: a scan of dead letters, or a redrive, that ends only when the console stops it.
ENDLESS = """
import time
from nicegui import app, background_tasks
from ops.console.coordinator import coordinator
from ops.console.redrive_job import RedriveJob

def read(stopped):
    while not stopped():
        time.sleep(0.05)

class Endless(RedriveJob):
    def run(self):
        read(self._stop.is_set)

"""
SCANNING = ENDLESS + "app.on_startup(lambda: background_tasks.create(coordinator.scan(read)))\n"
REDRIVING = ENDLESS + "app.on_startup(lambda: coordinator.begin(Endless(None, None)))\n"
REMAINING = "Messages that were not redriven are still in the dead-letter queue. Redrive again to continue."
SOCKET = "/_nicegui_ws/socket.io/?EIO=4&transport="


@contextmanager
def serving(script: str = SERVE) -> Iterator[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGINT)
            try:
                assert process.wait(timeout=120) == 0
            finally:
                process.kill()  # else a console that hangs would keep the test from failing


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as found:
        with httpx.Client(base_url=found, trust_env=False) as client:
            assert client.get("/").status_code == 200
        yield found


def port(url: str) -> str:
    return url.rpartition(":")[2]


def test_the_page_is_served_under_its_own_names(url: str) -> None:
    # WHEN it is requested under one of its names, or the name in --host, THEN it is served, and no site may frame it
    for name in ("127.0.0.1", "localhost", "shop.example"):
        answer = httpx.get(url, headers={"Host": f"{name}:{port(url)}"}, trust_env=False)
        assert answer.status_code == 200
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    # AND through a tunnel from another port
    assert httpx.get(url, headers={"Host": "localhost:9000"}, trust_env=False).status_code == 200
    # AND other paths do not exist
    assert httpx.get(f"{url}/nothing", trust_env=False).status_code == 404


FOREIGN = [
    {"Host": "evil.example:{port}"},  # DNS rebinding
    {"Host": "127.0.0.1.evil.example:{port}"},
    {"Host": "[:{port}"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},  # a sandboxed page, or a local file
    {"Origin": "http://127.0.0.1:1"},  # another server on this machine
    {"Origin": "http://localhost:{port}"},  # an own name, but not the one in Host
    {"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"},
    {"Sec-Fetch-Site": "cross-site"},  # an image or a script: no Origin
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_requests_of_other_sites_are_rejected(url: str, headers: dict[str, str]) -> None:
    sent = {name: value.format(port=port(url)) for name, value in headers.items()}
    # WHEN another site's page requests the page, NiceGUI's polling or a websocket, THEN it is rejected
    assert httpx.get(url, headers=sent, trust_env=False).status_code == 403
    assert httpx.get(url + SOCKET + "polling", headers=sent, trust_env=False).status_code == 403
    assert httpx.post(url + SOCKET + "polling", headers=sent, content="40", trust_env=False).status_code == 403
    assert asyncio.run(websocket(url, sent)) == 403


def test_other_sites_may_link_to_the_page(url: str) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert httpx.get(url, headers=link, trust_env=False).status_code == 200
    # WHEN they post a form instead, THEN it is rejected, also from a page that hides its origin
    for sent in (link, link | {"Origin": "null"}):
        assert httpx.post(url, headers=sent, trust_env=False).status_code == 403


ADDRESSES = ["/orders", "/orders/ord_1", "/orders/%3C%2Fb%3E", "/dead-letters", "/dead-letters?consumer=a%2Fb"]


@pytest.mark.parametrize("path", ADDRESSES)
def test_each_page_has_an_address(path: str, url: str) -> None:
    answer = httpx.get(url + path, trust_env=False)
    assert answer.status_code == 200
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert httpx.get(url + path, headers={"Host": "evil.example"}, trust_env=False).status_code == 403


def test_its_own_page_may_open_a_websocket(url: str) -> None:
    assert asyncio.run(websocket(url, {"Origin": url})) == 101


async def websocket(url: str, headers: dict[str, str]) -> int:
    """Open a websocket; return the status of the handshake."""
    async with aiohttp.ClientSession() as session:
        try:
            async with session.ws_connect(url + SOCKET + "websocket", headers=headers) as opened:
                assert (await opened.receive_str()).startswith("0{")  # Engine.IO's greeting
                return 101
        except aiohttp.WSServerHandshakeError as error:
            return error.status


def test_own_names() -> None:
    assert own_names("127.0.0.1") == {"127.0.0.1", "localhost", "::1"}
    assert own_names("shop.example") == {"127.0.0.1", "localhost", "::1", "shop.example"}
    everywhere = own_names("0.0.0.0")  # the wildcard address is the subject here
    assert "127.0.0.1" in everywhere
    assert socket.gethostname().lower() in everywhere
    assert "evil.example" not in everywhere


def test_a_taken_port_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(server.PortTaken, match=f"cannot listen on 127.0.0.1, port {taken}"):
            server.listen("127.0.0.1", taken)


def test_other_commands_do_not_pay_for_the_console() -> None:
    # WHEN the other commands are imported, THEN NiceGUI is not
    code = "import sys, ops.cli.main; sys.exit('nicegui' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_switches() -> None:
    known = {
        "mail": Switch("", "", Rule(call="sesv2.SendEmail", delay=3)),
        "bus": Switch("", "", Rule(call="x", drop="after")),
    }
    with running_proxy("http://127.0.0.1:1") as proxy, closing(ProxySwitches(proxy.url, known)) as switches:
        assert switches.active() == frozenset()
        # WHEN a switch is turned on twice, THEN its rule is active once
        switches.turn("mail", on=True)
        switches.turn("mail", on=True)
        assert switches.active() == {"mail"}
        assert [planned.rule for planned in proxy.faults.planned()] == [known["mail"].rule]
        # WHEN it is turned off, THEN the other stays on
        switches.turn("bus", on=True)
        switches.turn("mail", on=False)
        assert switches.active() == {"bus"}
        # AND other rules belong to no switch
        proxy.faults.add(Rule(call="sqs.*", delay=1))
        assert switches.active() == {"bus"}


# --- a stack that does not answer -------------------------------------------------------------------------------------


NO_CONNECTION = EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
REJECTED = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetQueueAttributes")


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (SimpleNamespace(at=1_000_000), f"live, {clock_time(1_000_000)}"),
        (REJECTED, f"stale, {clock_time(500_000)}"),
        (NO_CONNECTION, f"no answer since {clock_time(600_000)}"),
    ],
    ids=["then answers", "then rejects", "then times out"],
)
def test_a_read_without_an_answer_is_shown_while_it_waits(result: object, state: str, monkeypatch) -> None:
    # GIVEN a read that was answered at 600 s, and one that hangs
    begun, answers = threading.Event(), threading.Event()

    def read() -> object:
        begun.set()
        answers.wait(120)
        if isinstance(result, Exception):
            raise result
        return result

    poller = Poller(read, 0.02)
    poller.snapshot, poller._answered_at = Snapshot(SimpleNamespace(at=500_000)), 600_000

    async def poll() -> None:
        polling = asyncio.create_task(poller._poll())
        await asyncio.to_thread(begun.wait)
        # WHEN three reads are missed, THEN the page says since when
        async with asyncio.timeout(20):
            while poller.snapshot.state != f"no answer since {clock_time(600_000)}":
                assert poller.snapshot.state == f"live, {clock_time(500_000)}"
                await asyncio.sleep(0.01)
        # WHEN the read ends, THEN the state is that of its result
        answers.set()
        await polling

    asyncio.run(poll())
    assert poller.snapshot.state == state


@pytest.mark.parametrize(("interval", "patience"), [(figures.LOCAL.interval, 6), (figures.AWS.interval, 10)])
def test_three_missed_reads_or_ten_seconds_are_a_silence(interval: float, patience: float, monkeypatch) -> None:
    waits = []

    async def poll() -> None:
        loop = asyncio.get_running_loop()
        call_later = loop.call_later
        monkeypatch.setattr(loop, "call_later", lambda delay, *call: waits.append(delay) or call_later(delay, *call))
        await Poller(lambda: SimpleNamespace(at=1), interval)._poll()

    asyncio.run(poll())
    assert patience in waits


# --- dead letters -----------------------------------------------------------------------------------------------------


@pytest.fixture
def job(world, sqs, resources) -> RedriveJob:
    """A redrive of seven dead letters that has not started."""
    url = world.stack.environment("EmailsFunction")["DEAD_LETTER_QUEUE_URL"]
    for number in range(7):
        sqs.send_message(QueueUrl=url, MessageBody=message("order_placed", f"ord_{number}", 1))
    world.clock.forward(1)
    deployment = SimpleNamespace(
        sqs=sqs,
        importers={},
        of_type=resources.__getitem__,
        resource=lambda name: next(found[name] for found in resources.values() if name in found),
    )
    world.wire.calls.clear()
    return RedriveJob(deployment, Filter(consumers=("emails",)), patience=0)


def test_a_stopped_redrive_ends_after_the_current_messages(world, job) -> None:
    receives = []

    def three_then_stop(call, deliver):
        receives.append(call)
        call.request["MaxNumberOfMessages"] = 3
        if len(receives) == 2:
            job.stop()
        return deliver()

    # WHEN it is stopped once it has received the first three messages
    world.wire.always("sqs.ReceiveMessage", three_then_stop)
    job.run()
    # THEN these are redriven, and the others are still in the dead-letter queue
    assert job.progress == "3 redriven so far, stopping ..."
    assert job.result == ["3 redriven: 3 to emails", f"Stopped. {REMAINING}"]
    assert len(world.queues.dead_letters("EmailsFunction")) == 4


def test_a_redrive_sends_all_messages(world, job) -> None:
    # WHEN all are redriven, and nothing consumes them, THEN the result does not say that they succeeded
    job.run()
    assert job.result == ["7 redriven: 7 to emails", "7 events still waiting or in progress there. Look again later."]


@pytest.mark.parametrize(("failing", "seen"), [(7, "7 failed again: not an event: time"), (0, "None of them failed")])
def test_redriven_events_that_fail_again_are_no_success(failing: int, seen: str, world, job, monkeypatch) -> None:
    # GIVEN a consumer that rejects so many of the redriven events at once, and handles the others
    send, address = redriving.redrive, job._deployment.resource("EmailsDeadLetters")

    def consume(client, dead_letters, **urls) -> redriving.Redriven:
        done = send(client, dead_letters, **urls)
        for dead_letter in dead_letters:
            (received,) = client.receive_message(QueueUrl=urls["queue_url"])["Messages"]
            client.delete_message(QueueUrl=urls["queue_url"], ReceiptHandle=received["ReceiptHandle"])
            if int(dead_letter.order_id.removeprefix("ord_")) < failing:
                reason = {"reason": {"DataType": "String", "StringValue": "not an event: time"}}
                body = dead_letter.message["Body"]
                world.client("sqs").send_message(QueueUrl=address, MessageBody=body, MessageAttributes=reason)
                world.clock.forward(2)
        return done

    monkeypatch.setattr(redriving, "redrive", consume)
    # WHEN they are redriven
    job.run()
    # THEN the result says how many are dead letters again, and why
    assert job.result[0] == "7 redriven: 7 to emails"
    assert [text for text in job.result if text.startswith(seen)], job.result


def test_a_scan_is_a_success_only_if_it_saw_everything() -> None:
    scan = Scan(None, Filter())
    assert scan.is_complete
    assert scan.none_found() == "No dead letters."
    assert Scan(None, Filter(consumers=("emails",))).none_found() == "No dead letters of emails."
    # WHEN a message arrived during the scan
    scan.warnings.append("emails: 1 more arrived meanwhile, or failed again; scan again to see them.")
    # THEN the page does not say that there is none
    assert not scan.is_complete
    assert scan.none_found() == "The scan saw no dead letter, but some arrived meanwhile. Refresh to see them."


def test_a_failed_redrive_reports_its_progress(world, job) -> None:
    world.wire.on("sqs.SendMessageBatch", refuse("AccessDenied", 403))
    job.run()
    assert "AccessDenied" in job.result[0]
    assert job.result[1:] == [f"0 redriven. {REMAINING}"]


def test_messages_held_by_another_receiver_are_reported() -> None:
    scan = Scan(None, Filter())
    assert scan.summary(Outcome(), would=True) == ["0 would be redriven"]
    scan.held_elsewhere["dead"] = 7
    text = "No dead letters are visible; SQS counts 7 that another receiver holds. Try again later."
    assert scan.summary(Outcome(), would=True) == [text]


def test_scans_of_several_pages_run_one_after_the_other() -> None:
    coordinator, running, most = Coordinator(), [], []

    def read(_stopped: Callable[[], bool]) -> bool:
        running.append(threading.get_ident())
        time.sleep(0.01)
        most.append(len(running))
        running.pop()
        return True

    async def pages() -> list[bool | None]:
        return await asyncio.gather(*(coordinator.scan(read) for _ in range(5)))

    assert asyncio.run(pages()) == [True] * 5
    assert most == [1] * 5


@pytest.mark.parametrize("busy", [SCANNING, REDRIVING], ids=["scan", "redrive"])
def test_ctrl_c_ends_a_busy_console(busy: str) -> None:
    with serving(busy + SERVE) as url:
        assert httpx.get(url, trust_env=False).status_code == 200
