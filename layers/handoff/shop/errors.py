"""Errors that a request about an order or a profile can end with, and a map of all other exceptions.

The exceptions that a caller of the core or of the shop can meet, and the module that defines each:

    Exception
    ├── RequestError             here                     the request cannot be met
    │   ├── NoSuchOrder
    │   ├── UnknownProducts
    │   ├── OutOfStock
    │   ├── TotalChanged
    │   ├── KeyReused
    │   ├── InProgress
    │   ├── PaymentDeclined
    │   ├── OrderExpired
    │   ├── NotCancellable
    │   ├── ProfileBusy
    │   ├── TooManyAddresses
    │   └── TryLater
    ├── DuplicateRequest         shop.placing             the idempotency key has an outcome already
    ├── NotPossible              shop.transitions         the order's status does not allow the transition
    ├── OrderExists              shop.order_store         reserving: the order is stored already
    ├── ReservationFailed        shop.order_store         reserving: the stock, price or listing does not hold
    ├── Busy                     shop.sales_generations   another rebuild of the sales is running
    ├── TakenOver                shop.sales_generations   another rebuild has continued or finished this one
    ├── ConcurrentUpdate         handoff.errors           the order or customer has changed since it was read
    ├── PermanentError           handoff.errors           no retry can help: consumers dead-letter the message
    ├── TransientError           handoff.errors           a later try may succeed
    │   ├── NotYet               handoff.errors           the subject of the event is missing or outdated
    │   ├── TransactionConflict  handoff.errors           a transaction kept conflicting, or its time ran out
    │   └── ProviderError        shop.payments            the payment provider gave no definite answer
    │       ├── Unavailable      shop.payments            nothing was done
    │       │   └── NothingHeld  shop.payments            the provider rejects the request itself; nothing is held
    │       └── Unknown          shop.payments            it may have been done: ask again with the same key
    ├── ConditionFailed          handoff.aws              a conditional write did not happen
    └── MissingSetting           handoff.settings         an environment variable is missing or not usable

Calls to AWS also raise botocore's ClientError and BotoCoreError (`handoff.aws.ERRORS`).
"""


class RequestError(Exception):
    """A request that cannot be met; its subclasses say why."""


class NoSuchOrder(RequestError):
    """The order does not exist or belongs to another user. Callers must not be able to tell which."""

    def __init__(self) -> None:
        super().__init__("no such order")


class UnknownProducts(RequestError):
    """Some of the products are not on sale."""

    def __init__(self, skus: list[str]) -> None:
        super().__init__(f"not on sale: {', '.join(skus)}")
        self.skus = skus


class OutOfStock(RequestError):
    """Too few items are available. Nothing was reserved, and the idempotency key can be used again.

    ``available`` is the number of items left, by sku.
    """

    def __init__(self, available: dict[str, int]) -> None:
        super().__init__(f"out of stock: {', '.join(available)}")
        self.available = available


class TotalChanged(RequestError):
    """The total is not the expected one. ``total`` in minor units."""

    def __init__(self, total: int, currency: str) -> None:
        super().__init__(f"the total is {total} {currency}")
        self.total = total
        self.currency = currency


class KeyReused(RequestError):
    """The idempotency key belongs to a different request."""

    def __init__(self) -> None:
        super().__init__("idempotency key reused")


class InProgress(RequestError):
    """An earlier request has started to place the order and may still be running.

    If it was ``abandoned``, no request is running, and the order expires within ``retry_after`` seconds unless it is
    resumed. Otherwise the running request ends within ``retry_after`` seconds.
    """

    def __init__(self, order_id: str, retry_after: int, *, abandoned: bool = False) -> None:
        super().__init__(f"order {order_id} is in progress")
        self.order_id = order_id
        self.retry_after = retry_after
        self.abandoned = abandoned


class PaymentDeclined(RequestError):
    """The payment provider has declined for good, and the stock was returned.

    ``reason`` is the provider's. It starts with ``amount_`` if the provider does not accept the total.
    """

    def __init__(self, order_id: str, reason: str) -> None:
        super().__init__(f"payment of order {order_id} declined: {reason}")
        self.order_id = order_id
        self.reason = reason


class OrderExpired(RequestError):
    """The order was not completed in time. Its stock was returned, and its payment hold is voided."""

    def __init__(self, order_id: str) -> None:
        super().__init__(f"order {order_id} has expired")
        self.order_id = order_id


class NotCancellable(RequestError):
    """The order's status no longer allows cancelling it."""

    def __init__(self, order_id: str, status: str) -> None:
        super().__init__(f"order {order_id} is {status}")
        self.order_id = order_id
        self.status = status


class ProfileBusy(RequestError):
    """The profile is being changed by another request, or too many of its events wait to be published."""

    retry_after = 30  # seconds

    def __init__(self) -> None:
        super().__init__("the profile has unfinished changes")


class TooManyAddresses(RequestError):
    """The profile has changed too often within a day to get another address; ``retry_after`` in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("too many changes of the e-mail address")
        self.retry_after = retry_after


class TryLater(RequestError):
    """The request could not be completed now. The same request with the same key resumes where this one stopped."""

    retry_after = 2  # seconds

    def __init__(self, order_id: str, reason: str) -> None:
        super().__init__(reason)
        self.order_id = order_id
