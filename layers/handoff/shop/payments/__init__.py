"""The port to the payment provider. Only an adapter knows its provider.

Every call is idempotent by its key: repeating a call, however late, never moves money twice. A provider may forget its
keys after a day; its adapter then looks up the state at the provider.
There are three ways of not getting the money. `Declined` is final. After `Unavailable`, nothing was done. After
`Unknown`, it may have been done; repeat the call with the same key to find out.
"""

from dataclasses import dataclass
from typing import Protocol

from handoff.errors import TransientError

LONGEST_CALL = 4.0  # seconds, connecting included


@dataclass(frozen=True, slots=True)
class Authorized:
    """The amount is held; ``reference`` is the provider's name for the hold.

    ``expires_at`` is when the hold expires, in epoch milliseconds; None if the provider does not say.
    """

    reference: str
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Declined:
    """The provider has declined for good: nothing is held, and nothing will be held under this key."""

    reason: str


@dataclass(frozen=True, slots=True)
class Captured:
    """The held amount was captured."""


@dataclass(frozen=True, slots=True)
class Voided:
    """The hold was released, and nothing was captured."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The provider has refused a capture or a void for good."""

    reason: str


class ProviderError(TransientError):
    """The provider gave no definite answer."""


class Unavailable(ProviderError):
    """The provider did not accept the request: nothing was done."""


class NothingHeld(Unavailable):
    """The provider rejects the request as invalid, and nothing is held: a fault on our side, not a decline."""


class Unknown(ProviderError):
    """The provider may or may not have done it: repeat the call with the same key."""


class Payments(Protocol):
    """The interface of a payment provider. Amounts are in minor units.

    Every method raises `Unavailable` or `Unknown` if there is no definite answer within `LONGEST_CALL`.
    """

    def authorize(
        self, key: str, *, order_id: str, amount: int, currency: str, token: str, since: int
    ) -> Authorized | Declined:
        """Hold an amount.

        ``since`` is the earliest time of an earlier call with this key (epoch milliseconds). Once the provider may have
        forgotten the key, no new hold is made: an existing hold is found, or the call is declined.

        Raises
        ------
        NothingHeld
            If the provider rejects the request as invalid and no earlier one succeeded.
        """
        ...

    def capture(self, key: str, *, order_id: str, reference: str) -> Captured | Failed:
        """Capture a held amount."""
        ...

    def void(self, key: str, *, order_id: str, reference: str) -> Voided | Failed:
        """Release a held amount."""
        ...


def connect(provider: str, sandbox_table: str) -> Payments:
    """Return the adapter of the provider that the deployment has chosen.

    Raises
    ------
    ValueError
        If the provider is unknown.
    """
    if provider == "sandbox":
        from shop.payments import sandbox  # noqa: PLC0415  # only the chosen provider costs import time

        return sandbox.connect(sandbox_table)
    if provider == "stripe":
        from shop.payments import stripe_intents  # noqa: PLC0415

        return stripe_intents.connect()
    raise ValueError(f"PAYMENT_PROVIDER is {provider!r}; known: sandbox, stripe")
