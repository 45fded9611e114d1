"""Hooks that let schemathesis place orders: OpenAPI cannot say which skus, tokens and keys are usable.

They also count the answered requests, and write the number to a file.
"""

import atexit
import itertools
import json
import os
import re
from pathlib import Path

import schemathesis

_SKUS = json.loads(os.environ["FUZZ_SKUS"])
_count = itertools.count()
_answered = itertools.count()
atexit.register(lambda: Path(os.environ["FUZZ_ANSWERED"]).write_text(f"{next(_answered)}"))


@schemathesis.hook
def after_call(context, case, response):
    """Count the answer."""
    next(_answered)


@schemathesis.hook
def map_headers(context, headers):
    """Make every other well-formed key a new one."""
    key = (headers or {}).get("Idempotency-Key")
    n = next(_count)
    if n % 2 and isinstance(key, str) and re.fullmatch(r"[\x21-\x7e]{1,100}", key):
        headers["Idempotency-Key"] = f"{key}-{n}"
    return headers


@schemathesis.hook
def map_body(context, body):
    """Replace well-formed skus by those of the catalog, each line's by another: quantities per product are limited."""
    lines = body.get("lines") if isinstance(body, dict) else None
    if not isinstance(lines, list):
        return body
    for n, line in enumerate(lines[: len(_SKUS)]):
        sku = line.get("sku") if isinstance(line, dict) else None
        if isinstance(sku, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", sku):
            line["sku"] = _SKUS[n]
    if len(lines) % 2:
        _make_payable(body)
    return body


def _make_payable(body):
    """Replace the total and the token, which are hardly ever valid by chance."""
    if isinstance(body.get("expectedTotal"), int):
        body["expectedTotal"] = None
    token = body.get("paymentToken")
    if isinstance(token, str) and re.fullmatch(r"[\x21-\x7e]{1,255}", token):
        body["paymentToken"] = "tok_approve"
