"""The console, without a stack: who may talk to it, and what it says when there is nothing to see."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import aiohttp
import httpx
import pytest

from ops.console import server
from ops.console.same_origin import own_names
from ops.console.switches import FaultSwitches, Switch
from ops.fault_proxy import CONTROL, running_proxy
from ops.fault_rules import Rule

ROOT = Path(__file__).parents[2]
# A console of nothing: what it is about does not matter here, who may ask it does.
SERVE = """
from ops.cloudwatch import MetricsError
from ops.console import server
from ops.console.page import Console
from ops.console.watch import Watch

def look():
    raise MetricsError("nothing there")

listener = server.listen("127.0.0.1", 0)
print(server.address(listener), flush=True)
server.serve(Console(None, "nowhere", Watch(look, 1)), listener, "Shop.example")
"""
SOCKET = "/_nicegui_ws/socket.io/?EIO=4&transport="


@contextmanager
def serving() -> Iterator[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    with subprocess.Popen(
        [sys.executable, "-c", SERVE], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0


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
    code = "import sys, ops.cli; sys.exit('nicegui' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_switches() -> None:
    known = {
        "mail": Switch("", "", Rule(call="sesv2.SendEmail", delay=3)),
        "bus": Switch("", "", Rule(call="x", drop="after")),
    }
    with running_proxy("http://127.0.0.1:1") as proxy, closing(FaultSwitches(proxy.url, known)) as switches:
        assert switches.on() == frozenset()
        # WHEN one is turned on, twice, THEN its rule is in force, once
        switches.turn("mail", on=True)
        switches.turn("mail", on=True)
        assert switches.on() == {"mail"}
        assert [planned.rule for planned in proxy.faults.planned()] == [known["mail"].rule]
        # WHEN it is turned off, THEN it alone is
        switches.turn("bus", on=True)
        switches.turn("mail", on=False)
        assert switches.on() == {"bus"}
        # AND a fault that is none of them is nobody's switch
        proxy.faults.add(Rule(call="sqs.*", delay=1))
        assert switches.on() == {"bus"}


def test_no_web_page_turns_the_proxy() -> None:
    with running_proxy("http://127.0.0.1:1") as proxy:
        # WHEN a page of any site asks the proxy for a fault, as browsers let it without a question
        headers = {"Origin": "http://evil.example", "Content-Type": "text/plain"}
        answer = httpx.post(proxy.url + CONTROL, headers=headers, content='{"drop": "after"}', trust_env=False)
        # THEN it is refused
        assert answer.status_code == 403
        assert not proxy.faults.planned()
