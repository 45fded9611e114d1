"""Errors that a request about an order or a profile can end with, and a map of all other exceptions.

The exceptions that a caller of the core or of the shop can meet, and the module that defines each:

    Exception
    ├── RequestError             here                     the request cannot be met
    │   ├── NoSuchOrder
    │   ├── UnknownProducts
    │   ├── AddressRefused
    │   ├── OutOfStock
    │   ├── TotalTooLarge
    │   ├── TotalChanged
    │   ├── KeyReused
    │   ├── InProgress
    │   ├── NoAddress
    │   ├── TooManyOrders
    │   ├── PaymentDeclined
    │   ├── OrderExpired
    │   ├── OrderAbandoned
    │   ├── ChangeRefused                             the order cannot be changed as requested
    │   │   ├── NotAllowed                            its status does not allow the change
    │   │   │   ├── NotCancellable
    │   │   │   ├── NotPackable
    │   │   │   ├── NotCaptured
    │   │   │   ├── AlreadyRestocked
    │   │   │   └── NotReleased
    │   │   ├── CancelWindowOpen
    │   │   ├── RefundTooLarge
    │   │   ├── TooManyUnits
    │   │   ├── TooManyRefunds
    │   │   ├── AlreadyReturned
    │   │   └── ReturnTooLate
    │   ├── OpenOrders                                orders keep a customer's data from being erased
    │   ├── BeingErased
    │   ├── ProfileBusy
    │   ├── TooManyAddresses
    │   └── TryLater
    ├── DuplicateRequest         shop.placing             the idempotency key has an outcome already
    ├── ActionNeeded             shop.placing             the customer has to act at the payment provider first
    ├── NotPossible              shop.transitions         the order's status does not allow the transition
    ├── OrderExists              shop.order_store         reserving: the order is stored already
    ├── CustomerUnreachable      shop.order_store         reserving: there is no address to write to
    ├── LimitReached             shop.limits              reserving: the user has done too much in this hour
    ├── ReservationFailed        shop.order_store         reserving: the stock, price or listing does not hold
    ├── Busy                     shop.sales_generations   another rebuild of the sales is running
    ├── TakenOver                shop.sales_generations   another rebuild has continued or finished this one
    ├── ConcurrentUpdate         handoff.errors           the order or customer has changed since it was read
    ├── PermanentError           handoff.errors           no retry can help: consumers dead-letter the message
    ├── TransientError           handoff.errors           a later try may succeed
    │   ├── NotYet               handoff.errors           the subject of the event is missing or outdated
    │   ├── RetryLater           handoff.errors           another system asks for a pause
    │   ├── NotErasable          shop.erasing             orders of the customer cannot be read
    │   ├── TransactionConflict  handoff.errors           a transaction kept conflicting, or its time ran out
    │   └── ProviderError        shop.payments            the payment provider gave no definite answer
    │       ├── Unavailable      shop.payments            nothing was done
    │       │   └── NothingHeld  shop.payments            the provider rejects the request itself; nothing is held
    │       └── Unknown          shop.payments            it may have been done: ask again with the same key
    ├── Refused                  shop.payments.stripe_events  not a current event that Stripe has signed
    ├── BatchFailed              handoff.consumer         all messages of a batch failed
    ├── ConditionFailed          handoff.aws              a conditional write did not happen
    └── MissingSetting           handoff.settings         an environment variable is missing or not usable

Calls to AWS also raise botocore's ClientError and BotoCoreError (`handoff.aws.ERRORS`).
"""

from collections.abc import Mapping
from typing import Literal

AddressProblem = Literal["missing", "bounced", "complained", "erased"]
OpenReason = Literal["not shipped", "refund", "dispute"]  # why an order keeps its customer's data from being erased


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


