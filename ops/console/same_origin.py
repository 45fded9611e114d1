"""Only the console's own page may talk to it: not another site in the same browser, by whatever name it calls us."""

import socket
from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import psutil

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# What a page of ours may do in a browser: load from here, and be in nobody's frame. NiceGUI's start is inline code,
# and Vue compiles its templates in the browser.
_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = [(b"content-security-policy", _POLICY.encode()), (b"referrer-policy", b"no-referrer")]


def own_names(host: str) -> frozenset[str]:
    """The names by which browsers may call a console that listens on ``host``."""
    if not _is_wildcard(host):
        return _LOOPBACK | {host.lower()}
    addresses = {address.address for found in psutil.net_if_addrs().values() for address in found}
    return _LOOPBACK | addresses | {socket.gethostname().lower()}


class SameOrigin:
    """Refuses, with 403, requests that call us by a name that is not ours, and those of another site's pages.

    The first keeps out a site that has its own name point here (DNS rebinding). The second matters because browsers
    let any page open a websocket to anywhere, and NiceGUI takes it from any origin.
    """

    def __init__(self, app: App, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is ours."""
        if scope["type"] == "lifespan" or self._is_ours(scope):
            await self._app(scope, receive, _guarded(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: answered with 403
        else:
            headers = [(b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": b"This is for the console's own page only.\n"})

    def _is_ours(self, scope: Scope) -> bool:
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, []).append(value)
        hosts, origins = headers.get(b"host", []), headers.get(b"origin", [])
        if len(hosts) != 1 or len(origins) > 1:
            return False
        host = hosts[0].decode("latin-1").lower()
        return _name(f"http://{host}") in self._names and all(
            origin.decode("latin-1").lower() in {f"http://{host}", f"https://{host}"} for origin in origins
        )


def _guarded(send: Send) -> Send:
    """What browsers are told to beware of goes with every answer."""

    async def guarded(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *_HEADERS]
        await send(message)

    return guarded


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _is_wildcard(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False
