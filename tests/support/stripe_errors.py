"""Errors of the simulated Stripe."""

from typing import Any

Params = dict[str, Any]


class Refusal(Exception):
    """An error in Stripe's format; ``kept``: stored with the request's key."""

    def __init__(self, status: int, kind: str, code: str | None = None, *, kept: bool = False, **members: Any) -> None:
        super().__init__(code or kind)
        self.status = status
        self.kept = kept
        # Like Stripe's texts, this one has data that no log may have.
        message = "Refused for the card of Ada Lovelace ending in 4242"
        self.body = {"error": {"type": kind, "message": message, **({"code": code} if code else {}), **members}}
