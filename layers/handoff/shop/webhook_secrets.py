"""The signing secrets of webhooks, as an operator stores them: one per line, two of them while the secret is rotated.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64

_PREFIX = "whsec_"
_SIZES = range(24, 65)  # bytes of a secret, by the specification
_MOST = 2


class MalformedSecret(ValueError):
    """The text is not one or two signing secrets. The reason shows no part of it."""


def parse(text: str) -> list[str]:
    """Return the secrets in a text.

    Raises
    ------
    MalformedSecret
        If it is not one or two secrets.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not 1 <= len(lines) <= _MOST:
        raise MalformedSecret(f"it has {len(lines)} lines; store one secret, or two while you rotate it")
    for number, line in enumerate(lines, 1):
        if not _is_secret(line):
            raise MalformedSecret(f"line {number} is not whsec_ and the base64 text of 24 to 64 random bytes")
    return lines


def _is_secret(line: str) -> bool:
    """Return whether a line is a secret. Libraries drop characters that are not of base64, and sign with the rest."""
    text = line.removeprefix(_PREFIX)
    try:
        return (
            line.startswith(_PREFIX) and len(base64.b64decode(text + "=" * (-len(text) % 4), validate=True)) in _SIZES
        )
    except ValueError:
        return False
