"""How a request about an order can end other than well. Each says what was wrong and what to do."""


class RequestError(Exception):
    """A request that can't be met; the text is for the client."""


class NoSuchOrder(RequestError):
    """There is no such order, or it is somebody else's: the two are not told apart."""

    def __init__(self) -> None:
        super().__init__("You have no order with this id.")


class UnknownProducts(RequestError):
    """Some products are not on sale."""

    def __init__(self, skus: list[str]) -> None:
        super().__init__(f"Not on sale: {', '.join(skus)}. GET /catalog lists what is.")
        self.skus = skus


class OutOfStock(RequestError):
    """Some products are not available in the quantity wanted. Nothing was reserved, and the key stays free."""

    def __init__(self, available: dict[str, int]) -> None:
        left = ", ".join(f"{sku} ({count} left)" for sku, count in available.items())
        super().__init__(f"Not enough in stock: {left}. Order less, or try again later.")
        self.available = available


class TotalChanged(RequestError):
    """The total is not the one that the client expected."""

    def __init__(self, total: int, currency: str) -> None:
        super().__init__(f"The total is now {total} (minor units of {currency}). Order again with this expectedTotal.")
        self.total = total


class KeyReused(RequestError):
    """The key belongs to another request."""

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used with another body. Use a new key for a new order.")


class InProgress(RequestError):
    """An earlier request has begun to place the order; ``retry_after`` in seconds.

    It is still at it, or it has ``abandoned`` the order, which is given up within that time.
    """

    def __init__(self, order_id: str, retry_after: int, *, abandoned: bool = False) -> None:
        super().__init__(
            f"Nobody is placing the order now. It is given up within {retry_after} s, "
            "unless POST /orders with its Idempotency-Key goes on with it."
            if abandoned
            else f"The order is still being placed. Send the same request again in {retry_after} s."
        )
        self.order_id = order_id
        self.retry_after = retry_after


class PaymentDeclined(RequestError):
    """The provider said no, for good. The stock was given back.

    ``reason`` is the provider's; it begins with ``amount_`` if it is the total that is not taken.
    """

    def __init__(self, order_id: str, reason: str) -> None:
        instead = {"amount_too_small": "more", "amount_too_large": "less"}.get(reason, "more or less")
        super().__init__(
            f"The payment provider does not take this total. Order {instead}, with a new Idempotency-Key."
            if reason.startswith("amount_")
            else "The payment was declined. Use another payment method, and a new Idempotency-Key."
        )
        self.order_id = order_id


class OrderExpired(RequestError):
    """The order was not finished in time. The stock was given back, and a hold is voided."""

    def __init__(self, order_id: str) -> None:
        super().__init__("This order was not finished in time and has expired. Order again with a new Idempotency-Key.")
        self.order_id = order_id


class TryLater(RequestError):
    """It could not be finished now. The same request (and key, if it has one) goes on where this one stopped."""

    retry_after = 2

    def __init__(
        self, order_id: str, reason: str, advice: str = "Send the same request with the same Idempotency-Key again."
    ) -> None:
        super().__init__(f"{reason} {advice}")
        self.order_id = order_id


class ProfileBusy(RequestError):
    """The profile is being changed elsewhere, or earlier changes of it have not been announced yet."""

    retry_after = 30

    def __init__(self) -> None:
        super().__init__("Earlier changes of your profile are still being announced. Try again in half a minute.")


class TooManyAddresses(RequestError):
    """The profile has changed too often within a day to get another address; ``retry_after`` in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            f"Your profile has changed too often today for another e-mail address. Try again in {retry_after} s."
        )
        self.retry_after = retry_after


class NotCancellable(RequestError):
    """The order is past the point where it can be cancelled."""

    def __init__(self, order_id: str, status: str) -> None:
        super().__init__(f"The order is {status} and can't be cancelled any more.")
        self.order_id = order_id
