"""Serving the console: by itself until it is ended, or beside something else."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from functools import partial

import uvicorn
from fastapi import FastAPI
from nicegui import app as pages
from nicegui import ui

from ops.console import figures
from ops.console.page import Console, Page
from ops.console.redrive import desk
from ops.console.same_origin import SameOrigin, own_names
from ops.console.shopping import Customer
from ops.console.switches import FaultSwitches, switches
from ops.console.watch import Watch
from ops.stack.deployment import Deployment


class PortTaken(Exception):
    """Another program listens there."""


def console_of(deployment: Deployment, proxy: str | None) -> Console:
    """The console of a deployment. ``proxy`` is the address of the local stack's fault proxy, if it has one.

    Its clients are made here: a boto3 session makes them for one thread at a time only.
    """
    _ = deployment.dynamodb, deployment.sqs, deployment.logs, deployment.cloudwatch, deployment.outputs
    _ = deployment.events
    if deployment.endpoint is None:
        where = f"{deployment.stack} on AWS, {deployment.session.region_name}"
        watch = Watch(partial(figures.look, deployment, figures.AWS, None), figures.AWS.every)
        return Console(deployment, where, watch)
    _ = deployment.cognito
    faults = FaultSwitches(proxy, switches(deployment)) if proxy else None
    watch = Watch(partial(figures.look, deployment, figures.LOCAL, faults), figures.LOCAL.every)
    return Console(deployment, f"local stack, {deployment.endpoint}", watch, Customer(deployment), faults)


def listen(host: str, port: int) -> socket.socket:
    """A socket to serve on; port 0 is any that is free.

    Raises
    ------
    PortTaken
        If another program listens there.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise PortTaken(f"The console can't listen on {host}, port {port}: {error.strerror}") from error


def address(listener: socket.socket) -> str:
    """The address of a console that is served on a socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(console: Console, listener: socket.socket, host: str) -> None:
    """Serve until Ctrl-C, under the name ``host`` as well."""
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it once more when it has ended
        _server(console, listener, host).run([listener])


@contextlib.contextmanager
def serving(console: Console, listener: socket.socket) -> Iterator[None]:
    """Serve in a thread, for as long as the context lasts. Only once in a process: NiceGUI has one app there."""
    server = _server(console, listener, "localhost")
    thread = threading.Thread(target=server.run, args=([listener],), name="console", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def _server(console: Console, listener: socket.socket, host: str) -> uvicorn.Server:
    ui.page("/")(partial(Page, console))
    pages.on_startup(console.watch.run)
    if console.customer:
        pages.on_startup(console.customer.run)
    if console.faults:
        pages.on_shutdown(console.faults.close)
    pages.on_shutdown(desk.close)
    outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    ui.run_with(outer, title="Handoff", dark=None, language="en-US", show_welcome_message=False)
    guarded = SameOrigin(outer, own_names(listener.getsockname()[0]) | {host.lower()})
    # wsproto is what NiceGUI itself uses. Open pages hold connections: they are not waited for.
    config = uvicorn.Config(
        guarded, ws="wsproto", log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=1
    )
    return uvicorn.Server(config)
