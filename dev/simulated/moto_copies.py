"""Work that moto 5 repeats for nothing, done once: its answers stay the same, the tests take less time."""

import copy
import io
import pickle
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import botocore.useragent
import jsonpath_ng.ext
import moto.backend_index
import moto.core.responses
import moto.dynamodb.models
import moto.dynamodb.parsing.validators
import moto.sqs.models
from botocore.auth import SigV4Auth
from botocore.exceptions import NoCredentialsError
from jsonpath_ng.ext.parser import parse
from moto.core.request import Request, environ_key_for_header
from moto.core.serialize import ResponseSerializer
from moto.core.utils import camelcase_to_underscores, method_names_from_class
from moto.dynamodb.comparisons import AttributeValue, ConditionExpressionParser
from moto.dynamodb.exceptions import ItemSizeTooLarge
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType, LimitedSizeDict
from moto.dynamodb.models.table import Table
from moto.dynamodb.models.utilities import bytesize
from moto.dynamodb.parsing.ast_nodes import DepthFirstTraverser, Node  # type: ignore[attr-defined]  # moto does not type them
from moto.dynamodb.parsing.expressions import UpdateExpressionParser  # type: ignore[attr-defined]
from moto.dynamodb.parsing.validators import ActionCountValidator
from moto.moto_api._internal import mock_random

_USUAL = {"dynamodb", "sqs", "events", "ses", "sesv2"}  # services that the functions call


