"""Protection of servers on this machine against web pages in its user's browser.

Browsers let every page send requests to loopback: forms, images, frames, websockets, and every `fetch` that needs no
preflight. The page usually can't read the response, but the request has been carried out. Three headers, which pages
can't set, tell such requests apart:

- ``Host`` names the page's own domain if that now resolves to this machine (DNS rebinding).
- ``Origin`` names the page, except in requests that only read.
- ``Sec-Fetch-Site`` is in those too: Chromium since 76, Firefox since 90, Safari since 16.4. Programs don't send it.

Standard library only: this module also runs in MiniStack's environment. Source:
https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

# The interface of ASGI. Source: https://asgi.readthedocs.io/en/latest/specs/main.html
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_OWN_SITES = frozenset({"same-origin", "none"})  # none: the user typed the address, or opened a bookmark


def is_loopback(name: str) -> bool:
    """Return whether a host name or address is loopback's. Browsers never ask DNS for names under ``localhost``.

    Source: https://www.rfc-editor.org/rfc/rfc6761#section-6.3
    """
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def rejection(
    headers: Iterable[tuple[str, str]],
    is_own_name: Callable[[str], bool],
    *,
    allows_origin: Callable[[str], bool] = lambda _: False,
    allows_links: bool = False,
) -> str | None:
    """Return why a request must be rejected, None if it may pass.

    ``headers`` are its headers, repeated ones included. ``is_own_name`` decides about the host name in lower case,
    ``allows_origin`` about another origin than the server's. With ``allows_links``, other sites may link to the server:
    the browser then shows its page in a tab, not within the other site's page.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for name, value in headers:
        found[name.lower()].append(value.lower())
    hosts, origins, sites = found["host"], found["origin"], found["sec-fetch-site"]
    if len(hosts) != 1 or not is_own_name(_host_name(hosts[0])):
        return f"the Host header {', '.join(hosts) or '(none)'} is not a name of this server"
    own = {f"http://{hosts[0]}", f"https://{hosts[0]}"}  # https: behind a tunnel
    foreign = [origin for origin in origins if origin not in own]
    if len(origins) > 1 or not all(map(allows_origin, foreign)):
        return f"the request comes from a web page of another origin, {', '.join(origins)}"
    linked = allows_links and not origins and found["sec-fetch-mode"] == ["navigate"]
    if foreign or (linked and found["sec-fetch-dest"] == ["document"]) or _OWN_SITES.issuperset(sites):
        return None
    return f"the request comes from a web page of another origin (Sec-Fetch-Site: {', '.join(sites)})"


def scope_rejection(scope: Scope, is_own_name: Callable[[str], bool], **allowed: Any) -> str | None:
    """Return why an ASGI request or websocket must be rejected: see `rejection`."""
    headers = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    return rejection(headers, is_own_name, **allowed)


async def reject(scope: Scope, send: Send, reason: str) -> None:
    """Respond to an ASGI request or websocket with 403 and the reason."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": ""})  # before it is accepted, this is a 403
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": f"Forbidden: {reason}.\n".encode()})


def _host_name(host: str) -> str:
    """Return the name in a Host header; empty if it is malformed."""
    try:
        return urlsplit(f"http://{host}").hostname or ""
    except ValueError:
        return ""
