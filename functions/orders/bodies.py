"""Bodies of requests: the types of their fields, and the parser of all of them."""

import base64
import json
import re
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

import parameters
import problems
from shop import text
from shop.json_members import duplicate_member
from shop.model import MAX_QUANTITY, SKU

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MAX_BODY_BYTES = 64 * 1024
_CHARSETS = ("utf-8", "utf8", "us-ascii")  # ASCII is a part of UTF-8

ASCII_255 = r"^[\x21-\x7e]{1,255}$"
COUNTRY = r"^[A-Z]{2}$"
LANGUAGE = r"^[a-z]{2}$"
PHONE = r"^\+?[0-9(][0-9 ()./-]{3,30}$"
VAT_ID = r"^[A-Za-z0-9]([A-Za-z0-9 +*-]|[0-9]\.[0-9]){3,29}$"  # periods between digits only: no web address has them so
# Accepted by a mail service: one @, no spaces, a dot in the domain. Only a mail can show whether the address exists.
EMAIL = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+$"
LONGEST_EMAIL = 254
# One line and not blank: these texts are printed in mails and on labels.
_BREAKS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_ONE_LINE = rf"^[^{_BREAKS}]*[^\s{_BREAKS}][^{_BREAKS}]*$"
# Web addresses, which mail programs turn into links: a user must not be able to mail links to strangers. Without the
# endings that also stand after an abbreviation in names and addresses ("Av.de la Paix", "Dr.Dev", "App.12"). No flags
# and no lookahead, so that the pattern means the same in JSON Schema. The dots are those that browsers accept.
_DOT = r"[.\u3002\uff0e\uff61]"
_ENDINGS = ("com", "net", "org", "info", "biz", "io", "xyz", "online", "shop", "store", "click", "icu")
_ENDING = "|".join("".join(f"[{letter}{letter.upper()}]" for letter in ending) for ending in _ENDINGS)
LINK = rf"://|[wW][wW][wW]{_DOT}|[A-Za-z0-9-]{{2}}{_DOT}[A-Za-z]{{2,24}}/|[^\s.]{_DOT}({_ENDING})([^A-Za-z0-9-]|$)"
_LINK = re.compile(LINK)
# The patterns in words, for the description of a field and for the message about a value that does not match.
_IN_WORDS = {
    SKU: "1-64 letters, digits, periods, underscores or hyphens, starting with a letter or a digit.",
    ASCII_255: "1-255 visible ASCII characters.",
    COUNTRY: "ISO 3166-1 alpha-2 code of the country, such as GB.",
    PHONE: "A phone number such as +44 20 7946 0958: 5-32 digits, spaces, parentheses, periods, slashes or hyphens.",
    VAT_ID: "The VAT identification number of the company, such as GB123456789.",
    LANGUAGE: "ISO 639-1 code of a language, such as de.",
    EMAIL: "An e-mail address such as ada@mail.example.",
    _ONE_LINE: "One visible line: not blank, no control characters or invisible ones.",
}


def matching(pattern: str, longest: int | None = None) -> Any:
    """Return the field of a text that matches one of the patterns above."""
    return Field(pattern=pattern, max_length=longest, description=_IN_WORDS[pattern])


def one_line(longest: int) -> Any:
    """Return the field of a text of one line that is not blank; `VISIBLE` checks the rest."""
    return Field(pattern=_ONE_LINE, min_length=1, max_length=longest, description=_IN_WORDS[_ONE_LINE])


def without_link(longest: int) -> Any:
    """Return the field of a text of one line without web addresses; `VISIBLE` and `UNLINKED` check the rest."""
    return Field(
        pattern=_ONE_LINE,
        min_length=1,
        max_length=longest,
        description=f"{_IN_WORDS[_ONE_LINE]} No web addresses.",
        json_schema_extra={"not": {"pattern": LINK}},
    )


def email_problem(email: str) -> str | None:
    """Return why a mail service does not accept an address that matches `EMAIL`, or None.

    Sources: RFC 5322, 3.2.3 (dot-atom) and RFC 1123, 2.1 (host names).
    """
    local, _, domain = email.partition("@")
    if not all(local.split(".")):
        return "Before the @, each dot must be between two other characters"
    if any("-" in (label[0], label[-1]) for label in domain.split(".")):
        return "No part of the domain may start or end with a hyphen"
    return None


def _deliverable(email: str) -> str:
    problem = email_problem(email)
    if problem:
        raise PydanticCustomError("email", "{problem}", {"problem": problem})
    return email


