"""Problem documents."""

import inspect
import json
import re

import pytest

import problems
from shop import errors

OUTCOMES = [
    (errors.NoSuchOrder(), 404, {}, "You have no order with this id."),
    (
        errors.OutOfStock({"MUG-01": 1}),
        409,
        {"products": [{"sku": "MUG-01", "available": 1}]},
        "Not enough in stock: MUG-01 (1 left). Order fewer, or retry later.",
    ),
    (
        errors.TotalChanged(1250, "EUR"),
        409,
        {"total": 1250},
        "The total is 1250 (EUR, minor units). To accept it, send it as expectedTotal.",
    ),
    (
        errors.KeyReused(),
        422,
        {},
        "This Idempotency-Key was used with a different body. Use a new key for a new order.",
    ),
    (
        errors.InProgress("ord_x", 7),
        409,
        {"orderId": "ord_x"},
        "The order is still being placed. Retry the same request in 7 s.",
    ),
    (
        errors.InProgress("ord_x", 90, abandoned=True),
        409,
        {"orderId": "ord_x"},
        (
            "The order was not completed and expires within 90 s. "
            "To complete it, repeat POST /orders with its Idempotency-Key."
        ),
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
        "The order is PREPARED and can no longer be cancelled.",
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
        "Your profile has changed too often today to change its e-mail address again. Retry in 3600 s.",
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
    answer = problems.answer(problems.of(error))

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
    assert advice in problems.of(errors.PaymentDeclined("ord_x", reason)).document["detail"]


def test_the_cases_above_cover_every_domain_error():
    (base,) = [error for error in vars(errors).values() if inspect.isclass(error) and error.__base__ is Exception]
    named = {error for error in vars(errors).values() if inspect.isclass(error) and issubclass(error, base)}

    # Products that are not on sale are reported by field, by the operation itself.
    assert named == {type(case[0]) for case in OUTCOMES} | {base, errors.UnknownProducts}


def test_every_domain_error_has_a_type_of_its_own():
    types = {type(error): problems.of(error).document["type"] for error, *_ in OUTCOMES}

    assert len(set(types.values())) == len(types)


@pytest.mark.parametrize(
    ("problem", "headers"),
    [
        (problems.of(errors.InProgress("ord_x", 7)), {"retry-after": "7"}),
        (problems.of(errors.TryLater("ord_x", "Reason.")), {"retry-after": "2", "location": "/orders/ord_x"}),
        (problems.of(errors.ProfileBusy()), {"retry-after": "30"}),
        (problems.of(errors.TooManyAddresses(3600)), {"retry-after": "3600"}),
        (problems.unavailable(), {"retry-after": "5"}),
    ],
)
def test_a_temporary_problem_has_a_retry_after_header(problem, headers):
    assert problems.answer(problem)["headers"].items() >= headers.items()


def test_an_error_without_a_problem_document_is_raised():
    with pytest.raises(errors.UnknownProducts):
        problems.of(errors.UnknownProducts(["NO-SUCH"]))


def test_an_invalid_request_lists_every_field():
    document = problems.invalid({"one": "wrong", "two": "missing"}).document

    assert document["errors"] == [{"field": "one", "message": "wrong"}, {"field": "two", "message": "missing"}]
    assert document["detail"] == "one: wrong; two: missing"


@pytest.mark.parametrize("problem", [problems.no_route("/" + "x" * 10_000), problems.not_json("x" * 10_000)])
def test_quoted_input_is_truncated(problem):
    assert len(problem.document["detail"]) < 400


def test_an_internal_error_shows_no_details():
    assert problems.internal().document.keys() == {"type", "title", "status", "detail"}
