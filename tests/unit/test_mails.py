"""Texts of the mails."""

import pytest

import languages
from mails import Seller, Writer
from shop import money
from shop.model import (
    Address,
    Cancellation,
    Customer,
    Payment,
    PaymentDue,
    PaymentState,
    Refund,
    RefundState,
    ReturnRequest,
    Status,
    Units,
)
from tests.support.orders import NOW, ORDER_ID, line, order

ADA = Customer(user_id="ada", name="Ada", email="ada@example.com")
ENGLISH = Writer(languages.load("en"), Seller())
KINDS = [Writer.confirmation, Writer.cancellation, Writer.on_its_way]
every_mail = pytest.mark.parametrize("mail", KINDS)
AT = "2026-11-23T10:00:00.123Z"
AUTHORIZED, CAPTURED, VOIDED, FAILED = (
    Payment(state=state)
    for state in (PaymentState.AUTHORIZED, PaymentState.CAPTURED, PaymentState.VOIDED, PaymentState.FAILED)
)


def refund(amount, *lines, state=RefundState.REFUNDED, reason="broken"):
    return Refund(
        refund_id=f"refund-{amount}",
        amount=amount,
        lines=lines,
        reason=reason,
        request_hash="hash",
        requested_at=AT,
        state=state,
    )


def with_refunds(*refunds, status=Status.PREPARED, **values):
    """Return a captured order with these refunds."""
    return order(status, payment=CAPTURED, refunds={one.refund_id: one for one in refunds}, **values)


def requested(*lines, reason=None):
    return ReturnRequest(requested_at=AT, lines=lines, reason=reason)


def news(mail):
    """Return the paragraphs of a mail up to its products, without the greeting."""
    return mail["text"].partition("\n\n  ")[0].split("\n\n")[1:]


@every_mail
def test_a_mail_has_lines_and_total_in_text_and_html(mail):
    made = mail(ENGLISH, order(Status.PLACED), ADA)

    for part in (made["text"], made["html"]):
        for shown in ("2 x Mug-01", "€25.00", "1 x Tee-02", "€20.00", "€45.00", ORDER_ID, "12 Engine Way"):
            assert shown in part


@every_mail
def test_html_escapes_customer_input(mail):
    bad = "<script>alert('x')</script> & \"co\""
    typed = order(
        lines=(line("MUG-01", 1, 100).model_copy(update={"name": bad}),),
        shipping_address=Address(name=bad, street=bad, city=bad, postal_code=bad, country="GB"),
    )

    made = mail(ENGLISH, typed, ADA.model_copy(update={"name": bad}))

    assert "<script>" not in made["html"]
    assert made["html"].count("&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &quot;co&quot;") == 6
    assert bad in made["text"]


@pytest.mark.parametrize(
    "made",
    [
        ENGLISH.cancellation(order(cancellation=Cancellation(by="shop", reason="<b>sold out</b>")), ADA),
        ENGLISH.refunded(order(), ADA, refund(100, reason="<b>sold out</b>")),
        ENGLISH.return_received(order(), ADA, requested(reason="<b>sold out</b>")),
    ],
    ids=["cancellation", "refund", "return"],
)
def test_html_escapes_reasons(made):
    assert "<b>sold out</b>" in made["text"]
    assert "&lt;b&gt;sold out&lt;/b&gt;" in made["html"]
    assert "<b>" not in made["html"]


def test_each_mail_has_a_different_text():
    made = [
        *(kind(ENGLISH, order(), ADA) for kind in KINDS),
        ENGLISH.refunded(order(), ADA, refund(100)),
        ENGLISH.return_received(order(), ADA, requested()),
    ]

    assert len({mail["subject"] for mail in made}) == len({mail["text"] for mail in made}) == len(made)


def test_a_subject_has_no_customer_input():
    made = ENGLISH.confirmation(order(), ADA.model_copy(update={"name": "Ada\nBcc: all@example.com"}))

    assert made["subject"] == "Your order is confirmed"


# --- the order as it is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("late", "said"),
    [
        (order(Status.PLACED), "We will pack it soon."),
        (order(Status.PREPARED, payment=AUTHORIZED), "It is packed."),
        (order(Status.PREPARED, payment=FAILED), "It is packed."),
        (order(Status.PREPARED, payment=CAPTURED, released_at=AT), "It is on its way to you."),
    ],
    ids=["placed", "packed", "payment failed", "released"],
)
def test_a_confirmation_promises_only_what_is_still_to_come(late, said):
    assert news(ENGLISH.confirmation(late, ADA)) == [f"Thank you for your order. {said}"]


