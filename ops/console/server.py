"""Serving the console: until Ctrl-C, or in a thread beside another program."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from functools import partial

import uvicorn
from fastapi import FastAPI
from nicegui import app as pages
from nicegui import ui

from ops.console import figures, routes
from ops.console.coordinator import coordinator
from ops.console.dead_letters import DeadLetters
from ops.console.order_timeline import OrderTimeline
from ops.console.overview import Overview
from ops.console.page import Console, Page
from ops.console.playground import Playground
from ops.console.poller import Poller
from ops.console.same_origin import SameOrigin, own_names
from ops.stack.deployment import Deployment


class PortTaken(Exception):
    """Another program listens on the port."""


def console_of(deployment: Deployment, playground: Playground | None = None) -> Console:
    """Return the console of a deployment, with ``playground`` on its page if there is one.

    This creates its clients: a boto3 session must not create them in several threads at a time.
    """
    _ = deployment.dynamodb, deployment.sqs, deployment.logs, deployment.cloudwatch, deployment.outputs
    _ = deployment.events
    if deployment.endpoint is None:
        where, polling = f"{deployment.stack} on AWS, {deployment.session.region_name}", figures.AWS
    else:
        where, polling = f"local stack, {deployment.endpoint}", figures.LOCAL
    reader = figures.Reader(deployment, polling, playground.faults.active if playground else frozenset)
    return Console(deployment, where, Poller(reader.read, polling.interval), playground)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket to serve on; port 0 picks a free one.

    Raises
    ------
    PortTaken
        If another program listens on the port.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise PortTaken(f"The console cannot listen on {host}, port {port}: {error.strerror}") from error


def address(listener: socket.socket) -> str:
    """Return the address of a console that is served on a socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(console: Console, listener: socket.socket, host: str) -> None:
    """Serve until Ctrl-C. ``host`` is one more name that requests may use."""
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again when it has shut down
        _server(console, listener, host).run([listener])


@contextlib.contextmanager
def serving(console: Console, listener: socket.socket) -> Iterator[None]:
    """Serve in a thread while the context lasts. Only once in a process: NiceGUI has one app per process."""
    server = _server(console, listener, "localhost")
    thread = threading.Thread(target=server.run, args=([listener],), name="console", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def _add_pages(console: Console) -> None:
    """Add the pages, each under its own address."""

    @ui.page(routes.OVERVIEW)
    def overview() -> None:
        Page(console, Overview)

    @ui.page(routes.DEAD_LETTERS)
    def dead_letters(consumer: str = "") -> None:
        Page(console, partial(DeadLetters, consumer))

    @ui.page(routes.ORDERS)
    def orders() -> None:
        Page(console, partial(OrderTimeline, ""))

    @ui.page(routes.ORDER)
    def order(order_id: str) -> None:
        Page(console, partial(OrderTimeline, order_id))


def _server(console: Console, listener: socket.socket, host: str) -> uvicorn.Server:
    _add_pages(console)
    pages.on_startup(console.poller.run)
    if console.playground:
        pages.on_startup(console.playground.orders.run)
        pages.on_shutdown(console.playground.faults.close)
    pages.on_shutdown(coordinator.close)
    outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    ui.run_with(outer, title="Handoff", dark=None, language="en-US", show_welcome_message=False)
    guarded = SameOrigin(outer, own_names(listener.getsockname()[0]) | {host.lower()})
    # wsproto is NiceGUI's own choice. Open pages keep connections: shutting down does not wait for them.
    config = uvicorn.Config(
        guarded, ws="wsproto", log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=1
    )
    return uvicorn.Server(config)
