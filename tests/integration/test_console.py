"""The console, without a stack: who may talk to it, and what it says when there is nothing to see."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import httpx
import pytest

from dev.console.switches import ProxySwitches, Switch
from dev.faults.proxy import CONTROL, running_proxy
from dev.faults.rules import Rule
from ops.console import redrive, server
from ops.console.same_origin import own_names
from ops.dlq.directory import Filter
from ops.dlq.redrive import Outcome
from tests.support.messages import message
from tests.support.wire import meanwhile, refuse

ROOT = Path(__file__).parents[2]
# A console of nothing: what it is about does not matter here, who may ask it does.
SERVE = """
from ops.stack.cloudwatch import MetricsError
from ops.console import server
from ops.console.page import Console
from ops.console.watch import Watch

def look():
    raise MetricsError("nothing there")

listener = server.listen("127.0.0.1", 0)
print(server.address(listener), flush=True)
server.serve(Console(None, "nowhere", Watch(look, 1)), listener, "Shop.example")
"""
# What goes before it, for a look through dead letters, or a redrive, that does not end by itself.
ENDLESS = """
import time
from nicegui import app, background_tasks
from ops.console.redrive import Going
from ops.console.redrive import desk

def through(stopped):
    while not stopped():
        time.sleep(0.05)

class Endless(Going):
    def run(self):
        through(self._stop.is_set)

