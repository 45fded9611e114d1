"""The problem documents of exceptions: of the domain's errors, of failed AWS calls, and of all others."""

from collections.abc import Mapping

from pydantic.alias_generators import to_camel

from handoff import aws
from handoff.errors import TransactionConflict
from handoff.telemetry import logger
from problems import Problem, internal, invalid, retry_after, unavailable
from shop import errors
from shop.model import Status
from shop.payments import AUTHENTICATION_REQUIRED

_RETURNS = "POST /orders/{orderId}/return"
_REFUNDS = "POST /orders/{orderId}/refunds"
_CANCELS = "POST /orders/{orderId}/cancel"


def from_exception(error: Exception) -> Problem:
    """Return the problem for any exception. Failures on our side are logged and not shown to the client."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, errors.RequestError):
        return of(error)
    if isinstance(error, (*aws.ERRORS, TransactionConflict)):
        logger.exception("aws request failed", reason=aws.failure_reason(error), exc_info=error)
        return unavailable()
    logger.exception("unexpected error", reason=aws.failure_reason(error), exc_info=error)
    return internal()


def of(error: errors.RequestError) -> Problem:
    """Return the problem for an error of the domain. `UnknownProducts` needs field names: see `unknown_products`."""
    match error:
        case errors.NoSuchOrder():
            detail = "There is no order with this id, or it belongs to another customer."
            return Problem(404, "no-such-order", "Order not found", detail)
        case errors.KeyReused():
            detail = "This Idempotency-Key was used with a different body. Use a new key for a new request."
            return Problem(422, "key-reused", "Idempotency-Key reused", detail)
        case errors.ProfileBusy():
            detail = f"Earlier changes of your profile are still being processed. Retry in {error.retry_after} s."
            return Problem(503, "profile-busy", "Profile busy", detail, headers=retry_after(error.retry_after))
        case errors.BeingErased():
            detail = f"Your data is being erased since {error.since}. Create a new profile once that is done."
            return Problem(409, "being-erased", "Data being erased", detail, headers=retry_after(error.retry_after))
        case errors.OpenOrders():
            return _open_orders(error)
        case errors.TooManyAddresses():
            detail = (
                "Your profile has changed too often today to change or confirm its e-mail address again. "
                f"Retry in {error.retry_after} s."
            )
            headers = retry_after(error.retry_after)
            return Problem(429, "too-many-addresses", "Too many address changes", detail, headers=headers)
        case errors.TryLater():
            detail = f"{error} Retry the same request, with the same Idempotency-Key if it has one."
            headers = {**retry_after(error.retry_after), "location": f"/orders/{error.order_id}"}
            return Problem(503, "try-later", "Request not completed", detail, headers=headers, orderId=error.order_id)
        case errors.NotAllowed():
            return _not_allowed(error)
        case errors.ChangeRefused():
            return _refused(error)
        case _:
            return _not_placed(error)


def _open_orders(error: errors.OpenOrders) -> Problem:
    """409: orders are under way; the detail says what each waits for."""
    waits = "; ".join(f"{order_id} {_OPEN[reason]}" for order_id, reason in list(error.reasons.items())[:_MOST_OPEN])
    detail = f"Your data can be erased once your orders have ended: {waits}. Retry then."
    found = [{"orderId": order_id, "reason": reason} for order_id, reason in error.reasons.items()]
    return Problem(409, "open-orders", "Orders under way", detail, orders=found[:_MOST_OPEN])


_MOST_OPEN = 20  # orders that a problem names
_OPEN: Mapping[errors.OpenReason, str] = {
    "not shipped": "is packed and not shipped yet",
    "refund": "is being refunded",
    "dispute": "has a disputed payment",
}


# --- placing an order -------------------------------------------------------------------------------------------------


def _not_placed(error: errors.RequestError) -> Problem:
    match error:
        case errors.AddressRefused():
            return invalid({f"shippingAddress.{to_camel(name)}": message for name, message in error.fields.items()})
        case errors.TotalTooLarge():
            detail = (
                f"The total of {error.total} is above the maximum of {error.most} (minor units). Order less at once."
            )
            return Problem(409, "total-too-large", "Total too large", detail, total=error.total)
        case errors.OutOfStock():
            left = ", ".join(f"{sku} ({count} left)" for sku, count in error.available.items())
            detail = f"Not enough in stock: {left}. Order fewer, or retry later."
            short = [{"sku": sku, "available": count} for sku, count in error.available.items()]
            return Problem(409, "out-of-stock", "Out of stock", detail, products=short)
        case errors.TotalChanged():
            detail = (
                f"The total is {error.total} ({error.currency}, minor units). To accept it, send it as expectedTotal."
            )
            return Problem(409, "total-changed", "Total changed", detail, total=error.total)
        case errors.NoAddress():
            return Problem(409, "no-address", "No e-mail address", _NO_ADDRESS[error.problem])
        case errors.TooManyOrders():
            what = "Too many of your payments were declined" if error.declined else "You have placed too many orders"
            detail = f"{what} within an hour. Retry in {error.retry_after} s."
            headers = retry_after(error.retry_after)
            return Problem(429, "too-many-orders", "Too many orders", detail, headers=headers)
        case errors.InProgress():
            detail = f"The order is still being placed. Retry the same request in {error.retry_after} s."
            headers = retry_after(error.retry_after)
            return Problem(409, "in-progress", "Order in progress", detail, headers=headers, orderId=error.order_id)
        case errors.PaymentDeclined():
            return Problem(402, "payment-declined", "Payment declined", _declined(error), orderId=error.order_id)
        case errors.OrderExpired():
            detail = "The order was not completed in time. Order again with a new Idempotency-Key."
            return Problem(409, "order-expired", "Order expired", detail, orderId=error.order_id)
        case errors.OrderAbandoned():
            detail = "The order was cancelled before it was completed. Order again with a new Idempotency-Key."
            return Problem(409, "order-abandoned", "Order cancelled", detail, orderId=error.order_id)
        case _:
            raise error


_NO_ADDRESS: Mapping[errors.AddressProblem, str] = {
    "missing": (
        "Orders are confirmed by e-mail, and your profile has no address. "
        "Save one with PUT /me, then retry the same request."
    ),
    "bounced": (
        "Orders are confirmed by e-mail, and mail to the address in your profile bounced. "
        "Save an address that works with PUT /me, which can be the same once it works, then retry the same request."
    ),
    "complained": (
        "Orders are confirmed by e-mail, and a mail to the address in your profile was reported as spam. "
        "Save an address with PUT /me, which can be the same, then retry the same request."
    ),
    "erased": (
        "Your data was erased or is being erased, so there is no address to confirm an order to. "
        "Create a new profile with PUT /me once the erasure is done."
    ),
}


def _declined(error: errors.PaymentDeclined) -> str:
    if error.reason == AUTHENTICATION_REQUIRED:
        return (
            "The payment needs the customer's confirmation (3-D Secure). Send customerAction: true and handle a 202, "
            "or use another payment method, with a new Idempotency-Key."
        )
    if not error.reason.startswith("amount_"):
        return "The payment was declined. Use another payment method and a new Idempotency-Key."
    change = {"amount_too_small": "Order more", "amount_too_large": "Order less"}.get(error.reason, "Change the order")
    return f"The payment provider does not accept this total. {change}, with a new Idempotency-Key."


# --- changing an order ------------------------------------------------------------------------------------------------


def _not_allowed(error: errors.NotAllowed) -> Problem:
    """409: the order's status does not allow the change; the detail says what it allows."""
    order_id, detail = error.order_id, f"The order is {error.status}{_advice(error)}"
    match error:
        case errors.NotCancellable():
            return Problem(409, "not-cancellable", "Order cannot be cancelled", detail, orderId=order_id)
        case errors.NotPackable():
            return Problem(409, "not-packable", "Order cannot be packed", detail, orderId=order_id)
        case errors.NotCaptured():
            return Problem(409, "not-captured", "Payment not captured", detail, orderId=order_id)
        case errors.AlreadyRestocked():
            return Problem(409, "already-restocked", "Products already restocked", detail, orderId=order_id)
        case errors.NotReleased():
            return Problem(409, "not-released", "Order not shipped", detail, orderId=order_id)
        case _:
            raise error


