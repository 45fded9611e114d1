"""Network conditions for both wirings: the same delays always, and failures in some conditions."""

from dataclasses import dataclass

from dev.faults.rules import Rule

# Latencies in milliseconds under normal conditions.
PROVIDER = 300
RESERVE = 200
MAIL = 400
ANALYTICS = 150
SLOW_MAIL = 3_000

_MAIL = "sesv2.SendEmail"
_SALES = {"call": "dynamodb.TransactWriteItems", "table": "*SalesTable*"}


@dataclass(frozen=True)
class NetworkConditions:
    """Rules of the fault proxy; the first rule that matches a call applies."""

    name: str
    title: str
    faults: tuple[Rule, ...] = ()
    mail: int = MAIL

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The faults, followed by the delays of all conditions."""
        return (
            *self.faults,
            Rule(table="*SandboxTable*", delay=PROVIDER),
            Rule(call="dynamodb.TransactWriteItems", puts="*OrdersTable*", delay=RESERVE),
            Rule(call=_MAIL, delay=self.mail),
            Rule(**_SALES, delay=ANALYTICS),
        )

    @property
    def handoff_ms(self) -> int:
        """Injected milliseconds in the customer's request to Handoff."""
        return PROVIDER + RESERVE

    @property
    def chain_ms(self) -> int:
        """Injected milliseconds in the customer's request to the chain."""
        return PROVIDER + RESERVE + self.mail + ANALYTICS


def _failing_mail(share: float) -> Rule:
    return Rule(call=_MAIL, share=share, delay=MAIL, refuse="ServiceUnavailable", status=503)


def _failing_sales(share: float) -> Rule:
    return Rule(**_SALES, share=share, delay=ANALYTICS, refuse="InternalServerError", status=500)


NORMAL = NetworkConditions("normal", "normal")
SLOW = NetworkConditions("slow", "e-mail takes 3 s", mail=SLOW_MAIL)
FLAKY = NetworkConditions(
    "flaky", "e-mail and analytics fail 6 % of the time", (_failing_mail(0.06), _failing_sales(0.06))
)
DOWN = NetworkConditions(
    "down",
    "e-mail, analytics and fulfillment are down",
    (
        _failing_mail(1),
        _failing_sales(1),
        Rule(table="*ShipmentsTable*", refuse="InternalServerError", status=500),
    ),
)
NO_BUS = NetworkConditions(
    "no_bus", "the bus rejects events", (Rule(call="eventbridge.PutEvents", refuse="InternalException", status=500),)
)