"""
LOOKING = ENDLESS + "app.on_startup(lambda: background_tasks.create(desk.look(through)))\n"
REDRIVING = ENDLESS + "app.on_startup(lambda: desk.begin(Endless(None, None)))\n"
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
                assert process.wait(timeout=30) == 0
            finally:
                process.kill()  # or a console that does not end would keep the test from failing


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as found:
        with httpx.Client(base_url=found, trust_env=False) as client:
            assert client.get("/").status_code == 200
        yield found


def port(url: str) -> str:
    return url.rpartition(":")[2]


def test_its_own_page_is_served(url: str) -> None:
    # WHEN it is asked for by a name of its own, or by that of --host, THEN the page comes, and may be in nobody's frame
    for name in ("127.0.0.1", "localhost", "shop.example"):
        answer = httpx.get(url, headers={"Host": f"{name}:{port(url)}"}, trust_env=False)
        assert answer.status_code == 200
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    # AND through a tunnel from another port
    assert httpx.get(url, headers={"Host": "localhost:9000"}, trust_env=False).status_code == 200
    # AND a name of another kind of page is not known
    assert httpx.get(f"{url}/nothing", trust_env=False).status_code == 404


FOREIGN = [
    {"Host": "evil.example:{port}"},  # a name that was made to point here
    {"Host": "127.0.0.1.evil.example:{port}"},
    {"Host": "[:{port}"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},  # a page in a sandbox, or from a file
    {"Origin": "http://127.0.0.1:1"},  # another server on this machine
    {"Origin": "http://localhost:{port}"},  # ours, but not what was asked for
    {"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_others_are_refused(url: str, headers: dict[str, str]) -> None:
    sent = {name: value.format(port=port(url)) for name, value in headers.items()}
    # WHEN another site's page asks, for a page, through NiceGUI's polling, or through a websocket
    # THEN it is refused
    assert httpx.get(url, headers=sent, trust_env=False).status_code == 403
    assert httpx.get(url + SOCKET + "polling", headers=sent, trust_env=False).status_code == 403
    assert httpx.post(url + SOCKET + "polling", headers=sent, content="40", trust_env=False).status_code == 403
    assert asyncio.run(websocket(url, sent)) == 403


def test_its_own_page_may_open_a_websocket(url: str) -> None:
    assert asyncio.run(websocket(url, {"Origin": url})) == 101


async def websocket(url: str, headers: dict[str, str]) -> int:
    """The status that a websocket is opened, or refused, with."""
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
    everywhere = own_names("0.0.0.0")  # it is about this
    assert "127.0.0.1" in everywhere
    assert socket.gethostname().lower() in everywhere
    assert "evil.example" not in everywhere


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(server.PortTaken, match=f"can't listen on 127.0.0.1, port {taken}"):
            server.listen("127.0.0.1", taken)


def test_other_commands_do_not_pay_for_the_console() -> None:
    # WHEN the command is loaded, THEN NiceGUI is not
    code = "import sys, ops.cli.main; sys.exit('nicegui' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_switches() -> None:
    known = {
        "mail": Switch("", "", Rule(call="sesv2.SendEmail", delay=3)),
        "bus": Switch("", "", Rule(call="x", drop="after")),
    }
    with running_proxy("http://127.0.0.1:1") as proxy, closing(ProxySwitches(proxy.url, known)) as switches:
        assert switches.active() == frozenset()
        # WHEN one is turned on, twice, THEN its rule is in force, once
        switches.turn("mail", on=True)
        switches.turn("mail", on=True)
        assert switches.active() == {"mail"}
        assert [planned.rule for planned in proxy.faults.planned()] == [known["mail"].rule]
        # WHEN it is turned off, THEN it alone is
        switches.turn("bus", on=True)
        switches.turn("mail", on=False)
        assert switches.active() == {"bus"}
        # AND a fault that is none of them is nobody's switch
        proxy.faults.add(Rule(call="sqs.*", delay=1))
        assert switches.active() == {"bus"}


def test_no_web_page_turns_the_proxy() -> None:
    with running_proxy("http://127.0.0.1:1") as proxy:
        # WHEN a page of any site asks the proxy for a fault, as browsers let it without a question
        headers = {"Origin": "http://evil.example", "Content-Type": "text/plain"}
        answer = httpx.post(proxy.url + CONTROL, headers=headers, content='{"drop": "after"}', trust_env=False)
        # THEN it is refused
        assert answer.status_code == 403
        assert not proxy.faults.planned()


# --- dead letters -----------------------------------------------------------------------------------------------------


@pytest.fixture
def going(world, sqs, resources) -> redrive.Going:
    """A redrive of seven letters, not yet begun."""
    url = world.stack.environment("EmailsFunction")["DEAD_LETTER_QUEUE_URL"]
    for number in range(7):
        sqs.send_message(QueueUrl=url, MessageBody=message("order_placed", f"ord_{number}", 1))
    world.clock.forward(1)
    deployment = SimpleNamespace(
        sqs=sqs,
        of_type=resources.__getitem__,
        resource=lambda name: next(found[name] for found in resources.values() if name in found),
    )
    world.wire.calls.clear()
    return redrive.Going(deployment, Filter(consumers=("emails",)))


def test_a_redrive_that_is_stopped_ends_after_its_letter_and_says_so(world, going) -> None:
    # WHEN it is stopped while it sends the third
    world.wire.on("sqs.SendMessage", meanwhile(going.stop), nth=3)
    going.run()
    # THEN that one is done, and the others are where they were
    assert going.so_far == "3 so far, stopping ..."
    assert going.came_to == [
        "3 redriven: 3 to emails",
        "Stopped. What was not redriven is where it was; redrive again to go on.",
    ]
    assert len(world.queues.dead_letters("EmailsFunction")) == 4


def test_a_redrive_that_is_left_alone_comes_to_its_end(world, going) -> None:
    going.run()
    assert going.came_to == ["7 redriven: 7 to emails"]


def test_a_redrive_that_aws_refuses_says_how_far_it_came(world, going) -> None:
    world.wire.on("sqs.SendMessage", refuse("AccessDenied", 403), nth=3)
    going.run()
    assert "AccessDenied" in going.came_to[0]
    assert going.came_to[1:] == ["2 redriven, the others are where they were. Redrive again to go on."]


def test_letters_that_somebody_else_has_are_not_said_to_be_none() -> None:
    said = redrive.outcome(Outcome(), Counter(dead=7), would=True)
    assert said == ["No dead letters are visible; SQS counts 7 that another receiver holds. Try again later."]
    assert redrive.outcome(Outcome(), Counter(), would=True) == ["0 would be redriven"]


def test_pages_look_through_dead_letters_one_after_the_other() -> None:
    desk, looking, most = redrive.Desk(), [], []

    def look(_stopped: Callable[[], bool]) -> bool:
        looking.append(threading.get_ident())
        time.sleep(0.01)
        most.append(len(looking))
        looking.pop()
        return True

    async def pages() -> list[bool | None]:
        return await asyncio.gather(*(desk.look(look) for _ in range(5)))

    assert asyncio.run(pages()) == [True] * 5
    assert most == [1] * 5


@pytest.mark.parametrize("busy", [LOOKING, REDRIVING], ids=["a look", "a redrive"])
def test_a_console_that_is_in_the_middle_of_something_ends_with_ctrl_c(busy: str) -> None:
    with serving(busy + SERVE) as url:
        assert httpx.get(url, trust_env=False).status_code == 200