def _advice(error: errors.NotAllowed) -> str:
    """Return what the order's status allows, as the rest of a sentence and further ones."""
    advice = _ADVICE[type(error)]
    return advice.get(Status(error.status), advice[None])


_ADVICE: Mapping[type[errors.NotAllowed], Mapping[Status | None, str]] = {
    errors.NotCancellable: {
        Status.PREPARED: (
            " and can no longer be cancelled. "
            f"Once it is shipped, its customer can return it ({_RETURNS}) and the shop can refund it ({_REFUNDS})."
        ),
        None: ". There is nothing left to cancel.",
    },
    errors.NotPackable: {None: ". Only a PLACED order can be packed."},
    errors.NotCaptured: {
        Status.PLACED: f" and its payment is not captured. It can be cancelled: {_CANCELS}.",
        Status.PREPARED: " and its payment is not captured. It can be refunded once the payment is captured.",
        None: " and its payment is not captured. There is nothing to refund.",
    },
    errors.AlreadyRestocked: {
        None: ". It was never shipped, so its products are in stock already. Refund it without restock."
    },
    errors.NotReleased: {
        Status.PLACED: f" and was not shipped. It can be cancelled: {_CANCELS}.",
        Status.PREPARED: " and not shipped yet. It can be returned once it is shipped.",
        None: " and was not shipped. There is nothing to return.",
    },
}


