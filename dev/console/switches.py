"""The console's fault switches, as rules of the local stack's fault proxy. The proxy alone holds their state."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from dev.faults.proxy import CONTROL
from dev.faults.rules import Rule
from ops.console.playground import FaultSwitch
from ops.stack.deployment import Deployment


@dataclass(frozen=True)
class Switch(FaultSwitch):
    """A switch and its rule."""

    rule: Rule

    @property
    def document(self) -> dict[str, Any]:
        """The rule as the proxy returns it."""
        return self.rule.model_dump(exclude_defaults=True)


def switches(deployment: Deployment) -> dict[str, Switch]:
    """Return all switches by name."""
    sales = deployment.resource("SalesTable")
    return {
        "mail": Switch(
            "Slow e-mail",
            "Each mail takes 3 s; the e-mail queue grows.",
            Rule(call="sesv2.SendEmail", delay=3_000),
        ),
        "analytics": Switch(
            "Failing analytics",
            "Its writes fail; its events wait for a retry.",
            Rule(call="dynamodb.TransactWriteItems", table=sales, refuse="InternalServerError", status=500),
        ),
        "bus": Switch(
            "Event bus down",
            "Events wait in outboxes; orders are accepted.",
            Rule(call="eventbridge.PutEvents", refuse="InternalException", status=500),
        ),
    }


class ProxySwitches:
    """Turns switches of a running proxy on and off.

    All methods block until the proxy responds, and raise httpx.HTTPError if it does not.
    """

    def __init__(self, url: str, known: Mapping[str, Switch]) -> None:
        self.known = known
        # The fault proxy runs on this machine: do not go through an HTTP proxy.
        self._http = httpx.Client(base_url=url, timeout=5, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def active(self) -> frozenset[str]:
        """Return the names of the switches that are on."""
        rules = [planned["rule"] for planned in self._planned()]
        return frozenset(name for name, switch in self.known.items() if switch.document in rules)

    def turn(self, name: str, *, on: bool) -> None:
        """Turn a switch on or off. Idempotent."""
        rule = self.known[name].document
        numbers = [planned["number"] for planned in self._planned() if planned["rule"] == rule]
        if on and not numbers:
            self._http.post(CONTROL, json=rule).raise_for_status()
        for number in numbers if not on else []:
            self._http.delete(f"{CONTROL}/{number}").raise_for_status()

    def _planned(self) -> list[dict[str, Any]]:
        response = self._http.get(CONTROL).raise_for_status()
        planned: list[dict[str, Any]] = response.json()["rules"]
        return planned