def _visible(line: str) -> str:
    problem = text.problem_of(line)
    if problem:
        raise PydanticCustomError("text", "{problem}", {"problem": problem})
    return line


def _unlinked(line: str) -> str:
    link = _LINK.search(line)
    if link:
        # The whole word: it is what the customer has to change.
        begin = line.rfind(" ", 0, link.start() + 1) + 1
        word = line[begin:].partition(" ")[0][:60]
        raise PydanticCustomError("link", "Web addresses are not allowed: write {word} without dots", {"word": word})
    return line


# Checked after the pattern, which is published: a narrower one would break the contract.
VISIBLE = AfterValidator(_visible)
DELIVERABLE = AfterValidator(_deliverable)
UNLINKED = AfterValidator(_unlinked)
Sku = Annotated[str, matching(SKU)]
STRIPPED = AfterValidator(str.strip)  # after the checks, so that the schema describes exactly the accepted values
NORMALIZED = AfterValidator(text.normalized)


def _whole(number: Any) -> Any:
    return int(number) if isinstance(number, float) and number.is_integer() else number


WHOLE = BeforeValidator(_whole)  # for JSON Schema, and so for a client, 2.0 is an integer too


class Body(BaseModel):
    """Part of a request's body: camelCase names, strict types, no unknown fields."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        strict=True,
        frozen=True,
        # A process needs few of the bodies, so each is built when it is first used. Not for models that the sweeper's
        # threads use: two threads must not build the same model.
        defer_build=True,
    )


B = TypeVar("B", bound=Body)


class LineIn(Body):
    """A product and its quantity. Lines with the same product are merged; the limit applies to their sum."""

    sku: Sku
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY), WHOLE]


def parsed(model: type[B], event: dict[str, Any], *, may_be_missing: bool = False) -> B:
    """Return the validated body of a request. A body that may be missing is an empty object then.

    Raises
    ------
    problems.Problem
        With the invalid fields, or because the body is not JSON in UTF-8.
    """
    if may_be_missing and not event.get("body"):
        return _validated(model, b"{}")
    _check_headers(event)
    return _validated(model, _body(event))


def _validated(model: type[B], document: bytes) -> B:
    try:
        body = model.model_validate_json(document)
        duplicate = duplicate_member(document)
        if duplicate:
            raise problems.invalid({duplicate: "given twice in one object: send each member once"})
        return body
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise problems.invalid({".".join(map(str, one["loc"])) or "body": _message(one) for one in found}) from error


def _message(error: "ErrorDetails") -> str:
    """Return the message for an invalid field, with a pattern in words."""
    return _IN_WORDS.get(error.get("ctx", {}).get("pattern", ""), error["msg"])


def _check_headers(event: dict[str, Any]) -> None:
    """Check that the body is JSON in UTF-8 without compression, as far as its headers say."""
    media_type, *others = (part.strip().lower() for part in parameters.header(event, "content-type").split(";"))
    if media_type != "application/json":
        raise problems.not_json(media_type)
    named = dict(part.split("=", 1) for part in others if "=" in part)
    charset = named.get("charset", "utf-8").strip('"')
    if charset not in _CHARSETS:
        raise problems.not_utf8("Content-Type", f"charset={charset[:100]}")
    coding = parameters.header(event, "content-encoding").strip().lower()
    if coding not in ("", "identity"):
        raise problems.encoded_body(coding)


def _body(event: dict[str, Any]) -> bytes:
    given = event.get("body") or ""
    try:
        body = base64.b64decode(given, validate=True) if event.get("isBase64Encoded") else given.encode()
        if len(body) > MAX_BODY_BYTES:
            raise problems.too_large(MAX_BODY_BYTES)
        found = json.detect_encoding(body).replace("utf-8-sig", "a byte order mark")
        # API Gateway passes bytes that are not UTF-8 as the replacement character.
        if found == "utf-8" and text.REPLACEMENT in body.decode():
            found = "other bytes"
    except ValueError:  # from decoding or encoding
        found = "other bytes"
    if found != "utf-8":
        raise problems.not_utf8("body", found)
    return body


def merged(lines: list[LineIn]) -> dict[str, int]:
    """Return the quantities by sku.

    Raises
    ------
    problems.Problem
        If the lines of a product exceed the limit together.
    """
    quantities: dict[str, int] = {}
    for n, line in enumerate(lines):
        quantities[line.sku] = quantities.get(line.sku, 0) + line.quantity
        if quantities[line.sku] > MAX_QUANTITY:
            raise problems.invalid({f"lines.{n}.quantity": f"more than {MAX_QUANTITY} of {line.sku} in all lines"})
    return quantities
