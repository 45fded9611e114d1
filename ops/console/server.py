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
from ops.console.playground import Playground
from ops.console.redrive import desk
from ops.console.same_origin import SameOrigin, own_names
from ops.console.watch import Watch
from ops.stack.deployment import Deployment


class PortTaken(Exception):
    """Another program listens there."""


def console_of(deployment: Deployment, playground: Playground | None = None) -> Console:
    """Return the console of a deployment, with ``playground`` on its page if there is one.

    Its clients are made here: a boto3 session makes them in one thread at a time only.
    """
    _ = deployment.dynamodb, deployment.sqs, deployment.logs, deployment.cloudwatch, deployment.outputs
    _ = deployment.events
    if deployment.endpoint is None:
        where, pace = f"{deployment.stack} on AWS, {deployment.session.region_name}", figures.AWS
    else:
        where, pace = f"local stack, {deployment.endpoint}", figures.LOCAL
    look = partial(figures.look, deployment, pace, playground.faults.active if playground else frozenset)
    return Console(deployment, where, Watch(look, pace.every), playground)


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
    if console.playground:
        pages.on_startup(console.playground.orders.run)
        pages.on_shutdown(console.playground.faults.close)
    pages.on_shutdown(desk.close)
    outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    ui.run_with(outer, title="Handoff", dark=None, language="en-US", show_welcome_message=False)
    guarded = SameOrigin(outer, own_names(listener.getsockname()[0]) | {host.lower()})
    # wsproto is what NiceGUI itself uses. Open pages hold connections: they are not waited for.
    config = uvicorn.Config(
        guarded, ws="wsproto", log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=1
    )
    return uvicorn.Server(config)
