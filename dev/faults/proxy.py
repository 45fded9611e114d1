"""A proxy on loopback between the functions and AWS or the payment provider, which injects faults into calls.

Faults and delays are injected here only, at the network, so that no function needs code for them. The proxy runs in a
thread (`running_proxy`) or as a process::

    python -m dev fault-proxy --port 4700 --upstream http://127.0.0.1:4566

Control it with ``FaultProxy.faults`` or over HTTP:

- ``GET /_faults``: the rules in force with their counts, the number of calls by name, and the ids of killed processes
- ``POST /_faults``: add a rule (a `Rule` as JSON); returns its number
- ``DELETE /_faults/NUMBER``: remove a rule; returns its counts
- ``DELETE /_faults``: remove all rules

Requests of web pages are rejected, also those to forward: behind the proxy is the local stack.
"""

import asyncio
import json
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import click
from aiohttp import web
from multidict import CIMultiDict
from pydantic import ValidationError
from yarl import URL

from dev.faults.callers import callers, kill
from dev.faults.rules import Call, Faults, Planned, Rule
from ops.browser_guard import is_loopback, rejection
from ops.cli.options import Port

CONTROL = "/_faults"
_ROUTED = ("DYNAMODB", "EVENTBRIDGE", "SESV2", "SQS")
# Hop-by-hop headers. Source: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
_OF_CONNECTION = ("Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "TE")
_OWN_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # that aiohttp would add
_ANSWERS_WITHIN = 60.0  # seconds, longer than the timeout of any caller


def routes(url: str) -> dict[str, str]:
    """Return the environment variables that send a function's calls to AWS through the proxy at ``url``.

    MiniStack's functions inherit them from MiniStack: pass them to `dev.local.stack.running`.
    """
    return {f"AWS_ENDPOINT_URL_{service}": url for service in _ROUTED}


@dataclass
class FaultProxy:
    """Forwards requests to ``upstream`` unchanged, unless a rule strikes them."""

    upstream: str
    faults: Faults = field(default_factory=Faults)
    killed: list[int] = field(default_factory=list)
    url: str = ""

    async def start(self, port: int = 0) -> None:
        """Listen on a port of loopback; 0 picks a free one."""
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=_ANSWERS_WITHIN),
        )
        self._runner = web.ServerRunner(web.Server(self._serve, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port, backlog=1024).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening, and drop the requests in flight."""
        await self._runner.cleanup()
        await self._session.close()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if reason := rejection(request.headers.items(), is_loopback):
            return web.Response(status=403, text=f"Forbidden: {reason}.\n")
        if request.path == CONTROL or request.path.startswith(CONTROL + "/"):
            return await self._control(request)
        body = await request.content.read()
        rule = self.faults.strike(Call(request.method, request.path, request.headers.get("X-Amz-Target", ""), body))
        if rule is None:
            return await self._forward(request, body)
        await asyncio.sleep(rule.delay / 1000)
        if rule.refuse:
            document = {"__type": rule.refuse, "message": "refused by the fault proxy"}
            return web.json_response(document, status=rule.status, headers={"x-amzn-ErrorType": rule.refuse})
        if rule.answer is not None:
            return web.json_response(rule.answer)
        if rule.drop is None:
            return await self._forward(request, body)
        if rule.drop == "after":
            await self._forward(request, body)
        if rule.kill:
            await self._kill_caller(request)
        return _hang_up(request)

    async def _forward(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        """Return the response from upstream. The request is signed, so it is forwarded unchanged, with its Host."""
        try:
            async with self._session.request(
                request.method,
                URL(self.upstream + request.raw_path, encoded=True),
                headers=_end_to_end(request.headers),
                skip_auto_headers=_OWN_HEADERS,
                data=body or None,
                allow_redirects=False,
            ) as answer:
                headers = _end_to_end(answer.headers)
                headers.popall("Content-Length", None)
                return web.Response(status=answer.status, headers=headers, body=await answer.read())
        except (aiohttp.ClientError, TimeoutError):
            return _hang_up(request)  # the caller sees a broken connection

    async def _kill_caller(self, request: web.BaseRequest) -> None:
        if request.transport:
            ends = [request.transport.get_extra_info(end) for end in ("peername", "sockname")]
            found = await asyncio.to_thread(callers, *ends)
            self.killed += found  # first, because a test may see their end at once
            kill(found)

    async def _control(self, request: web.BaseRequest) -> web.Response:
        number = request.path.removeprefix(CONTROL).removeprefix("/")
        if request.method == "GET":
            rules = [_shown(planned) for planned in self.faults.planned()]
            return web.json_response({"rules": rules, "calls": self.faults.calls(), "killed": self.killed})
        if request.method == "POST":
            try:
                rule = Rule.model_validate_json(await request.content.read())
            except ValidationError as error:
                return web.json_response({"errors": json.loads(error.json(include_url=False))}, status=400)
            return web.json_response(_shown(self.faults.add(rule)), status=201)
        if request.method == "DELETE" and not number:
            self.faults.heal()
            return web.Response(status=204)
        if request.method == "DELETE" and number.isdecimal() and (ended := self.faults.remove(int(number))):
            return web.json_response(_shown(ended))
        return web.Response(status=404)


def _hang_up(request: web.BaseRequest) -> web.Response:
    """Close the connection without a response. The returned one is not sent."""
    if request.transport:
        request.transport.abort()
    return web.Response()


def _end_to_end(headers: Mapping[str, str]) -> "CIMultiDict[str]":
    kept = CIMultiDict(headers)
    for name in _OF_CONNECTION:
        kept.popall(name, None)
    return kept


def _shown(planned: Planned) -> dict[str, Any]:
    rule = planned.rule.model_dump(exclude_defaults=True)
    return {"number": planned.number, "rule": rule, "matched": planned.matched, "struck": planned.struck}


@contextmanager
def running_proxy(upstream: str, *, port: int = 0, seed: int | None = None) -> Iterator[FaultProxy]:
    """Run a proxy in a thread while the context lasts. ``seed`` is that of `Faults`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fault proxy", daemon=True)
    thread.start()
    proxy = FaultProxy(upstream, Faults(seed))
    try:
        asyncio.run_coroutine_threadsafe(proxy.start(port), loop).result()
        try:
            yield proxy
        finally:
            asyncio.run_coroutine_threadsafe(proxy.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@click.command()
@click.option("--port", default=0, type=Port(least=0), help="Port to listen on, on loopback; 0 picks a free one.")
@click.option("--upstream", required=True, help="Where to forward requests, such as http://127.0.0.1:4566.")
@click.option("--seed", type=int, help="Seed for the random choices of rules with a share.")
def fault_proxy(port: int, upstream: str, seed: int | None) -> None:
    """Run a fault proxy until Ctrl-C. The first line printed is its address."""

    async def run() -> None:
        proxy = FaultProxy(upstream, Faults(seed))
        await proxy.start(port)
        click.echo(proxy.url)
        ended = asyncio.Event()
        for signum in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signum, ended.set)
        await ended.wait()
        await proxy.stop()

    asyncio.run(run())
