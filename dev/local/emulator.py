"""MiniStack, behind a guard against web pages. It runs in MiniStack's environment: `python -m dev.local.emulator`.

MiniStack answers every origin with ``Access-Control-Allow-Origin: *`` and accepts any signature. Without the guard, a
web page in the developer's browser creates a function and invokes it, which runs the page's code as the developer.

The guard runs within MiniStack's process, so there is no other port that leads around it. This module imports only the
standard library, MiniStack and `ops.browser_guard`.
"""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

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


def api_allows_origin(ministack: Any, host: str, path: str, origin: str) -> bool:
    """Return whether a request is for an HTTP API whose CorsConfiguration allows an origin.

    ``ministack`` is the module ``ministack.app``. Its own parser finds the API, so that both see the same one.
    """
    found = ministack._parse_execute_api_url(host, path)
    if found is None:
        return False
    apis = ministack._get_module("apigateway")._apis.all_items()
    allowed = [
        allowed.lower()
        for (_, _, api_id), api in apis
        if api_id == found[0]
        for allowed in (api.get("corsConfiguration") or {}).get("allowOrigins", [])
    ]
    return "*" in allowed or origin in allowed


def main() -> None:
    """Run MiniStack until it gets a signal to end."""
    ministack = importlib.import_module("ministack.app")
    ministack.app = Guard(ministack.app, partial(api_allows_origin, ministack))  # type: ignore[attr-defined]
    ministack.main()


if __name__ == "__main__":
    main()
