"""Run the requests that a page shows, in the order of the page, against the simulated stack.

Understands ``curl``, ``sleep``, assignments, and the commands that print a token. All other commands are left to
test_commands.py. A ``json`` block is the response of the last request: members that it leaves out are ignored, and ids,
client secrets and times may differ.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dev.simulated.api import Answer
from dev.simulated.world import World
from ops.tokens import ACCESS
from tests.support.markdown import ROOT

_BLOCK = re.compile(r"^```(sh|json)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ID = re.compile(r"(ord|ref)_[a-z2-7]{26}")
_SECRET = re.compile(r"ord_[a-z2-7]{26}:authorise_secret_[\w-]+")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
_TOKEN = re.compile(r"\$\((?:cat \.local/token-4566|\.venv/bin/handoff token --scope (\S+) --local)\)")
_ASSIGNMENT = re.compile(r"([A-Z_]+)=(.*)")
_API = "http://127.0.0.1:4566/_aws/execute-api/0a1b2c3d/$default"


@dataclass
class ShellPage:
    """A page, and the shell that runs it; ``pause`` lets seconds pass."""

    world: World
    pause: Callable[[int], None]
    variables: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)  # real ones, by those that the page shows
    answers: list[Answer] = field(default_factory=list)
    compared: int = 0

    def run(self, text: str) -> None:
        """Run all blocks of a page."""
        for kind, block in _BLOCK.findall(text):
            if kind == "json":
                self._compare(json.loads(block), self.answers[-1].json)
                self.compared += 1
                continue
            for line in block.replace("\\\n", " ").splitlines():
                self._run(line)

    def _run(self, line: str) -> None:
        assignment = _ASSIGNMENT.fullmatch(line)
        if assignment:
            self.variables[assignment[1]] = self._value(assignment[2])
            return
        if '"$TOKEN_URL"' in line:
            assert re.findall(r"scope=handoff/([\w:]+)", line)[0] in ACCESS
        elif line.startswith("sleep "):
            self.pause(int(line.split()[1]))
        elif line.startswith("curl "):
            self.answers.append(self._curl([self._expand(word) for word in shlex.split(line)[1:]]))

    def _value(self, text: str) -> str:
        """Return what a variable is set to; an id or a secret of the page stands for that of the last response."""
        token = _TOKEN.fullmatch(text)
        if token:
            return f"program {token[1]}" if token[1] else "customer"
        if _ID.fullmatch(text):
            self.ids[text] = next(_found("orderId", self.answers[-1].json))
        if _SECRET.fullmatch(text):
            return str(next(_found("clientSecret", self.answers[-1].json)))
        return shlex.split(text)[0]

    def _expand(self, word: str) -> str:
        word = re.sub(r"\$([A-Z_]+)", lambda name: self.variables[name[1]], word)
        return _ID.sub(lambda shown: self.ids.get(shown[0], shown[0]), word)

    def _curl(self, words: list[str]) -> Answer:
        method, body, headers, url = "", None, {}, ""
        rest = iter(words)
        for word in rest:
            match word:
                case "-X":
                    method = next(rest)
                case "-H":
                    name, _, headers[name] = (part.strip() for part in next(rest).partition(":"))
                case "-d":
                    body = _body(next(rest))
                case _:
                    assert not url, words
                    assert not word.startswith("-"), f"an option that only a real curl knows: {word}"
                    url = word
        assert url.startswith(_API), url
        assert (body is None) == ("Content-Type" not in headers), "a body has its type"
        api = self._api(headers.pop("Authorization"))
        answer = api.call(method or ("GET" if body is None else "POST"), url.removeprefix(_API), body, **headers)
        assert answer.status < 300, f"{words}: {answer.json}"
        return answer

    def _api(self, authorization: str) -> Any:
        scheme, user, *scope = authorization.split()
        assert scheme == "Bearer"
        return self.world.program(*scope) if user == "program" else self.world.api()

    def _compare(self, shown: Any, real: Any) -> None:
        match shown:
            case dict():
                assert shown.keys() <= real.keys(), f"{shown.keys() - real.keys()} are not in {real}"
                for name, value in shown.items():
                    self._compare(value, real[name])
            case list():
                assert len(shown) == len(real), real
                for one, other in zip(shown, real, strict=True):
                    self._compare(one, other)
            case str() if _ID.fullmatch(shown):
                assert self.ids.get(shown, real) == real
            case str() if _SECRET.fullmatch(shown):
                assert _SECRET.fullmatch(real)
            case str() if _TIME.fullmatch(shown):
                assert _TIME.fullmatch(real)
            case _:
                assert shown == real


def _body(text: str) -> str:
    return (ROOT / text[1:]).read_text() if text.startswith("@") else text


def _found(name: str, node: Any) -> Iterator[str]:
    """Yield the values of a member, at any depth."""
    if isinstance(node, dict):
        if name in node:
            yield node[name]
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _found(name, part)
