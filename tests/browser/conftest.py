"""The console and the checkout example in a real browser, beside a local stack like that of `make run`."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from dev.demo import orders as demo
from dev.faults.proxy import FaultProxy, routes, running_proxy
from dev.local.metrics import publishing_metrics
from dev.local.stack import running
from ops.dlq.directory import directory
from ops.shop_client import ShopClient
from ops.stack.deployment import Deployment

_OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
_OPTIONS += ["--disable-background-networking", "--disable-component-update"]
_OPTIONS += ["--host-resolver-rules=MAP evil.example 127.0.0.1"]  # another site, also after DNS rebinding
_TIMEOUT = 60_000  # ms; queues and metrics take a while, and no test measures it

expect.set_options(timeout=_TIMEOUT)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", action="store_true", help="write docs/how-to/console/*.png")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the test of a stack without orders before those that place orders."""
    items.sort(key=lambda item: "no_orders_yet" not in item.name)


@dataclass
class Stack:
    """A local stack, the proxy between its functions and AWS, and a customer.

    The API allows pages of one other origin: loopback with ``page_port``.
    """

    deployment: Deployment
    port: int
    page_port: int
    proxy: FaultProxy
    client: ShopClient

    def order(self, name: str = "good", **changes: Any) -> str:
        """Place a sample order; return its id."""
        answer = self.client.place(demo._sample(name) | changes, os.urandom(8).hex())
        assert answer.status in {201, 202}, answer.body
        return str(answer.body["orderId"])

    def add_dead_letter(self, body: str, reason: str) -> None:
        """Send a message to the dead-letter queue of analytics."""
        self.deployment.sqs.send_message(
            QueueUrl=self.deployment.queue_url("analytics", dead_letters=True),
            MessageBody=body,
            MessageAttributes={"reason": {"DataType": "String", "StringValue": reason}},
        )


@dataclass
class Visit:
    """A page's errors, and its requests to other origins, without those with one of the texts in ``expected``."""

    origin: str
    expected: tuple[str, ...] = ()
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._on_request)
        page.on("websocket", lambda websocket: self._check_origin(websocket.url))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not self._is_expected(message.text):
            self.errors.append(message.text)

    def _on_request(self, request: Request) -> None:
        self._check_origin(request.url)

    def _check_origin(self, url: str) -> None:
        own = url.replace("ws://", "http://").startswith((self.origin + "/", "data:", "blob:"))
        if not own and not self._is_expected(url):
            self.foreign.append(url)

    def _is_expected(self, text: str) -> bool:
        return any(part in text for part in self.expected)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    port, page_port = _free_port(), _free_port()
    with (
        running_proxy(f"http://127.0.0.1:{port}") as proxy,
        running(port, variables=routes(proxy.url)) as local,
    ):
        local.build()
        deployment = Deployment(
            local.deploy(CorsOrigins=f"http://127.0.0.1:{page_port}"), local.session(), local.endpoint
        )
        account = demo.prepare(deployment)
        with (
            publishing_metrics(deployment),
            contextlib.closing(ShopClient(deployment.api_url, account.token)) as client,
        ):
            yield Stack(deployment, port, page_port, proxy, client)


@pytest.fixture(autouse=True)
def clean_up(stack: Stack) -> Iterator[None]:
    """Remove faults and messages after each test, also after one that failed."""
    yield
    stack.proxy.faults.heal()
    queues = directory(stack.deployment)
    for url in (*queues.dead, *queues.queues.values()):
        stack.deployment.sqs.purge_queue(QueueUrl=url)


@pytest.fixture(scope="session")
def console(stack: Stack) -> Iterator[str]:
    """The address of the stack's console, with sample orders and fault switches."""
    with _served("Console", stack.port, sys.executable, "-m", "dev", "console") as url:
        yield url


@pytest.fixture(scope="session")
def checkout(stack: Stack) -> Iterator[str]:
    """The address of the checkout example, whose customer is the stack's."""
    with _served("Checkout", stack.port, sys.executable, "-m", "dev", "checkout") as url:
        yield url


@pytest.fixture(scope="session")
def direct_checkout(stack: Stack) -> Iterator[str]:
    """The address of the checkout example that calls the API itself, from an origin that the API allows."""
    command = (sys.executable, "-m", "dev", "checkout", "--direct")
    with _served("Checkout", stack.port, *command, page_port=stack.page_port) as url:
        yield url


@pytest.fixture
def between(stack: Stack) -> Iterator[FaultProxy]:
    """A fault proxy between an operator's console and the stack."""
    with running_proxy(stack.deployment.endpoint) as proxy:
        yield proxy


@pytest.fixture
def operator_console(between: FaultProxy) -> Iterator[str]:
    """The address of an operator's console that reaches the stack through this proxy only."""
    handoff = Path(sys.executable).with_name("handoff")
    with _served("Console", int(between.url.rpartition(":")[2]), handoff, "console", "--local") as url:
        yield url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    assert found, "Chromium is missing. `make test-browser` says how to install it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page at an address. Its errors, and requests to another origin, fail the test unless it expects them."""
    visits = []
    with contextlib.ExitStack() as contexts:

        def open_page(
            url: str,
            *,
            width: int = 1280,
            height: int = 900,
            scheme: str = "light",
            expected: tuple[str, ...] = (),
            prepare: Callable[[Page], object] = lambda _: None,
        ) -> Page:
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            contexts.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(_TIMEOUT)
            visits.append(Visit("/".join(url.split("/")[:3]), expected))  # the origin, without the path
            visits[-1].watch(page)
            prepare(page)
            page.goto(url)
            return page

        yield open_page
    for seen in visits:
        assert not seen.foreign
        assert not seen.errors


@contextlib.contextmanager
def _served(name: str, stack_port: int, *command: str | Path, page_port: int = 0) -> Iterator[str]:
    """Start a server in its own process; yield the address that it prints."""
    root = Path(__file__).parents[2]
    environment = os.environ | {"PORT": str(stack_port), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*command, "--port", str(page_port)], cwd=root, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith(f"{name}: http://127.0.0.1:"), line
            yield line.removeprefix(f"{name}: ").strip()
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=120) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
