"""Problem documents."""

import inspect
import json
import re

import pytest

import error_problems
import problems
from shop import errors
from shop.model import Status

OUTCOMES = [
    (errors.NoSuchOrder(), 404, {}, "There is no order with this id, or it belongs to another customer."),
    (
        errors.OutOfStock({"MUG-01": 1}),
        409,
        {"products": [{"sku": "MUG-01", "available": 1}]},
        "Not enough in stock: MUG-01 (1 left). Order fewer, or retry later.",
    ),
    (
        errors.NoAddress("missing"),
        409,
        {},
        (
            "Orders are confirmed by e-mail, and your profile has no address. "
            "Save one with PUT /me, then retry the same request."
        ),
    ),
    (
        errors.TotalChanged(1250, "EUR"),
        409,
        {"total": 1250},
        "The total is 1250 (EUR, minor units). To accept it, send it as expectedTotal.",
    ),
    (
        errors.BeingErased("2026-11-23T10:00:00.000Z"),
        409,
        {},
        "Your data is being erased since 2026-11-23T10:00:00.000Z. Create a new profile once that is done.",
    ),
    (
        errors.OpenOrders({"ord_x": "refund"}),
        409,
        {"orders": [{"orderId": "ord_x", "reason": "refund"}]},
        "Your data can be erased once your orders have ended: ord_x is being refunded. Retry then.",
    ),
    (
        errors.AddressRefused({"country": "UK is not a country.", "postal_code": "Missing."}),
        400,
        {
            "errors": [
                {"field": "shippingAddress.country", "message": "UK is not a country."},
                {"field": "shippingAddress.postalCode", "message": "Missing."},
            ]
        },
        "shippingAddress.country: UK is not a country.; shippingAddress.postalCode: Missing.",
    ),
    (
        errors.TotalTooLarge(10**12 + 1, 10**12),
        409,
        {"total": 10**12 + 1},
        "The total of 1000000000001 is above the maximum of 1000000000000 (minor units). Order less at once.",
    ),
    (
        errors.NoAddress("bounced"),
        409,
        {},
        (
            "Orders are confirmed by e-mail, and mail to the address in your profile bounced. "
            "Save an address that works with PUT /me, which can be the same once it works, then retry the same request."
        ),
    ),
    (
        errors.KeyReused(),
        422,
        {},
        "This Idempotency-Key was used with a different body. Use a new key for a new request.",
    ),
    (
        errors.TooManyOrders(1800, declined=False),
        429,
        {},
        "You have placed too many orders within an hour. Retry in 1800 s.",
    ),
    (
        errors.TooManyOrders(1800, declined=True),
        429,
        {},
        "Too many of your payments were declined within an hour. Retry in 1800 s.",
    ),
    (
        errors.InProgress("ord_x", 7),
        409,
        {"orderId": "ord_x"},
        "The order is still being placed. Retry the same request in 7 s.",
    ),
    (
        errors.PaymentDeclined("ord_x", "card_declined"),
        402,
        {"orderId": "ord_x"},
        "The payment was declined. Use another payment method and a new Idempotency-Key.",
    ),
    (
        errors.OrderExpired("ord_x"),
        409,
        {"orderId": "ord_x"},
        "The order was not completed in time. Order again with a new Idempotency-Key.",
    ),
    (
        errors.NotCancellable("ord_x", "PREPARED"),
        409,
        {"orderId": "ord_x"},
        (
            "The order is PREPARED and can no longer be cancelled. Once it is shipped, its customer can return it "
            "(POST /orders/{orderId}/return) and the shop can refund it (POST /orders/{orderId}/refunds)."
        ),
    ),
    (
        errors.OrderAbandoned("ord_x"),
        409,
        {"orderId": "ord_x"},
        "The order was cancelled before it was completed. Order again with a new Idempotency-Key.",
    ),
    (
        errors.NotPackable("ord_x", "CANCELLED"),
        409,
        {"orderId": "ord_x"},
        "The order is CANCELLED. Only a PLACED order can be packed.",
    ),
    (
        errors.CancelWindowOpen("ord_x", 90),
        409,
        {"orderId": "ord_x"},
        "Its customer can still cancel the order. It can be packed in 90 s.",
    ),
    (
        errors.NotCaptured("ord_x", "PLACED"),
        409,
        {"orderId": "ord_x"},
        ("The order is PLACED and its payment is not captured. It can be cancelled: POST /orders/{orderId}/cancel."),
    ),
    (
        errors.AlreadyRestocked("ord_x", "CANCELLED"),
        409,
        {"orderId": "ord_x"},
        (
            "The order is CANCELLED. It was never shipped, so its products are in stock already. "
            "Refund it without restock."
        ),
    ),
    (
        errors.RefundTooLarge("ord_x", 500, "EUR"),
        409,
        {"orderId": "ord_x", "refundable": 500},
        "At most 500 (EUR, minor units) can be refunded.",
    ),
    (
        errors.TooManyUnits("ord_x", {"MUG-01": 1}),
        409,
        {"orderId": "ord_x", "units": [{"sku": "MUG-01", "left": 1}]},
        "The order has fewer units of these products that no refund is for: MUG-01 (1 left).",
    ),
    (
        errors.TooManyRefunds("ord_x", 50),
        409,
        {"orderId": "ord_x"},
        "The order has 50 refunds, which is the maximum.",
    ),
    (
        errors.NotReleased("ord_x", "PLACED"),
        409,
        {"orderId": "ord_x"},
        "The order is PLACED and was not shipped. It can be cancelled: POST /orders/{orderId}/cancel.",
    ),
    (
        errors.AlreadyReturned("ord_x", "2026-11-23T10:00:00.000Z"),
        409,
        {"orderId": "ord_x"},
        (
            "A return of this order was recorded at 2026-11-23T10:00:00.000Z. "
            "The shop refunds it when the products are back."
        ),
    ),
    (
        errors.ReturnTooLate("ord_x", "2026-11-23T10:00:00.000Z"),
        409,
        {"orderId": "ord_x"},
        "A return of this order could be requested until 2026-11-23T10:00:00.000Z. Ask the shop for a refund.",
    ),
    (
        errors.BeingErased("2026-11-23T10:00:00.000Z"),
        409,
        {},
        "Your data is being erased since 2026-11-23T10:00:00.000Z. Create a new profile once that is done.",
    ),
    (
        errors.OpenOrders({"ord_x": "not shipped", "ord_y": "dispute"}),
        409,
        {"orders": [{"orderId": "ord_x", "reason": "not shipped"}, {"orderId": "ord_y", "reason": "dispute"}]},
        (
            "Your data can be erased once your orders have ended: ord_x is packed and not shipped yet; "
            "ord_y has a disputed payment. Retry then."
        ),
    ),
    (
        errors.ProfileBusy(),
        503,
        {},
        "Earlier changes of your profile are still being processed. Retry in 30 s.",
    ),
    (
        errors.TooManyAddresses(3600),
        429,
        {},
        "Your profile has changed too often today to change or confirm its e-mail address again. Retry in 3600 s.",
    ),
    (
        errors.TryLater("ord_x", "Reason."),
        503,
        {"orderId": "ord_x"},
        "Reason. Retry the same request, with the same Idempotency-Key if it has one.",
    ),
]
_HTTP = re.compile(r"\b(GET|PUT|POST)\b|header|Idempotency-Key|Retry-After|expectedTotal|\bbody\b|status code")


