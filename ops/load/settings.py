"""What a load test sends."""

from dataclasses import dataclass

SANDBOX_TOKEN = "tok_approve"  # noqa: S105  # charges no one
_SPREAD = 1.5  # a user's orders against their mean: think times are random


@dataclass(frozen=True)
class Settings:
    """Each number of ``users`` orders for ``seconds``; ``within`` is how many seconds the consumers may take after it.

    ``think`` is the mean time in seconds between an answer and the user's next order.
    """

    users: tuple[int, ...]
    seconds: float
    think: float = 10.0
    warm_up: float = 10.0
    within: float = 300.0
    payment_token: str = SANDBOX_TOKEN

    @property
    def customers(self) -> int:
        """The number of customers: one for each user, because orders of one customer conflict."""
        return max(self.users)

    @property
    def orders(self) -> int:
        """About how many orders are sent, at most: the answers are assumed to take no time."""
        return round(sum(self.users) * self._orders_of_user) + 1

    @property
    def most_of_one_customer(self) -> int:
        """About how many orders one customer sends at most. The first one takes part in each part of the test."""
        return round(len(self.users) * self._orders_of_user * _SPREAD) + 1

    @property
    def _orders_of_user(self) -> float:
        return (self.warm_up + self.seconds) / self.think
