"""Remove a permission, run the scenario that needs it, restore it, and run the scenario again."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dev.template import Template
from ops.stack.deployment import Deployment
from tests.permissions.catalog import Enforced
from tests.permissions.grants import Permission, resource_name, statements
from tests.permissions.local_shop import LocalShop


@dataclass(frozen=True, slots=True)
class Trial:
    """The results of a scenario without a permission and with it, and the actions denied in each case."""

    permission: Permission
    wanted: str
    without: str
    denied: frozenset[str]
    restored: str
    still_denied: frozenset[str]

    @property
    def summary(self) -> str:
        """Both results."""
        return f"{self.without} (with it: {self.wanted})"

    @property
    def objection(self) -> str:
        """The reason why this does not prove that the permission is needed; empty if it does."""
        if self.denied != {self.permission.action}:
            return f"without it, the function was denied {', '.join(sorted(self.denied)) or 'nothing'}"
        if self.without == self.wanted:
            return f"without it, the result is the same: {self.wanted}"
        if self.restored != self.wanted or self.still_denied:
            return f"restored, the result is {self.restored}, not {self.wanted}; denied: {sorted(self.still_denied)}"
        return ""


class Roles:
    """The roles of a deployed stack."""

    def __init__(self, deployment: Deployment, stack: Template) -> None:
        self._deployment = deployment
        self._stack = stack
        self._client: Any = deployment.session.client("iam", endpoint_url=deployment.endpoint)

    @contextlib.contextmanager
    def without(self, permission: Permission) -> Iterator[None]:
        """Remove one permission from its role while the context lasts."""
        (policy,) = self._stack.of_type("AWS::IAM::Role")[permission.role]["Policies"]
        where = {"RoleName": self._deployment.resource(permission.role), "PolicyName": policy["PolicyName"]}
        whole = self._client.get_role_policy(**where)["PolicyDocument"]
        less = {**whole, "Statement": list(self._without(permission, whole))}
        self._client.put_role_policy(**where, PolicyDocument=json.dumps(less))
        try:
            yield
        finally:
            self._client.put_role_policy(**where, PolicyDocument=json.dumps(whole))

    def _without(self, permission: Permission, document: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield a policy's statements, split by action and resource, without this permission.

        The template's statements have the same order.
        """
        role = self._stack.of_type("AWS::IAM::Role")[permission.role]
        for (_, resource, _), (statement, arn, action) in zip(
            statements(role), statements({"Policies": [{"PolicyDocument": document}]}), strict=True
        ):
            if Permission(permission.role, action, resource_name(resource)) != permission:
                yield statement | {"Action": action, "Resource": arn}


def run_trial(permission: Permission, use: Enforced, function: str, roles: Roles, shop: LocalShop) -> Trial:
    """Run the scenario of a permission without it, and then with it."""
    with roles.without(permission), shop.denials(function) as denied:
        without = use.scenario(shop)
    with shop.denials(function) as still_denied:
        restored = use.scenario(shop)
    return Trial(permission, use.wanted, without, frozenset(denied), restored, frozenset(still_denied))