@pytest.mark.parametrize(
    ("error", "status", "members", "detail"), OUTCOMES, ids=[type(case[0]).__name__ for case in OUTCOMES]
)
def test_every_domain_error_has_a_problem_document(error, status, members, detail):
    answer = problems.answer(error_problems.of(error))

    assert answer["statusCode"] == status
    assert answer["headers"]["content-type"] == "application/problem+json"
    document = json.loads(answer["body"])
    assert document["type"].startswith("urn:handoff:problem:")
    assert document["title"]
    assert document.items() >= {"status": status, "detail": detail, **members}.items()


def test_domain_errors_do_not_mention_http():
    texts = [str(error) for error, *_ in OUTCOMES] + [str(errors.UnknownProducts(["NO-SUCH"]))]

    assert not _HTTP.findall(inspect.getsource(errors))
    assert not [text for text in texts if _HTTP.search(text)]


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("card_declined", "Use another payment method and"),
        ("", "Use another payment method and"),
        ("amount_too_small", "Order more,"),
        ("amount_too_large", "Order less,"),
        ("amount_invalid", "Change the order,"),
    ],
)
def test_the_advice_after_a_decline_depends_on_its_reason(reason, advice):
    assert advice in error_problems.of(errors.PaymentDeclined("ord_x", reason)).document["detail"]


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("error", errors.NotAllowed.__subclasses__())
def test_a_change_that_the_status_does_not_allow_names_the_status(error, status):
    document = error_problems.of(error("ord_x", status.value)).document

    assert document["detail"].startswith(f"The order is {status}")
    assert document["detail"].endswith(".")


