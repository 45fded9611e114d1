"""Lets schemathesis place orders: the document can't say what is on sale, which tokens are good, which keys are new.

It also counts the requests that were answered, and says how many in a file.
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
    """Count it."""
    next(_answered)


@schemathesis.hook
def map_headers(context, headers):
    """Every other well-formed key is a new one."""
    key = (headers or {}).get("Idempotency-Key")
    n = next(_count)
    if n % 2 and isinstance(key, str) and re.fullmatch(r"[\x21-\x7e]{1,100}", key):
        headers["Idempotency-Key"] = f"{key}-{n}"
    return headers


@schemathesis.hook
def map_body(context, body):
    """A well-formed sku becomes one of the catalog; each line has its own, as the most of one is limited in all."""
    lines = body.get("lines") if isinstance(body, dict) else None
    if not isinstance(lines, list):
        return body
    for n, line in enumerate(lines[: len(_SKUS)]):
        sku = line.get("sku") if isinstance(line, dict) else None
        if isinstance(sku, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", sku):
            line["sku"] = _SKUS[n]
    if len(lines) % 2:
        _can_be_paid(body)
    return body


def _can_be_paid(body):
    """Hardly a total is right by chance, and the sandbox declines all tokens but a few."""
    if isinstance(body.get("expectedTotal"), int):
        body["expectedTotal"] = None
    token = body.get("paymentToken")
    if isinstance(token, str) and re.fullmatch(r"[\x21-\x7e]{1,255}", token):
        body["paymentToken"] = "tok_approve"
