"""Edit Python code at a place given by a kind of syntax and a few words, so that the format of the code is irrelevant.

A place is the innermost node of its kind that mentions all the words: ``condition lease_until``, ``call sorted``,
``keyword ConsistentRead``. A word is a name, a number, None or a part of a string. The first word of a call, a keyword
(or entry of a dict), a value or a default is its name. ``text ...`` and ``clause ...`` are parts of a string, verbatim.
With `` > `` a place is inside another one: ``handler ProviderError > raise``. An ``attr available`` is a condition on
that attribute of an item, in the notation of `handoff.conditions`.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from tests.mutants.errors import Stale


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the syntax tree that holds one node."""

    parent: ast.AST
    field: str
    index: int | None  # None: the field holds the node itself, not a list of nodes

    @property
    def node(self) -> ast.AST:
        """The node in this place."""
        held = getattr(self.parent, self.field)
        return held if self.index is None else held[self.index]

    def holds(self, other: "Slot") -> bool:
        """Return True if another place is somewhere below this one."""
        return self.node is not other.node and any(node is other.node for node in ast.walk(self.node))

    def fill(self, *nodes: ast.AST) -> None:
        """Put another node into this place, or several where there is a list."""
        if self.index is None:
            setattr(self.parent, self.field, nodes[0])
        else:
            getattr(self.parent, self.field)[self.index : self.index + 1] = nodes

    def clear(self) -> None:
        """Remove the node. An ``except`` clause then raises its error again."""
        if isinstance(self.node, ast.ExceptHandler):
            self.node.body = [ast.Raise()]
        elif isinstance(self.node, ast.stmt):
            self.fill(ast.Pass())
        else:
            if isinstance(self.parent, ast.Dict):
                del self.parent.values[self.index or 0]
            self.fill()


# Kinds of places that are one node of the syntax tree.
NODES = {
    "call": ast.Call,
    "comparison": ast.Compare,
    "dict": ast.Dict,
    "for": ast.For,
    "fstring": ast.JoinedStr,
    "handler": ast.ExceptHandler,
    "if": ast.If,
    "ifexp": ast.IfExp,
    "raise": ast.Raise,
    "return": ast.Return,
    "statement": ast.stmt,
    "try": ast.Try,
}
# Kinds of places that are a field of a node, or an element of it.
FIELDS = {
    "argument": {(ast.Call, "args")},
    "condition": {(ast.If, "test"), (ast.IfExp, "test"), (ast.While, "test"), (ast.comprehension, "ifs")},
    "decorator": {(ast.FunctionDef, "decorator_list")},
    "default": {(ast.arguments, "defaults"), (ast.arguments, "kw_defaults")},
    "item": {(ast.List, "elts"), (ast.Set, "elts"), (ast.Tuple, "elts")},
    "keyword": {(ast.Call, "keywords"), (ast.Dict, "keys")},
    "lambda": {(ast.Lambda, "body")},
    "operand": {(ast.BoolOp, "values")},
    "value": {(ast.keyword, "value"), (ast.Assign, "value"), (ast.AnnAssign, "value"), (ast.Dict, "values")},
}


def edit(scope: ast.AST, verb: str, place: str, new: str = "") -> None:
    """Change the scope's syntax tree in one place.

    The verb is ``drop``, ``replace`` (by the code ``new``, where ``_`` stands for the old code), ``always_true`` or
    ``always_false``.

    Raises
    ------
    Stale
        If there is no such place, or more than one.
    """
    *outer, place = place.split(" > ")
    for around in outer:
        scope = _only_place(scope, around).node
    kind, _, anchor = place.partition(" ")
    if kind in {"text", "clause"}:
        node = _string(scope, anchor)
        node.value = node.value.replace(anchor, f"({anchor} OR NOT ({anchor}))" if kind == "clause" else new)
        return
    slot = _only_place(scope, place)
    match verb:
        case "drop":
            slot.clear()
        case "always_true" if kind == "attr":
            slot.fill(*_code("_ | Attr('none').not_exists()", slot.node))
        case "always_true" | "always_false":
            slot.fill(ast.Constant(verb == "always_true"))
        case "replace":
            slot.fill(*_code(new, slot.node))


def _string(scope: ast.AST, text: str) -> ast.Constant:
    found = [node for node in ast.walk(scope) if isinstance(node, ast.Constant) and text in str(node.value)]
    if len(found) != 1:
        raise Stale(f"{len(found)} strings contain {text!r}, not one")
    return found[0]