@pytest.mark.parametrize(
    ("error", "status", "advice"),
    [
        (errors.NotCancellable, "PREPARED", "the shop can refund it (POST /orders/{orderId}/refunds)"),
        (errors.NotCancellable, "REJECTED", "There is nothing left to cancel."),
        (errors.NotPackable, "CANCELLED", "Only a PLACED order can be packed."),
        (errors.NotCaptured, "PLACED", "It can be cancelled: POST /orders/{orderId}/cancel."),
        (errors.NotCaptured, "PREPARED", "It can be refunded once the payment is captured."),
        (errors.NotCaptured, "CANCELLED", "There is nothing to refund."),
        (errors.NotReleased, "PLACED", "It can be cancelled: POST /orders/{orderId}/cancel."),
        (errors.NotReleased, "PREPARED", "It can be returned once it is shipped."),
        (errors.NotReleased, "CANCELLED", "There is nothing to return."),
    ],
)
def test_a_change_that_the_status_does_not_allow_says_what_is_possible(error, status, advice):
    assert advice in error_problems.of(error("ord_x", status)).document["detail"]


def test_a_refund_of_nothing_left_says_so():
    document = error_problems.of(errors.RefundTooLarge("ord_x", 0, "EUR")).document

    assert document["refundable"] == 0
    assert document["detail"] == "Nothing is left to refund: refunds of the whole captured amount are recorded."


def test_the_cases_above_cover_every_domain_error():
    named = {error for error in vars(errors).values() if inspect.isclass(error) and issubclass(error, Exception)}
    raised = {error for error in named if not error.__subclasses__()}

    # Products that are not on sale are reported by field, by the operation itself.
    assert raised == {type(case[0]) for case in OUTCOMES} | {errors.UnknownProducts}


def test_every_domain_error_has_a_type_of_its_own():
    types = {type(error): error_problems.of(error).document["type"] for error, *_ in OUTCOMES}

    assert len(set(types.values())) == len(types)


@pytest.mark.parametrize(
    ("problem", "headers"),
    [
        (error_problems.of(errors.InProgress("ord_x", 7)), {"retry-after": "7"}),
        (error_problems.of(errors.TryLater("ord_x", "Reason.")), {"retry-after": "2", "location": "/orders/ord_x"}),
        (error_problems.of(errors.CancelWindowOpen("ord_x", 90)), {"retry-after": "90"}),
        (error_problems.of(errors.ProfileBusy()), {"retry-after": "30"}),
        (error_problems.of(errors.BeingErased("2026-11-23T10:00:00.000Z")), {"retry-after": "600"}),
        (error_problems.of(errors.TooManyAddresses(3600)), {"retry-after": "3600"}),
        (problems.unavailable(), {"retry-after": "5"}),
    ],
)
def test_a_temporary_problem_has_a_retry_after_header(problem, headers):
    assert problems.answer(problem)["headers"].items() >= headers.items()


def test_an_error_without_a_problem_document_is_raised():
    with pytest.raises(errors.UnknownProducts):
        error_problems.of(errors.UnknownProducts(["NO-SUCH"]))


def test_an_invalid_request_lists_every_field():
    document = problems.invalid({"one": "wrong", "two": "missing"}).document

    assert document["errors"] == [{"field": "one", "message": "wrong"}, {"field": "two", "message": "missing"}]
    assert document["detail"] == "one: wrong; two: missing"


@pytest.mark.parametrize("problem", [problems.no_route("/" + "x" * 10_000), problems.not_json("x" * 10_000)])
def test_quoted_input_is_truncated(problem):
    assert len(problem.document["detail"]) < 400


def test_an_internal_error_shows_no_details():
    assert problems.internal().document.keys() == {"type", "title", "status", "detail"}