class AddressRefused(RequestError):
    """Nothing can be shipped to the address; ``fields`` says why, by the names of the model."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(f"shipping address: {', '.join(fields)}")
        self.fields = fields


class OutOfStock(RequestError):
    """Too few items are available. Nothing was reserved, and the idempotency key can be used again.

    ``available`` is the number of items left, by sku.
    """

    def __init__(self, available: dict[str, int]) -> None:
        super().__init__(f"out of stock: {', '.join(available)}")
        self.available = available


class TotalTooLarge(RequestError):
    """The total is above the maximum of an order; both in minor units."""

    def __init__(self, total: int, most: int) -> None:
        super().__init__(f"the total of {total} is above {most}")
        self.total = total
        self.most = most


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
    """An earlier request has started to place the order and ends within ``retry_after`` seconds."""

    def __init__(self, order_id: str, retry_after: int) -> None:
        super().__init__(f"order {order_id} is in progress")
        self.order_id = order_id
        self.retry_after = retry_after


class NoAddress(RequestError):
    """There is no e-mail address that the confirmation could go to. Nothing was reserved; the key can be used again."""

    def __init__(self, problem: AddressProblem) -> None:
        super().__init__(f"the customer's address: {problem}")
        self.problem = problem


class TooManyOrders(RequestError):
    """The user has placed too many orders within an hour, or had too many declined; ``retry_after`` in seconds."""

    def __init__(self, retry_after: int, *, declined: bool) -> None:
        super().__init__("too many declined payments" if declined else "too many orders")
        self.retry_after = retry_after
        self.declined = declined


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


class OrderAbandoned(RequestError):
    """The order was cancelled before it was completed. Its stock was returned, and its payment hold is voided."""

    def __init__(self, order_id: str) -> None:
        super().__init__(f"order {order_id} was cancelled before it was completed")
        self.order_id = order_id


class ChangeRefused(RequestError):
    """An existing order cannot be changed as requested; its subclasses say why."""

    def __init__(self, order_id: str, why: str) -> None:
        super().__init__(f"order {order_id} {why}")
        self.order_id = order_id


class NotAllowed(ChangeRefused):
    """The order's status does not allow the change; its subclasses say which change."""

    def __init__(self, order_id: str, status: str) -> None:
        super().__init__(order_id, f"is {status}")
        self.status = status


class NotCancellable(NotAllowed):
    """The order can no longer be cancelled."""


class NotPackable(NotAllowed):
    """The order cannot be packed."""


class NotCaptured(NotAllowed):
    """The order's payment is not captured, so there is nothing to refund."""


class AlreadyRestocked(NotAllowed):
    """The order ended before it was shipped, so its products are in stock already."""


class NotReleased(NotAllowed):
    """The order's shipment is not released, so there is nothing to return."""


class CancelWindowOpen(ChangeRefused):
    """The order must not be packed for ``retry_after`` more seconds: its customer may still cancel it."""

    def __init__(self, order_id: str, retry_after: int) -> None:
        super().__init__(order_id, "can still be cancelled")
        self.retry_after = retry_after


class RefundTooLarge(ChangeRefused):
    """The refund is above the rest of the captured amount: ``refundable``, in minor units."""

    def __init__(self, order_id: str, refundable: int, currency: str) -> None:
        super().__init__(order_id, f"has {refundable} {currency} left to refund")
        self.refundable = refundable
        self.currency = currency


class TooManyUnits(ChangeRefused):
    """The order has fewer units of some products that were not refunded; ``left`` is their number by sku."""

    def __init__(self, order_id: str, left: dict[str, int]) -> None:
        super().__init__(order_id, f"has fewer units of {', '.join(left)}")
        self.left = left


class TooManyRefunds(ChangeRefused):
    """The order has ``limit`` refunds already."""

    def __init__(self, order_id: str, limit: int) -> None:
        super().__init__(order_id, f"has {limit} refunds")
        self.limit = limit


class AlreadyReturned(ChangeRefused):
    """A return of the order was requested before, at ``requested_at``."""

    def __init__(self, order_id: str, requested_at: str) -> None:
        super().__init__(order_id, f"has a return requested at {requested_at}")
        self.requested_at = requested_at


class ReturnTooLate(ChangeRefused):
    """A return of the order could be requested until ``until``."""

    def __init__(self, order_id: str, until: str) -> None:
        super().__init__(order_id, f"could be returned until {until}")
        self.until = until


class OpenOrders(RequestError):
    """The customer's data cannot be erased yet; ``reasons`` says why, by order id."""

    def __init__(self, reasons: Mapping[str, OpenReason]) -> None:
        super().__init__(f"open orders: {', '.join(reasons)}")
        self.reasons = reasons


class BeingErased(RequestError):
    """The customer's data is being erased, since the time ``since``."""

    retry_after = 600  # seconds

    def __init__(self, since: str) -> None:
        super().__init__(f"the customer's data is being erased since {since}")
        self.since = since


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
