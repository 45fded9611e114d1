"""Texts of the mails."""

import pytest

import mails
from shop import money
from shop.model import Address, Customer, Status
from tests.support.orders import ORDER_ID, line, order

ADA = Customer(user_id="ada", name="Ada", email="ada@example.com")
KINDS = [mails.confirmation, mails.cancellation, mails.on_its_way]
every_mail = pytest.mark.parametrize("mail", KINDS)


@every_mail
def test_a_mail_has_lines_and_total_in_text_and_html(mail):
    made = mail(order(Status.PLACED), ADA)

    for part in (made["text"], made["html"]):
        for shown in ("2 x Mug-01", "25.00 EUR", "1 x Tee-02", "20.00 EUR", "45.00 EUR", ORDER_ID, "12 Engine Way"):
            assert shown in part


@every_mail
def test_html_escapes_customer_input(mail):
    bad = "<script>alert('x')</script> & \"co\""
    typed = order(
        lines=(line("MUG-01", 1, 100).model_copy(update={"name": bad}),),
        shipping_address=Address(name=bad, street=bad, city=bad, postal_code=bad, country="GB"),
    )

    made = mail(typed, ADA.model_copy(update={"name": bad}))

    assert "<script>" not in made["html"]
    assert made["html"].count("&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &quot;co&quot;") == 6
    assert bad in made["text"]


def test_each_mail_has_a_different_text():
    made = [kind(order(), ADA) for kind in KINDS]

    assert len({mail["subject"] for mail in made}) == len({mail["text"] for mail in made}) == len(KINDS)


def test_a_subject_has_no_customer_input():
    made = mails.confirmation(order(), ADA.model_copy(update={"name": "Ada\nBcc: all@example.com"}))

    assert made["subject"] == "Your order is confirmed"


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
    made = mails.confirmation(order(currency="JPY"), ADA)

    for part in (made["text"], made["html"]):
        assert "4500 JPY" in part
        assert "45.00" not in part
