"""What the network does to both wirings: the same delays every day, and on some days more than that."""

from dataclasses import dataclass

from dev.faults.rules import Rule

# Milliseconds that a step takes on a usual day.
PROVIDER = 300
RESERVE = 200
MAIL = 400
ANALYTICS = 150
SLOW_MAIL = 3_000

_MAIL = "sesv2.SendEmail"
_SALES = {"call": "dynamodb.TransactWriteItems", "table": "*SalesTable*"}


@dataclass(frozen=True)
class NetworkConditions:
    """A day's rules. Of those that fit a call, the first decides."""

    name: str
    what: str
    troubles: tuple[Rule, ...] = ()
    mail: int = MAIL

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Its troubles, and the delays that every day has."""
        return (
            *self.troubles,
            Rule(table="*SandboxTable*", delay=PROVIDER),
            Rule(call="dynamodb.TransactWriteItems", puts="*OrdersTable*", delay=RESERVE),
            Rule(call=_MAIL, delay=self.mail),
            Rule(**_SALES, delay=ANALYTICS),
        )

    @property
    def hybrid(self) -> int:
        """Injected milliseconds that a customer of the hybrid waits for."""
        return PROVIDER + RESERVE

    @property
    def chain(self) -> int:
        """Injected milliseconds that a customer of the chain waits for."""
        return PROVIDER + RESERVE + self.mail + ANALYTICS


def _failing_mail(share: float) -> Rule:
    return Rule(call=_MAIL, share=share, delay=MAIL, refuse="ServiceUnavailable", status=503)


def _failing_sales(share: float) -> Rule:
    return Rule(**_SALES, share=share, delay=ANALYTICS, refuse="InternalServerError", status=500)


NORMAL = NetworkConditions("normal", "A normal day")
SLOW = NetworkConditions("slow", "E-mail takes 3 s", mail=SLOW_MAIL)
FLAKY = NetworkConditions(
    "flaky", "E-mail and analytics fail 6 % of the time", (_failing_mail(0.06), _failing_sales(0.06))
)
DOWN = NetworkConditions(
    "down",
    "E-mail, analytics and fulfillment are down",
    (
        _failing_mail(1),
        _failing_sales(1),
        Rule(table="*ShipmentsTable*", refuse="InternalServerError", status=500),
    ),
)
NO_BUS = NetworkConditions(
    "no_bus", "The bus refuses events", (Rule(call="eventbridge.PutEvents", refuse="InternalException", status=500),)
)
