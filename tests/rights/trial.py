"""A right taken away, what needs it tried, put back, and tried again."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dev.template import Template
from ops.stack.deployment import Deployment
from tests.rights.catalog import Tried
from tests.rights.grants import Right, each, spoken
from tests.rights.shop import Shop


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it without the right and with it, and what the function was denied in each case."""

    right: Right
    wanted: str
    without: str
    denied: frozenset[str]
    back: str
    still_denied: frozenset[str]

    @property
    def told(self) -> str:
        """What came of it, in words."""
        return f"{self.without} (with it: {self.wanted})"

    @property
    def complaint(self) -> str:
        """Why this does not prove that the right is needed; empty if it does."""
        if self.denied != {self.right.action}:
            return f"without it, the function was denied {', '.join(sorted(self.denied)) or 'nothing'}"
        if self.without == self.wanted:
            return f"without it, all is as with it: {self.wanted}"
        if self.back != self.wanted or self.still_denied:
            return f"with it back, it is {self.back}, not {self.wanted}; denied: {sorted(self.still_denied)}"
        return ""


class Roles:
    """The roles of a deployed stack."""

    def __init__(self, deployment: Deployment, stack: Template) -> None:
        self._deployment = deployment
        self._stack = stack
        self._client: Any = deployment.session.client("iam", endpoint_url=deployment.endpoint)

    @contextlib.contextmanager
    def without(self, right: Right) -> Iterator[None]:
        """A role that lacks one right meanwhile, and nothing else."""
        (policy,) = self._stack.of_type("AWS::IAM::Role")[right.role]["Policies"]
        where = {"RoleName": self._deployment.resource(right.role), "PolicyName": policy["PolicyName"]}
        whole = self._client.get_role_policy(**where)["PolicyDocument"]
        less = {**whole, "Statement": list(self._without(right, whole))}
        self._client.put_role_policy(**where, PolicyDocument=json.dumps(less))
        try:
            yield
        finally:
            self._client.put_role_policy(**where, PolicyDocument=json.dumps(whole))

    def _without(self, right: Right, document: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The statements of a policy one by one, but for this right. The template's come in the same order."""
        role = self._stack.of_type("AWS::IAM::Role")[right.role]
        for (_, resource, _), (statement, arn, action) in zip(
            each(role), each({"Policies": [{"PolicyDocument": document}]}), strict=True
        ):
            if Right(right.role, action, spoken(resource)) != right:
                yield statement | {"Action": action, "Resource": arn}


def tried(right: Right, need: Tried, function: str, roles: Roles, shop: Shop) -> Trial:
    """Whether a right is needed."""
    with roles.without(right), shop.denials(function) as denied:
        without = need.scenario(shop)
    with shop.denials(function) as still_denied:
        back = need.scenario(shop)
    return Trial(right, need.wanted, without, frozenset(denied), back, frozenset(still_denied))
