"""The port to the payment provider. Each adapter alone knows its provider.

Every call is idempotent by its key: the same call again, however late, moves no money twice. A provider may forget its
keys after a day; its adapter then goes by what it finds there.
Three ways of not getting the money are told apart: declined is a definite no, `Unavailable` means that nothing was
done, and after `Unknown` it may have been done; only asking again with the same key tells.
"""

from dataclasses import dataclass
from typing import Protocol

LONGEST_CALL = 4.0  # seconds, connecting included


@dataclass(frozen=True, slots=True)
class Authorized:
    """The amount is held; ``reference`` is the provider's name for the hold.

    ``expires_at`` is when the hold lapses by itself, in epoch milliseconds; None if the provider does not say.
    """

    reference: str
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Declined:
    """A definite no: nothing is held, and nothing will be under this key."""

    reason: str


@dataclass(frozen=True, slots=True)
class Captured:
    """The held amount was taken."""


@dataclass(frozen=True, slots=True)
class Voided:
    """The hold is gone, and nothing was taken."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A definite no to a capture or a void."""

    reason: str


class ProviderError(Exception):
    """The provider gave no definite answer."""


class Unavailable(ProviderError):
    """The provider did not take the request: nothing was done."""


class NothingHeld(Unavailable):
    """The provider refuses the request itself, and nothing is held for its order: a mistake of ours, and no decline."""


class Unknown(ProviderError):
    """The provider may or may not have done it: ask again with the same key."""


class Payments(Protocol):
    """What Handoff wants of a payment provider. Amounts are in minor units.

    Every method raises `Unavailable` or `Unknown` when there is no definite answer within `LONGEST_CALL`.
    """

    def authorize(
        self, key: str, *, order_id: str, amount: int, currency: str, token: str, since: int
    ) -> Authorized | Declined:
        """Hold an amount.

        ``since`` is the earliest time at which this can have been asked before (epoch milliseconds). Once the provider
        may have forgotten the key, nothing new is held: what was held is found, or it is declined.

        Raises
        ------
        NothingHeld
            If this request can't be met, and no earlier one was.
        """
        ...

    def capture(self, key: str, *, order_id: str, reference: str) -> Captured | Failed:
        """Take a held amount."""
        ...

    def void(self, key: str, *, order_id: str, reference: str) -> Voided | Failed:
        """Let go of a held amount."""
        ...


def connect(provider: str, sandbox_table: str) -> Payments:
    """The provider that the deployment chose; it is imported only then.

    Raises
    ------
    ValueError
        If there is no such provider.
    """
    if provider == "sandbox":
        from shop.payments import sandbox  # noqa: PLC0415  # only the chosen provider is paid for

        return sandbox.connect(sandbox_table)
    if provider == "stripe":
        from shop.payments import stripe_intents  # noqa: PLC0415

        return stripe_intents.connect()
    raise ValueError(f"PAYMENT_PROVIDER is {provider!r}; known: sandbox, stripe")
