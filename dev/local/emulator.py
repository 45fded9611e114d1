"""MiniStack, behind a guard against web pages. It runs in MiniStack's environment: `python -m dev.local.emulator`.

MiniStack answers every origin with ``Access-Control-Allow-Origin: *`` and accepts any signature. Without the guard, a
web page in the developer's browser creates a function and invokes it, which runs the page's code as the developer.

The guard runs within MiniStack's process, so there is no other port that leads around it. This module imports only the
standard library, MiniStack, uvicorn and `ops.browser_guard`.
"""

import copy
import importlib
import queue
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import uvicorn

from ops.browser_guard import App, Receive, Scope, Send, is_loopback, reject, scope_rejection

_ADMIN = ("/_ministack/", "/_localstack/")
# MiniStack's own addresses that our tools, function downloads and custom resources use; two of them contain a secret.
# All others are rejected, even from programs: they reset MiniStack, change its configuration or bypass its IAM.
_ADMIN_IN_USE = (
    "/_ministack/health",
    "/_ministack/ready",
    "/_ministack/ses/messages",
    "/_ministack/sqs/messages",
    "/_ministack/lambda-code/",
    "/_ministack/lambda-layers/",
    "/_ministack/cfn-response/",
    "/_ministack/cfn-signal/",
)

_HOLD = 3600  # seconds, longer than any queue's delay


class Guard:
    """Rejects requests of web pages, of other names than loopback's, and to administrative addresses, with 403.

    ``allows_origin`` takes the values of Host, of the path and of Origin. It returns whether a page of that origin may
    send this request, as it may to an HTTP API with CORS.
    """

    def __init__(self, app: App, allows_origin: Callable[[str, str, str], bool]) -> None:
        self._app = app
        self._allows_origin = allows_origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on the requests of programs on this machine."""
        reason = None if scope["type"] == "lifespan" else self._rejection(scope)
        if reason is None:
            await self._app(scope, receive, send)
        else:
            await reject(scope, send, reason)

    def _rejection(self, scope: Scope) -> str | None:
        path = scope["path"]
        if path.startswith(_ADMIN) and not path.startswith(_ADMIN_IN_USE):
            return f"the local stack does not serve {path}; stop it with Ctrl-C and start it again with make run"
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"host"]
        allows = partial(self._allows_origin, ", ".join(hosts), path)
        return scope_rejection(scope, is_loopback, allows_origin=allows)


class Cors:
    """Lets web pages read the answers of HTTP APIs with a CorsConfiguration, as the gateway of AWS does.

    MiniStack does not read the configuration of an API that CloudFormation has created, because its names begin with
    capital letters there. And it leaves the headers out of its own answers, such as 401 without a token.
    """

    def __init__(self, app: App, ministack: Any) -> None:
        self._app = app
        self._ministack = ministack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on the request, and add the headers to its answer if they are missing."""
        headers = {} if scope["type"] != "http" else self._headers(scope)

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if headers and message["type"] == "http.response.start":
                message = {**message, "headers": _with(message.get("headers", []), headers)}
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _headers(self, scope: Scope) -> dict[str, str]:
        """Return the headers for the answer of an API, after correcting the names in its configuration."""
        found = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        apis = apis_of(self._ministack, found.get(b"host", ""), scope["path"])
        for api in apis:
            api["corsConfiguration"] = _camel(api["corsConfiguration"])
        gateway, origin = self._ministack._get_module("apigateway"), found.get(b"origin", "")
        return {
            name.lower(): value
            for api in apis
            for name, value in gateway._cors_response_headers(api["corsConfiguration"], origin).items()
        }


def api_allows_origin(ministack: Any, host: str, path: str, origin: str) -> bool:
    """Return whether a request is for an HTTP API whose CorsConfiguration allows an origin."""
    configurations = [_camel(api["corsConfiguration"]) for api in apis_of(ministack, host, path)]
    allowed = [allowed.lower() for found in configurations for allowed in found.get("allowOrigins", [])]
    return "*" in allowed or origin in allowed


def apis_of(ministack: Any, host: str, path: str) -> list[dict[str, Any]]:
    """Return the HTTP API that a request is for, if it has a CorsConfiguration, as MiniStack keeps it.

    ``ministack`` is the module ``ministack.app``. Its own parser finds the API, so that both see the same one.
    """
    found = ministack._parse_execute_api_url(host, path)
    apis = ministack._get_module("apigateway")._apis.all_items() if found else []
    return [api for (_, _, api_id), api in apis if api_id == found[0] and api.get("corsConfiguration")]


