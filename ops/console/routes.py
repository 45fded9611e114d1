"""The addresses of the console's pages. Each can be reloaded, sent to a colleague and found in the history."""

from urllib.parse import quote

OVERVIEW = "/"
DEAD_LETTERS = "/dead-letters"
ORDERS = "/orders"
ORDER = "/orders/{order_id:path}"  # a path, because a mistyped id may contain a slash


def dead_letters(consumer: str = "") -> str:
    """Return the address of the dead letters, of one consumer or of all."""
    return f"{DEAD_LETTERS}?consumer={quote(consumer, safe='')}" if consumer else DEAD_LETTERS


def order(order_id: str) -> str:
    """Return the address of an order's timeline."""
    return f"{ORDERS}/{quote(order_id, safe='')}"