def _refused(error: errors.ChangeRefused) -> Problem:
    """409: the change is not possible in this way or at this time; the detail names the limit."""
    order_id = error.order_id
    match error:
        case errors.CancelWindowOpen():
            detail = f"Its customer can still cancel the order. It can be packed in {error.retry_after} s."
            headers = retry_after(error.retry_after)
            return Problem(409, "cancel-window-open", "Cancel window open", detail, headers=headers, orderId=order_id)
        case errors.RefundTooLarge():
            left = error.refundable
            detail = f"At most {left} ({error.currency}, minor units) can be refunded."
            if not left:
                detail = "Nothing is left to refund: refunds of the whole captured amount are recorded."
            return Problem(409, "refund-too-large", "Refund too large", detail, orderId=order_id, refundable=left)
        case errors.TooManyUnits():
            left_by_sku = ", ".join(f"{sku} ({quantity} left)" for sku, quantity in error.left.items())
            detail = f"The order has fewer units of these products that no refund is for: {left_by_sku}."
            units = [{"sku": sku, "left": quantity} for sku, quantity in error.left.items()]
            return Problem(409, "too-many-units", "More units than are left", detail, orderId=order_id, units=units)
        case errors.TooManyRefunds():
            detail = f"The order has {error.limit} refunds, which is the maximum."
            return Problem(409, "too-many-refunds", "Too many refunds", detail, orderId=order_id)
        case errors.AlreadyReturned():
            at = error.requested_at
            detail = f"A return of this order was recorded at {at}. The shop refunds it when the products are back."
            return Problem(409, "already-returned", "Return recorded already", detail, orderId=order_id, requestedAt=at)
        case errors.ReturnTooLate():
            detail = f"A return of this order could be requested until {error.until}. Ask the shop for a refund."
            return Problem(409, "return-too-late", "Return too late", detail, orderId=order_id, until=error.until)
        case _:
            raise error