def _camel(configuration: dict[str, Any]) -> dict[str, Any]:
    return {name[:1].lower() + name[1:]: value for name, value in configuration.items()}


def _with(present: list[tuple[bytes, bytes]], more: dict[str, str]) -> list[tuple[bytes, bytes]]:
    names = {name.lower() for name, _ in present}
    added = ((name.encode(), value.encode()) for name, value in more.items())
    return [*present, *((name, value) for name, value in added if name not in names)]


def pass_traces(eventbridge: Any, sqs: Any) -> None:
    """Give each message the trace header of its event, as EventBridge does.

    MiniStack ignores ``TraceHeader``, and the ``AWSTraceHeader`` of a message in a batch. It does pass a message's
    ``AWSTraceHeader`` to the function.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-related-service-xray.html
    """
    put_events, dispatch, to_queue = eventbridge._put_events, eventbridge._dispatch_event, eventbridge._dispatch_to_sqs
    delay = sqs.queue_delay
    held: ContextVar[int] = ContextVar("held", default=0)  # seconds
    headers: ContextVar[Mapping[str, str]] = ContextVar("headers")  # of the events in a call, by their details
    current: ContextVar[str | None] = ContextVar("current", default=None)

    def put(data: Mapping[str, Any], *arguments: Any, **options: Any) -> Any:
        entries = data.get("Entries", [])
        headers.set({entry["Detail"]: entry["TraceHeader"] for entry in entries if "TraceHeader" in entry})
        return put_events(data, *arguments, **options)

    def dispatch_with_header(event: Mapping[str, Any], *arguments: Any) -> None:
        current.set(headers.get({}).get(event["Detail"]))
        dispatch(event, *arguments)

    def send(queue: Any, body: str, *arguments: Any) -> None:
        """Keep the message invisible until it has its header: other threads receive it at once."""
        held.set(_HOLD)
        to_queue(queue, body, *arguments)
        held.set(0)
        for message in reversed((sqs._queue_by_arn(str(queue)) or {"messages": []})["messages"]):
            if message["body"] == body and message["visible_at"] > message["sent_at"] + _HOLD - 1:
                message["sys"] |= {"AWSTraceHeader": current.get()} if current.get() else {}
                message["visible_at"] -= _HOLD
                return

    eventbridge._put_events, eventbridge._dispatch_event, eventbridge._dispatch_to_sqs = put, dispatch_with_header, send
    sqs.queue_delay = lambda queue: delay(queue) + held.get()
    _keep_in_batches(sqs)


def _keep_in_batches(sqs: Any) -> None:
    """Let messages that are sent in a batch keep their system attributes."""
    send_message, send_batch = sqs._act_send_message, sqs._act_send_message_batch
    attributes: ContextVar[Mapping[str, Any]] = ContextVar("attributes")  # of the messages of a batch, by their bodies

    def send(data: Mapping[str, Any], url: str) -> Any:
        kept = attributes.get({}).get(data.get("MessageBody", ""))
        return send_message({"MessageSystemAttributes": kept, **data}, url)

    def send_all(data: Mapping[str, Any], url: str) -> Any:
        entries = data.get("Entries", [])
        given = {entry.get("MessageBody", ""): entry.get("MessageSystemAttributes") for entry in entries}
        token = attributes.set(given)
        try:
            return send_batch(data, url)
        finally:
            attributes.reset(token)

    sqs._act_send_message = send
    sqs._HANDLERS["SendMessageBatch"] = send_all


class LayerArchive(zipfile.ZipFile):
    """The zip file of a function or a layer. A layer is unpacked once, and each worker gets a link to it.

    MiniStack unpacks thousands of files for each worker, which takes longer than the cold start itself. In Lambda too,
    all processes of a function see the same files, which they can't change.
    """

    _unpacked: dict[frozenset[tuple[str, int]], str] = {}  # noqa: RUF012  # folders by names and checksums of files
    _lock = threading.Lock()

    @property
    def _contents(self) -> frozenset[tuple[str, int]]:
        return frozenset((info.filename, info.CRC) for info in self.infolist())

    def namelist(self) -> list[str]:
        """Return the names of the files that MiniStack has to check: none of a layer that it has checked before."""
        return [] if self._contents in self._unpacked else super().namelist()

    def extractall(self, path: Any = None, members: Any = None, pwd: bytes | None = None) -> None:
        """Unpack all files, or replace the empty folder ``path`` of a layer by a link to them."""
        folder = Path(path)
        if not folder.name.startswith("layer_"):
            super().extractall(path, members, pwd)
            return
        contents = self._contents
        with self._lock:
            if contents not in self._unpacked:
                unpacked = tempfile.mkdtemp(prefix="layer-")
                super().extractall(unpacked, super().namelist(), pwd)
                self._unpacked[contents] = unpacked
        folder.rmdir()
        folder.symlink_to(self._unpacked[contents])


