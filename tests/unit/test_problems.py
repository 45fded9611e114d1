"""Problem documents."""

import inspect
import json

import pytest

import problems
from shop import errors

OUTCOMES = [
    (errors.NoSuchOrder(), 404, {}),
    (errors.OutOfStock({"MUG-01": 1}), 409, {"products": [{"sku": "MUG-01", "available": 1}]}),
    (errors.TotalChanged(1250, "EUR"), 409, {"total": 1250}),
    (errors.KeyReused(), 422, {}),
    (errors.InProgress("ord_x", 7), 409, {"orderId": "ord_x"}),
    (errors.PaymentDeclined("ord_x", "card_declined"), 402, {"orderId": "ord_x"}),
    (errors.OrderExpired("ord_x"), 409, {"orderId": "ord_x"}),
    (errors.NotCancellable("ord_x", "PREPARED"), 409, {"orderId": "ord_x"}),
    (errors.ProfileBusy(), 503, {}),
    (errors.TooManyAddresses(3600), 429, {}),
    (errors.TryLater("ord_x", "Reason."), 503, {"orderId": "ord_x"}),
]


@pytest.mark.parametrize(("error", "status", "members"), OUTCOMES, ids=[type(case[0]).__name__ for case in OUTCOMES])
def test_every_outcome_is_a_problem_document(error, status, members):
    answer = problems.answer(problems.of(error))

    assert answer["statusCode"] == status
    assert answer["headers"]["content-type"] == "application/problem+json"
    document = json.loads(answer["body"])
    assert document["type"].startswith("urn:handoff:problem:")
    assert document["title"]
    assert document.items() >= {"status": status, "detail": str(error), **members}.items()


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("card_declined", "Use another payment method,"),
        ("", "Use another payment method,"),
        ("amount_too_small", "Order more,"),
        ("amount_too_large", "Order less,"),
        ("amount_invalid", "Order more or less,"),
    ],
)
def test_a_decline_says_what_to_do_about_its_reason(reason, advice):
    assert advice in problems.of(errors.PaymentDeclined("ord_x", reason)).document["detail"]


def test_every_outcome_that_there_is_has_its_document():
    (base,) = [error for error in vars(errors).values() if inspect.isclass(error) and error.__base__ is Exception]
    named = {error for error in vars(errors).values() if inspect.isclass(error) and issubclass(error, base)}

    # The products that are not on sale are named field by field, by the route itself.
    assert named == {type(case[0]) for case in OUTCOMES} | {base, errors.UnknownProducts}


def test_no_two_outcomes_share_a_type():
    types = [problems.of(error).document["type"] for error, _, _ in OUTCOMES]

    assert len(set(types)) == len(types)


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
def test_what_passes_says_when_to_come_back(problem, headers):
    assert problems.answer(problem)["headers"].items() >= headers.items()


def test_an_outcome_without_a_document_is_not_swallowed():
    with pytest.raises(errors.UnknownProducts):
        problems.of(errors.UnknownProducts(["NO-SUCH"]))


def test_invalid_names_every_field():
    document = problems.invalid({"one": "wrong", "two": "missing"}).document

    assert document["errors"] == [{"field": "one", "message": "wrong"}, {"field": "two", "message": "missing"}]
    assert document["detail"] == "one: wrong; two: missing"


@pytest.mark.parametrize("problem", [problems.no_route("/" + "x" * 10_000), problems.not_json("x" * 10_000)])
def test_what_is_quoted_is_cut(problem):
    assert len(problem.document["detail"]) < 400


def test_a_mistake_of_ours_shows_nothing():
    assert problems.internal().document.keys() == {"type", "title", "status", "detail"}