@contextmanager
def avoided() -> Iterator[None]:
    """Copy only the items that a transaction changes, read only the members an answer has, parse each text once."""
    transact = DynamoDBBackend.transact_write_items

    def transact_write_items(self: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        before: dict[str, Table] = {}

        def deepcopy(value: Any) -> Any:
            if not isinstance(value, Table):
                return copy.deepcopy(value)
            if value.name not in before:  # moto takes all its copies before the first change
                before[value.name] = _copy_for(value, transact_items)
            return before[value.name]

        with patch.object(moto.dynamodb.models, "copy", SimpleNamespace(deepcopy=deepcopy)):
            transact(self, transact_items)

    serialize = ResponseSerializer._serialize_type_structure

    def serialize_structure(self: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
        """Serialize a dictionary whose keys are the names of members: there are no aliases to search for."""
        if type(value) is not dict or not value.keys() <= shape.members.keys():
            serialize(self, serialized, value, shape, key)
            return
        wrapper = self.MAP_TYPE() if key else serialized
        for name in value if len(value) == 1 else shape.members:
            if value.get(name) is not None:
                member = shape.members[name]
                member.parent = shape
                self._serialize_structure_member(wrapper, value, member, name)
        if key:
            self._default_serialize(serialized, wrapper, shape, key)

    replaced: list[tuple[Any, str, Any]] = [
        (ResponseSerializer, "_serialize_type_structure", serialize_structure),
        (ResponseSerializer, "get_value", _member),
        (DynamoDBBackend, "transact_write_items", transact_write_items),
        (jsonpath_ng.ext, "parse", cache(parse)),
        (moto.core.responses, "camelcase_to_underscores", _to_underscores),
        (moto.sqs.models, "camelcase_to_underscores", _to_underscores),
        (moto.sqs.models, "unix_time_millis", _now),
        (moto.core.responses, "method_names_from_class", _method_names),
        (moto.core.responses, "gen_amzn_requestid_long", _request_id),
        (moto.backend_index, "backend_url_patterns", _url_patterns),
        (botocore.useragent, "sanitize_user_agent_string_component", _sanitized),
        (SigV4Auth, "add_auth", _add_auth),
        (Request, "from_primitives", classmethod(_request)),
        (LimitedSizeDict, "__setitem__", _set_attribute),
        (ConditionExpressionParser, "parse", _condition),
        (ConditionExpressionParser, "_make_operand", _operand),
        (UpdateExpressionParser, "make", _parsed),
        (moto.dynamodb.parsing.validators, "deepcopy", _copy_of),
        (ActionCountValidator, "traverse", ActionCountValidator.verify_action_counts),
        (DepthFirstTraverser, "traverse_node_recursively", _traverse),
    ]
    with ExitStack() as stack:
        for owner, name, replacement in replaced:
            stack.enter_context(patch.object(owner, name, replacement))
        yield


_to_underscores = cache(camelcase_to_underscores)
_sanitized = cache(botocore.useragent.sanitize_user_agent_string_component)
# Moto tries all patterns in turn, a hundred before DynamoDB's. Those of the other services match none of these URLs.
_url_patterns = sorted(moto.backend_index.backend_url_patterns, key=lambda pattern: pattern[0] not in _USUAL)
_method_names = cache(method_names_from_class)
_is_subclass: Any = cache(issubclass)
_parse_condition = ConditionExpressionParser.parse
_make_operand = ConditionExpressionParser._make_operand
_conditions: dict[Any, Any] = {}  # the trees of conditions by their text and names
_from_primitives = Request.from_primitives.__func__  # type: ignore[attr-defined]
_MOST_BYTES = 405_000  # of an item, in moto
_processed: dict[tuple[type, type], bool] = {}  # whether a traverser processes nodes of a class
_prepares_nothing = DepthFirstTraverser.pre_processing_of_child
_get_value = ResponseSerializer.get_value
_make = UpdateExpressionParser.make
_pickled: dict[int, bytes] = {}  # the trees of update expressions, by the identities of those in _parsed's cache


def _condition(self: Any) -> Any:
    """Return a condition whose tree is parsed once for its text and names. The tree names its values."""
    if not self.condition_expression:
        return _parse_condition(self)
    key = (self.condition_expression, *sorted((self.expression_attribute_names or {}).items()))
    tree = _conditions.get(key)
    if tree is None:
        nodes = self._parse_paths(self._lex_condition_expression())
        for apply in (
            self._apply_functions,
            self._apply_comparator,
            self._apply_in,
            self._apply_between,
            self._apply_parens_and_booleans,
        ):
            nodes = apply(nodes)
        tree = nodes[0]
        self._assert_no_redundant_parentheses(tree)
        _conditions[key] = tree
    self.expr_attr_names_found.extend(self._find_literals(tree))
    self.expr_attr_values_found.extend(self._find_expr_attr_values(tree))
    return self._make_op_condition(tree)


def _operand(self: Any, node: Any) -> Any:
    if node.kind == self.Kind.EXPRESSION_ATTRIBUTE_VALUE:  # by its name: the tree may be of an earlier request
        return AttributeValue(self._lookup_expression_attribute_value(node.text))
    return _make_operand(self, node)


def _set_attribute(self: Any, name: str, value: Any) -> None:
    """Set an attribute. Moto adds up all others each time; this does so for an item of a quarter of the most."""
    size = _size(name) + _size(value)
    known = getattr(self, "known", _MOST_BYTES)
    if known + size > _MOST_BYTES / 4:
        known = sum(_size(held) for pair in self.items() for held in pair)
        if known + size > _MOST_BYTES:
            raise ItemSizeTooLarge
    self.known = known + size
    dict.__setitem__(self, name, value)


def _size(value: Any) -> int:
    return value.size() if type(value) is DynamoType else bytesize(str(value))


def _request(cls: Any, method: str, url: str, headers: Any, body: Any = None) -> Any:
    """Return a request of a JSON protocol, made without werkzeug's builder; another one as moto makes it."""
    scheme, _, host = url.rstrip("/").partition("://")
    if method != "POST" or not isinstance(body, bytes) or not host.isascii() or set(host) & set("/?#:@[]"):
        return _from_primitives(cls, method, url, headers, body)
    values = {
        environ_key_for_header(name): value.decode() if isinstance(value, bytes) else str(value)
        for name, value in headers.items()
        if name.lower() != "transfer-encoding"
    }
    return cls(
        {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": "/",
            "QUERY_STRING": "",
            "REQUEST_URI": "/",
            "RAW_URI": "/",
            "SERVER_NAME": host,
            "SERVER_PORT": {"http": "80", "https": "443"}[scheme],
            "HTTP_HOST": host,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": scheme,
            "wsgi.input": io.BytesIO(body),
            **values,
            "CONTENT_LENGTH": str(len(body)),
        }
    )


@cache
def _parsed(expression: str) -> Any:
    """Return the tree of an update expression, which moto copies before it changes it."""
    tree = _make(expression)
    _pickled[id(tree)] = pickle.dumps(tree)
    return tree


def _copy_of(value: Any) -> Any:
    """Return a deep copy: of a tree from its pickle, which takes a fifth of the time."""
    pickled = _pickled.get(id(value))
    return copy.deepcopy(value) if pickled is None else pickle.loads(pickled)  # noqa: S301  # pickled above


def _member(self: Any, value: Any, key: str, shape: Any) -> Any:
    """Return the value of a member that a dictionary has under its name."""
    if type(value) is dict and key in value and not getattr(self._value_picker, "response_transformers", None):
        return value[key]
    return _get_value(self, value, key, shape)


def _now() -> float:
    """Return the time in epoch milliseconds. Moto subtracts two dates, three times for each message that it counts."""
    return time.time_ns() / 1_000_000


def _request_id(headers: dict[str, Any]) -> str:
    """Return a new id of the usual length; moto chooses each letter at random."""
    headers["x-amzn-requestid"] = found = f"{mock_random.getrandbits(208):052X}"
    return found


def _add_auth(self: Any, request: Any) -> None:
    """Name the key, the region and the service as a signature does. Moto reads them, and checks no signature."""
    if self.credentials is None:
        raise NoCredentialsError
    scope = f"{self.credentials.access_key}/20261123/{self._region_name}/{self._service_name}/aws4_request"
    request.headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none"


def _traverse(self: Any, node: Any, child_id: int = -1) -> Any:
    """Process the nodes of an expression from the leaves to the root, with each class looked up once."""
    if not _is_subclass(type(node), Node):
        return node
    parent = node.parent
    prepares = type(self).pre_processing_of_child is not _prepares_nothing
    for number, child in enumerate(node.children or ()):
        if prepares:
            self.pre_processing_of_child(node, number)
        _traverse(self, child, number)
    pair = (type(self), type(node))
    if pair not in _processed:
        _processed[pair] = isinstance(node, tuple(self._processing_map()))
    if _processed[pair]:
        node = self.process(node)
        node.parent = parent
        if parent:
            parent.children[child_id] = node
    return node


def _copy_for(table: Table, transact_items: list[dict[str, Any]]) -> Table:
    """Return the table as it is, for a rollback of this transaction; items that it does not change are shared."""
    copied = copy.copy(table)
    copied.items = copy.copy(table.items)
    for operation in (next(iter(item.values())) for item in transact_items):
        if operation.get("TableName") != table.name:
            continue
        key = operation.get("Key") or operation["Item"]
        hash_value = DynamoType(key[table.hash_key_attr])
        if table.range_key_attr is None:
            if hash_value in table.items:
                copied.items[hash_value] = copy.deepcopy(table.items[hash_value])
        elif hash_value in table.items:
            range_value = DynamoType(key[table.range_key_attr])
            if copied.items[hash_value] is table.items[hash_value]:
                copied.items[hash_value] = dict(table.items[hash_value])
            if range_value in table.items[hash_value]:
                copied.items[hash_value][range_value] = copy.deepcopy(table.items[hash_value][range_value])
    return copied