@pytest.mark.parametrize("mail", [Writer.confirmation, Writer.on_its_way])
def test_a_late_mail_has_the_amount_refunded_since(mail):
    late = with_refunds(refund(500), refund(250), refund(100, state=RefundState.FAILED), released_at=AT)

    assert news(mail(ENGLISH, late, ADA))[1:] == ["Refunded so far: €7.50 of €45.00."]


def test_the_customers_cancellation_has_no_reason():
    made = ENGLISH.cancellation(order(Status.CANCELLED, cancellation=Cancellation(by="customer")), ADA)

    assert news(made)[0] == "Your order was cancelled at your request."
    assert "Reason" not in made["text"]
    assert news(made) == news(ENGLISH.cancellation(order(Status.CANCELLED), ADA))  # stored by an earlier release


def test_the_shops_cancellation_has_its_reason():
    made = ENGLISH.cancellation(order(Status.CANCELLED, cancellation=Cancellation(by="shop", reason="sold out")), ADA)

    assert news(made)[:2] == ["We have cancelled your order.", "Reason: sold out"]


CHARGED = "You had been charged €45.00 already."


@pytest.mark.parametrize(
    ("cancelled", "said"),
    [
        (
            order(Status.CANCELLED, payment=AUTHORIZED, payment_due=PaymentDue(action="void", since=NOW)),
            "The amount held is released. If it was charged already, it is refunded.",
        ),
        (order(Status.CANCELLED, payment=VOIDED), "You were not charged, and the amount held is released."),
        (order(Status.CANCELLED, payment=FAILED), "If you were charged, we refund the amount."),
        (
            with_refunds(refund(4500, state=RefundState.DUE), status=Status.CANCELLED),
            f"{CHARGED} We refund this amount.",
        ),
        (with_refunds(refund(4500), status=Status.CANCELLED), f"{CHARGED} We have refunded this amount."),
    ],
    ids=["void due", "voided", "void refused", "refund due", "refunded"],
)
def test_a_cancellation_says_about_the_money_only_what_is_known(cancelled, said):
    assert news(ENGLISH.cancellation(cancelled, ADA))[-1] == said


# --- refunds and returns ----------------------------------------------------------------------------------------------


def test_a_refund_has_amount_reason_sum_and_products():
    first, second = refund(1250, Units(sku="MUG-01", quantity=1)), refund(500)

    made = ENGLISH.refunded(with_refunds(first, second), ADA, first)

    assert news(made) == [
        "We have refunded €12.50 of your order.",
        "Reason: broken",
        "Refunded so far: €17.50 of €45.00.",
    ]
    for part in (made["text"], made["html"]):
        assert "1 x Mug-01" in part
        assert ORDER_ID in part
        assert "Tee-02" not in part


def test_a_refund_of_an_amount_lists_no_products():
    made = ENGLISH.refunded(with_refunds(refund(500)), ADA, refund(500))

    assert "Mug-01" not in made["text"]
    assert "<table>" not in made["html"]


def test_a_return_is_acknowledged_with_its_content_date_and_time():
    made = ENGLISH.return_received(with_refunds(), ADA, requested(Units(sku="MUG-01", quantity=2), reason="too blue"))

    assert news(made) == [
        "We received your request to return the products below on November 23, 2026, 10:00:00\u202fAM UTC.",
        "Your reason: too blue",
        "We refund them when they are back.",
    ]
    for part in (made["text"], made["html"]):
        assert "2 x Mug-01" in part
        assert ORDER_ID in part
        assert "Tee-02" not in part


def test_a_return_without_a_reason_names_none():
    assert "reason" not in ENGLISH.return_received(with_refunds(), ADA, requested())["text"]


def test_a_return_of_a_refunded_order_promises_no_refund():
    made = ENGLISH.return_received(with_refunds(refund(4500)), ADA, requested(Units(sku="TEE-02", quantity=1)))

    assert news(made)[1:] == ["Refunded so far: €45.00 of €45.00."]


# --- amounts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (0, "EUR", "0.00 EUR"),
        (5, "EUR", "0.05 EUR"),
        (1234, "EUR", "12.34 EUR"),
        (100_000_000, "USD", "1000000.00 USD"),
        (1234, "JPY", "1234 JPY"),
        (0, "KRW", "0 KRW"),
        (12345, "RWF", "12345 RWF"),
        (12345, "KWD", "12.345 KWD"),
        (5, "KWD", "0.005 KWD"),
        (-1234, "EUR", "-12.34 EUR"),
    ],
)
def test_amounts_have_the_decimals_of_their_currency(amount, currency, shown):
    assert money.shown(amount, currency) == shown


def test_a_shop_in_yen_shows_whole_yen():
    made = ENGLISH.confirmation(order(currency="JPY"), ADA)

    for part in (made["text"], made["html"]):
        assert "¥4,500" in part
        assert "45.00" not in part
