"""Hooks that let schemathesis place and change orders: OpenAPI cannot say which skus, tokens, keys and ids are usable.

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
_ADDRESS = {"name": "Ada", "street": "12 Engine Way", "city": "London", "postalCode": "E1 7AA", "country": "GB"}
_count = itertools.count()
_answered = itertools.count()
_placed = []
atexit.register(lambda: Path(os.environ["FUZZ_ANSWERED"]).write_text(f"{next(_answered)}"))


@schemathesis.hook
def after_call(context, case, response):
    """Count the answer, and remember the ids of placed orders."""
    next(_answered)
    if response.status_code == 201 and case.operation.definition.raw["operationId"] == "placeOrder":
        _placed.append(response.json()["orderId"])


@schemathesis.hook
def map_path_parameters(context, parameters):
    """Replace two of three well-formed order ids by those of placed orders, old and new ones."""
    order_id = (parameters or {}).get("orderId")
    n = next(_count)
    if n % 3 and _placed and isinstance(order_id, str) and re.fullmatch(r"ord_[a-z2-7]{26}", order_id):
        parameters["orderId"] = _placed[n % len(_placed)]
    return parameters


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
    """Replace well-formed skus by those of the catalog, each line's by another: quantities per product are limited.

    Two of three well-formed reasons become visible ones, which hardly any generated text is.
    """
    reason = body.get("reason") if isinstance(body, dict) else None
    if (
        isinstance(reason, str)
        and re.fullmatch(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029./]{1,200}", reason)
        and reason.strip()
    ):
        body["reason"] = "Sold out" if next(_count) % 3 else reason
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
    """Replace the total, the token and a well-formed address, which are hardly ever valid by chance."""
    if isinstance(body.get("shippingAddress"), dict) and _ADDRESS.keys() <= body["shippingAddress"].keys():
        body["shippingAddress"] |= _ADDRESS
    if isinstance(body.get("expectedTotal"), int):
        body["expectedTotal"] = None
    token = body.get("paymentToken")
    if isinstance(token, str) and re.fullmatch(r"[\x21-\x7e]{1,255}", token):
        body["paymentToken"] = "tok_approve"
