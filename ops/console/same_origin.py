"""Protection against other sites in the same browser: only the console's own page may send requests to it."""

import socket
from collections.abc import MutableMapping
from ipaddress import ip_address
from typing import Any

import psutil

from ops.browser_guard import App, Receive, Scope, Send, reject, scope_rejection

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
    """Rejects requests of other sites' pages with 403; a link to the console's page is accepted.

    NiceGUI itself accepts websockets from any origin.
    """

    def __init__(self, app: App, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on requests of the console's own page."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif reason := scope_rejection(scope, self._names.__contains__, allows_links=scope.get("method") == "GET"):
            await reject(scope, send, reason)
        else:
            await self._app(scope, receive, _with_headers(send))


def _with_headers(send: Send) -> Send:
    """Add the security headers to every response."""

    async def send_with_headers(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *_HEADERS]
        await send(message)

    return send_with_headers


def _is_wildcard(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False
