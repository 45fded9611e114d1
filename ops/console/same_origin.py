"""Protection against other sites in the same browser: only the console's own page may send requests to it."""

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
# The page loads from this server only, and no site may frame it. NiceGUI starts with inline code, and Vue compiles its
# templates in the browser.
_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = [(b"content-security-policy", _POLICY.encode()), (b"referrer-policy", b"no-referrer")]


def own_names(host: str) -> frozenset[str]:
    """Return the host names that a console listening on ``host`` may be requested under."""
    if not _is_wildcard(host):
        return _LOOPBACK | {host.lower()}
    addresses = {address.address for found in psutil.net_if_addrs().values() for address in found}
    return _LOOPBACK | addresses | {socket.gethostname().lower()}


class SameOrigin:
    """Rejects requests with a foreign Host header or a foreign Origin header, with 403.

    The first stops a site that makes its own name resolve to this machine (DNS rebinding). The second is needed
    because browsers let any page open a websocket to any address, and NiceGUI accepts websockets from any origin.
    """

    def __init__(self, app: App, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on requests of the console's own page."""
        if scope["type"] == "lifespan" or self._is_same_origin(scope):
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted, this is a 403
        else:
            headers = [(b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": b"Only the console's own page may send requests.\n"})

    def _is_same_origin(self, scope: Scope) -> bool:
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


def _with_headers(send: Send) -> Send:
    """Add the security headers to every response."""

    async def send_with_headers(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *_HEADERS]
        await send(message)

    return send_with_headers


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