def share_layers(lambda_runtime: Any) -> None:
    """Let all workers of functions share the unpacked layers."""
    lambda_runtime.zipfile = ModuleType("zipfile")
    vars(lambda_runtime.zipfile).update(vars(zipfile), ZipFile=LayerArchive)


# It ends what an invocation has logged. Functions write to stderr; the first text on stdout says that they are ready.
_LOG_END = "\0end of the invocation's log"
_MARK_LOG_ENDS = f"""
import sys

class Answers:
    def __init__(self, stdout):
        self._stdout, self._ready = stdout, False

    def write(self, text):
        if self._ready:
            sys.stderr.write({_LOG_END!r} + "\\n")
            sys.stderr.flush()
        self._ready = True
        self._stdout.write(text)

    def flush(self):
        self._stdout.flush()

sys.stdout = Answers(sys.stdout)
"""


def complete_logs(lambda_runtime: Any) -> None:
    """Log all lines of an invocation with it, and at once.

    MiniStack waits until no line has come for 5 ms, or for 50 ms if there is none. It logs a line that comes later with
    the function's next invocation, which may never be.
    """
    of_other_runtimes = lambda_runtime.Worker._drain_stderr_bounded

    def lines(worker: Any, **options: Any) -> str:
        is_python = worker.config.get("Runtime", "").startswith("python")
        return "\n".join(_until_log_end(worker)) if is_python else str(of_other_runtimes(worker, **options))

    lambda_runtime.Worker._drain_stderr_bounded = lines
    lambda_runtime._PYTHON_WORKER_SCRIPT = _MARK_LOG_ENDS + lambda_runtime._PYTHON_WORKER_SCRIPT


def _until_log_end(worker: Any) -> Iterator[str]:
    """Yield the lines up to the mark, or the last ones of a process that has ended without it."""
    while True:
        try:
            line, mark, _ = worker._stderr_queue.get(timeout=0.05).partition(_LOG_END)
        except queue.Empty:
            if worker._proc is None or worker._proc.poll() is not None:
                return
            continue
        if line or not mark:
            yield line
        if mark:
            return


def copied(value: Any) -> Any:
    """Return a deep copy of JSON, in a third of the time of ``copy.deepcopy``, which copies everything else."""
    if type(value) is dict:
        return {name: copied(member) for name, member in value.items()}
    if type(value) is list:
        return [copied(element) for element in value]
    return value if type(value) in (str, int, float, bool, type(None)) else copy.deepcopy(value)


async def serve(app: Any, config: Any) -> None:
    """Serve as ``hypercorn.asyncio.serve`` does, with its configuration, but without HTTP parsers written in Python.

    On a machine that mostly waits, as that of a benchmark, a call takes 2.3 ms instead of 2.7 ms.
    """
    host, _, port = config.bind[0].rpartition(":")
    server = uvicorn.Config(
        app,
        host=host,
        port=int(port),
        http="httptools",
        ws="wsproto",
        access_log=False,
        log_level=config.loglevel.lower(),
        timeout_keep_alive=config.keep_alive_timeout,
        timeout_graceful_shutdown=int(config.graceful_timeout),
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )
    await uvicorn.Server(server).serve()


def main() -> None:
    """Run MiniStack until it gets a signal to end."""
    ministack = importlib.import_module("ministack.app")
    importlib.import_module("hypercorn.asyncio").serve = serve  # type: ignore[attr-defined]
    lambda_runtime = importlib.import_module("ministack.core.lambda_runtime")
    share_layers(lambda_runtime)
    complete_logs(lambda_runtime)
    # MiniStack copies each item several times per write: a seventh of its processor time for an order.
    importlib.import_module("ministack.services.dynamodb").copy = SimpleNamespace(deepcopy=copied)  # type: ignore[attr-defined]
    pass_traces(*(importlib.import_module(f"ministack.services.{name}") for name in ("eventbridge", "sqs")))
    cors = Cors(ministack.app, ministack)
    ministack.app = Guard(cors, partial(api_allows_origin, ministack))  # type: ignore[attr-defined]
    ministack.main()


if __name__ == "__main__":
    main()
