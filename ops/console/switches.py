"""The console's switches of the local stack's fault proxy. The proxy alone knows which are on, whoever turned them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from dev.faults.proxy import CONTROL
from dev.faults.rules import Rule
from ops.stack.deployment import Deployment


@dataclass(frozen=True)
class Switch:
    """A fault that can be switched on, and what to look at then."""

    label: str
    hint: str
    rule: Rule

    @property
    def document(self) -> dict[str, Any]:
        """Its rule, as the proxy tells it."""
        return self.rule.model_dump(exclude_defaults=True)


def switches(deployment: Deployment) -> dict[str, Switch]:
    """All switches, by name."""
    sales = deployment.resource("SalesTable")
    return {
        "mail": Switch(
            "Slow e-mail",
            "Each mail takes 3 s. The e-mail queue fills; answers stay fast.",
            Rule(call="sesv2.SendEmail", delay=3_000),
        ),
        "analytics": Switch(
            "Failing analytics",
            "Each write of analytics is refused. Its events wait for another try; nothing else notices.",
            Rule(call="dynamodb.TransactWriteItems", table=sales, refuse="InternalServerError", status=500),
        ),
        "bus": Switch(
            "Bus down",
            "EventBridge takes no event. Orders are answered; their events wait in the outbox for the sweeper.",
            Rule(call="eventbridge.PutEvents", refuse="InternalException", status=500),
        ),
    }


class FaultSwitches:
    """Turns the switches of a running proxy. Blocks for as long as the proxy needs to answer.

    Its methods raise httpx.HTTPError if that fails.
    """

    def __init__(self, url: str, known: Mapping[str, Switch]) -> None:
        self.known = known
        # The proxy runs on this machine: nobody else's proxy is in between.
        self._http = httpx.Client(base_url=url, timeout=5, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def on(self) -> frozenset[str]:
        """The names of those that are on."""
        rules = [planned["rule"] for planned in self._planned()]
        return frozenset(name for name, switch in self.known.items() if switch.document in rules)

    def turn(self, name: str, *, on: bool) -> None:
        """Turn one on or off; nothing happens if it is so already."""
        rule = self.known[name].document
        numbers = [planned["number"] for planned in self._planned() if planned["rule"] == rule]
        if on and not numbers:
            self._http.post(CONTROL, json=rule).raise_for_status()
        for number in numbers if not on else []:
            self._http.delete(f"{CONTROL}/{number}").raise_for_status()

    def _planned(self) -> list[dict[str, Any]]:
        answer = self._http.get(CONTROL).raise_for_status()
        planned: list[dict[str, Any]] = answer.json()["rules"]
        return planned