def _only_place(scope: ast.AST, place: str) -> Slot:
    kind, *words = place.split()
    found = [slot for slot in _slots(scope) if _is(slot, kind) and _matches(slot, kind, words)]
    inner = [slot for slot in found if not any(other is not slot and slot.holds(other) for other in found)]
    if len(inner) > 1:
        lines = ", ".join(str(slot.node.lineno) for slot in inner)
        raise Stale(f"'{place}' matches lines {lines}: add a word that only one of them has")
    if not inner:
        raise Stale(f"nothing matches '{place}': name its successor")
    return inner[0]


def _is(slot: Slot, kind: str) -> bool:
    if kind == "attr":
        return not isinstance(slot.parent, ast.Attribute) and _attribute(slot.node) is not None
    if kind in NODES:
        return isinstance(slot.node, NODES[kind])
    return any(isinstance(slot.parent, parent) and slot.field == field for parent, field in FIELDS[kind])


def _slots(scope: ast.AST) -> Iterator[Slot]:
    for parent in ast.walk(scope):
        for field, held in ast.iter_fields(parent):
            nodes = enumerate(held) if isinstance(held, list) else [(None, held)]
            yield from (
                Slot(parent, field, index)
                for index, node in nodes
                if isinstance(node, ast.AST) and not _is_docstring(node)
            )


def _attribute(node: ast.AST) -> ast.expr | None:
    """Return the attribute that ``Attr("name").eq(value)`` is about."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="Attr"), args=[attribute]))):
            return attribute
        case ast.Call(func=ast.Attribute(value=inner)):
            return _attribute(inner)
    return None


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _matches(slot: Slot, kind: str, words: list[str]) -> bool:
    if kind in {"attr", "call", "default", "keyword", "value"} and words:
        name, *words = words
        if not any(_is_named(node, name) for node in _name_nodes(slot, kind)):
            return False
    nodes = [slot.node]
    if isinstance(slot.parent, ast.Dict):
        nodes.append(slot.parent.values[slot.index or 0])
    return all(any(_mentions(node, word) for node in nodes) for word in words)


def _name_nodes(slot: Slot, kind: str) -> list[ast.AST]:
    """Return the nodes that hold the name of this place."""
    at = slot.index or 0
    if kind == "call":
        return [slot.node.func]
    if kind == "attr":
        return [_attribute(slot.node)]
    match slot.parent:
        case ast.Call():
            return [slot.node]
        case ast.keyword():
            return [slot.parent]
        case ast.Dict(keys=keys):
            return [keys[at]]
        case ast.Assign(targets=targets):
            return [*targets]
        case ast.AnnAssign(target=target):
            return [target]
        case ast.arguments(posonlyargs=first, args=then, kwonlyargs=named, defaults=defaults):
            return [named[at] if slot.field == "kw_defaults" else [*first, *then][at - len(defaults)]]
    raise NotImplementedError(f"{kind} in {ast.dump(slot.parent)}")


def _is_named(node: ast.AST, name: str) -> bool:
    match node:
        case ast.keyword(arg=found):
            return name == (found or "**")
        case ast.Name(id=found) | ast.arg(arg=found):
            return name == found
        case ast.Attribute(attr=found, value=value):
            return name == found or _is_named(value, name)
        case ast.Constant(value=found) | ast.Subscript(slice=ast.Constant(value=found)):
            return name == str(found)
    return False


def _mentions(node: ast.AST, word: str) -> bool:
    for part in ast.walk(node):
        match part:
            case ast.Constant(value=str(value)) if word in value:
                return True
            case ast.Constant(value=None) if word == "None":
                return True
            case ast.Constant(value=int() | float() as value) if str(value) == word:
                return True
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=name) if name == word:
                return True
    return False


def _code(text: str, original: ast.AST) -> list[ast.AST]:
    """Parse code, with the original node in place of each ``_``."""

    class Placeholder(ast.NodeTransformer):
        def visit_Expr(self, node: ast.Expr) -> ast.AST:
            alone = isinstance(node.value, ast.Name) and node.value.id == "_"
            return original if alone and isinstance(original, ast.stmt) else self.generic_visit(node)

        def visit_Name(self, node: ast.Name) -> ast.AST:
            return original if node.id == "_" else node

    try:
        if isinstance(original, ast.stmt):
            return Placeholder().visit(ast.parse(text)).body
        return [Placeholder().visit(ast.parse(text, mode="eval")).body]
    except SyntaxError as error:
        raise Stale(f"the new code is invalid: {error}") from None
