"""A fast parser of DynamoDB's attribute values, for botocore.

botocore tries each of the ten types for every value, of which a value has one: two fifths of the sweeper's processor
time. Should a later botocore name its parser's methods differently, it parses as before.
"""

import base64
from typing import Any

from botocore.parsers import JSONParser, ResponseParser, ResponseParserFactory


class ParserFactory(ResponseParserFactory):
    """Makes the parsers of a session: register it as the component ``response_parser_factory``."""

    def create_parser(self, protocol_name: str) -> ResponseParser:
        """Return a parser of a protocol's responses; DynamoDB's protocol is ``json``."""
        return _Parser() if protocol_name == "json" else super().create_parser(protocol_name)


class _Parser(JSONParser):
    def _handle_structure(self, shape: Any, value: Any) -> Any:
        return _attribute(value) if shape.name == "AttributeValue" else super()._handle_structure(shape, value)  # type: ignore[misc]  # not in its stubs


def _attribute(value: dict[str, Any]) -> dict[str, Any]:
    """Return an attribute value as botocore's parser does: as it came, but bytes are decoded."""
    ((kind, content),) = value.items()
    if kind == "M":
        return {"M": {name: _attribute(member) for name, member in content.items()}}
    if kind == "L":
        return {"L": [_attribute(element) for element in content]}
    if kind == "B":
        return {"B": base64.b64decode(content)}
    if kind == "BS":
        return {"BS": [base64.b64decode(element) for element in content]}
    return value
