"""Attacks of a web page of another site on the local stack, in Chromium. Without the guard, they succeed."""

import base64
import contextlib
import http.server
import io
import socket
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from dev.faults.proxy import CONTROL
from dev.local import stack as local
from dev.local.stack import ROOT, LocalStack, running
from tests.browser.conftest import Stack

SITE = "http://evil.example"
# The page's own query: a key that everyone knows, and an invalid signature.
QUERY = (
    "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=test%2F20261101%2Fus-east-1%2FSERVICE%2Faws4_request"
    "&X-Amz-Date=20261101T000000Z&X-Amz-SignedHeaders=host&X-Amz-Signature=0"
)
RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
# Requests that need no preflight. Their responses are of no interest.
RUN_CODE = """async ([base, query, runtime, code]) => {
    const post = (path, service, body) => {
        const address = base + path + query.replace("SERVICE", service)
        return fetch(address, {method: "POST", mode: "no-cors", body}).catch(() => null)
    }
    const statement = {Effect: "Allow", Principal: {Service: "lambda.amazonaws.com"}, Action: "sts:AssumeRole"}
    const trust = JSON.stringify({Version: "2012-10-17", Statement: [statement]})
    const role = {Action: "CreateRole", Version: "2010-05-08", RoleName: "x", AssumeRolePolicyDocument: trust}
    const made = {FunctionName: "x", Runtime: runtime, Handler: "index.handler", Code: {ZipFile: code}}
    made.Role = "arn:aws:iam::000000000000:role/x"
    await post("/", "iam", new URLSearchParams(role))
    await post("/2015-03-31/functions", "lambda", JSON.stringify(made))
    await post("/2015-03-31/functions/x/invocations", "lambda", "{}")
}"""
SHOW_IMAGE = """([base, query]) => new Promise(done => {
    const image = document.createElement("img")
    image.onload = image.onerror = () => done()
    const create = "&Action=CreateQueue&Version=2012-11-05&QueueName=planted"
    image.src = base + "/" + query.replace("SERVICE", "sqs") + create
})"""
POST_FORM = """address => {
    const form = document.createElement("form")
    document.body.append(form)
    Object.assign(form, {method: "post", action: address}).submit()
}"""


@pytest.fixture(params=[True, False], ids=["guarded", "unguarded"])
def guarded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether MiniStack runs behind the guard. Without it, the attacks succeed: so they are attacks."""
    if not request.param:
        monkeypatch.setattr(local, "_MINISTACK", (str(ROOT / ".tools/ministack/bin/ministack"),))
    return bool(request.param)


@pytest.fixture
def emulator(guarded: bool) -> Iterator[LocalStack]:
    """A local stack without a deployment, with one queue."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with running(port) as emulator:
        with sqs(emulator) as client:
            client.create_queue(QueueName="kept")
        yield emulator


def sqs(emulator: LocalStack) -> contextlib.closing[Any]:
    return contextlib.closing(emulator.session().client("sqs", endpoint_url=emulator.endpoint))


def queues(emulator: LocalStack) -> set[str]:
    with sqs(emulator) as client:
        return {url.rpartition("/")[2] for url in client.list_queues().get("QueueUrls", [])}


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of another site."""

    class Site(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<body>Win a prize</body>")

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        page = browser.new_page()
        page.goto(f"{SITE}:{server.server_port}/")
        yield page
        page.close()
        server.shutdown()


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """The file that the page's function writes."""
    return tmp_path / "ran"


def code(ran: Path) -> str:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("index.py", f"def handler(event, context):\n    open({str(ran)!r}, 'w').close()\n")
    return base64.b64encode(archive.getvalue()).decode()


def test_a_page_cannot_run_code(page: Page, emulator: LocalStack, guarded: bool, ran: Path) -> None:
    page.evaluate(RUN_CODE, [emulator.endpoint, QUERY, RUNTIME, code(ran)])
    assert ran.exists() is not guarded


def test_a_page_whose_name_resolves_to_loopback_cannot_run_code(
    page: Page, emulator: LocalStack, guarded: bool, ran: Path
) -> None:
    # GIVEN a page whose name has become that of the stack (DNS rebinding), so that the stack has the page's origin
    page.goto(f"{SITE}:{emulator.port}/_ministack/health")
    page.evaluate(RUN_CODE, ["", QUERY, RUNTIME, code(ran)])
    assert ran.exists() is not guarded


def test_a_page_cannot_reset_the_stack_with_a_form(page: Page, emulator: LocalStack, guarded: bool) -> None:
    with page.expect_navigation():
        page.evaluate(POST_FORM, f"{emulator.endpoint}/_ministack/reset")
    assert queues(emulator) == ({"kept"} if guarded else set())


def test_a_page_cannot_call_aws_with_an_image(page: Page, emulator: LocalStack, guarded: bool) -> None:
    page.evaluate(SHOW_IMAGE, [emulator.endpoint, QUERY])
    assert queues(emulator) == ({"kept"} if guarded else {"kept", "planted"})


def test_a_page_cannot_use_the_api_or_the_fault_proxy(page: Page, stack: Stack) -> None:
    refused = "address => fetch(address).then(() => false, () => true)"
    # WHEN a page of another site reads the catalog, or posts a rule to the fault proxy as a simple request
    assert page.evaluate(refused, f"{stack.deployment.api_url}/catalog")
    rule = (
        """address => fetch(address, {method: "POST", mode: "no-cors", body: '{"drop": "after"}'}).then(() => null)"""
    )
    page.evaluate(rule, stack.proxy.url + CONTROL)
    # THEN it gets no answer, and there is no rule
    assert stack.proxy.faults.planned() == []
