"""Mails in each language: translations, amounts, times, countries, the seller, and texts of one line."""

import io
import re
from pathlib import Path

import pytest
from babel.messages import extract, mofile, pofile

import languages
import mails
from dev.template import ROOT, source
from mails import Seller, Writer
from shop.model import Address, Cancellation, Customer, RefundState, ReturnRequest, Status, Units
from tests.support.orders import ORDER_ID, line, order
from tests.unit.test_mails import refund, with_refunds

FOLDER = Path(mails.__file__).parent
ADA = Customer(user_id="ada", name="Ada", email="ada@example.com")
SELLER = Seller(
    "Tee & Söhne GmbH", "Musterstr. 1; 10115 Berlin;Germany ; hello@shop.example", "https://shop.example/agb"
)
GERMAN, FRENCH = (Writer(languages.load(code), SELLER) for code in ("de", "fr"))
every_language = pytest.mark.parametrize("code", languages.LANGUAGES)
translated = pytest.mark.parametrize("code", languages.LANGUAGES[1:])


def catalog(code):
    with (FOLDER / f"locales/{code}/LC_MESSAGES/mails.po").open("rb") as file:
        return pofile.read_po(file, locale=code)


def sentences():
    """Return the sentences in the code."""
    found = extract.extract_from_dir(FOLDER, method_map=[("**.py", "python")], keywords={"say": None})
    return {message for _, _, message, _, _ in found}


def placeholders(text):
    return sorted(re.findall(r"{\w+}", text))


# --- translations -----------------------------------------------------------------------------------------------------


@translated
def test_every_sentence_is_translated_with_its_values(code):
    made = {message.id: message for message in catalog(code) if message.id}

    assert made.keys() == sentences()  # else: make translations
    for sentence, message in made.items():
        assert message.string
        assert not message.fuzzy
        assert placeholders(message.string) == placeholders(sentence)


@translated
def test_the_compiled_catalog_is_that_of_the_translations(code):
    compiled = io.BytesIO()
    mofile.write_mo(compiled, catalog(code))

    assert (FOLDER / f"locales/{code}/LC_MESSAGES/mails.mo").read_bytes() == compiled.getvalue()  # make translations


def test_the_template_and_the_layer_have_the_same_languages():
    assert source()["Parameters"]["Language"]["AllowedValues"] == list(languages.LANGUAGES)
    makefile = (ROOT / "layers/mails/Makefile").read_text()
    assert f"LOCALES := root {' '.join(languages.LANGUAGES)}\n" in makefile


@pytest.mark.parametrize(
    ("wanted", "default", "chosen"), [("de", "en", "de"), (None, "fr", "fr"), ("it", "fr", "fr"), ("en", "de", "en")]
)
def test_a_language_without_translations_is_the_shops_own(wanted, default, chosen):
    assert languages.choose(wanted, default).code == chosen


# --- amounts, times and countries -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "amount", "currency", "shown"),
    [
        ("en", 123_456_750, "EUR", "€1,234,567.50"),
        ("de", 123_456_750, "EUR", "1.234.567,50\xa0€"),
        ("fr", 123_456_750, "EUR", "1\u202f234\u202f567,50\xa0€"),
        ("de", 1234, "CHF", "12,34\xa0CHF"),
        ("fr", 1234, "USD", "12,34\xa0$US"),
        ("de", 1234, "JPY", "1.234\xa0¥"),
        ("en", 12345, "KWD", "KWD\xa012.345"),
        ("en", 12345, "IQD", "IQD\xa012.345"),
        ("de", 5, "EUR", "0,05\xa0€"),
    ],
)
def test_amounts_are_written_as_the_language_does(code, amount, currency, shown):
    assert languages.load(code).amount(amount, currency) == shown


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("en", "November 23, 2026, 10:00:00\u202fAM UTC"),
        ("de", "23. November 2026, 10:00:00 UTC"),
        ("fr", "23 novembre 2026, 10:00:00 TU"),
    ],
)
def test_times_are_written_as_the_language_does(code, shown):
    assert languages.load(code).date_and_time("2026-11-23T10:00:00.123Z") == shown


@pytest.mark.parametrize(("code", "shown"), [("en", "Germany"), ("de", "Deutschland"), ("fr", "Allemagne")])
def test_countries_are_named_in_the_language(code, shown):
    assert languages.load(code).country("DE") == shown


def test_a_country_without_a_name_keeps_its_code():
    assert languages.load("de").country("XX") == "XX"  # stored by an earlier release


# --- a whole mail -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("writer", "subject", "shown"),
    [
        (GERMAN, "Ihre Bestellung ist bestätigt", ("Guten Tag Ada,", "Summe: 45,00\xa0€", f"Bestellung {ORDER_ID}")),
        (FRENCH, "Votre commande est confirmée", ("Bonjour Ada,", "Total: 45,00\xa0€", f"Commande {ORDER_ID}")),
    ],
)
def test_a_confirmation_is_in_the_language_of_its_customer(writer, subject, shown):
    made = writer.confirmation(order(Status.PLACED), ADA)

    assert made["subject"] == subject
    assert all(text in made["text"] for text in shown)
    assert f"<html lang='{writer.language.code}'>" in made["html"]
    assert "Thank you" not in made["text"]


def test_a_mail_ends_with_the_seller():
    made = GERMAN.confirmation(order(Status.PLACED), ADA)

    lines = ("Verkäufer:", "Tee & Söhne GmbH", "Musterstr. 1", "10115 Berlin", "Germany", "hello@shop.example")
    assert made["text"].endswith("\n  ".join(lines) + "\n")
    assert "Tee &amp; Söhne GmbH<br>Musterstr. 1" in made["html"]


def test_mails_about_orders_lead_to_the_terms():
    made = GERMAN.confirmation(order(Status.PLACED), ADA)

    assert "Die Bedingungen Ihrer Bestellung und Ihr Widerrufsrecht: https://shop.example/agb" in made["text"]


def test_a_mail_to_an_unverified_address_has_the_seller_too():
    assert "Tee & Söhne GmbH" in GERMAN.address_changed(is_new=True)["text"]


def test_without_a_seller_no_mail_names_one():
    made = Writer(languages.load("en"), Seller()).confirmation(order(Status.PLACED), ADA)

    assert "Seller" not in made["text"]
    assert "withdrawal" not in made["text"]


def test_an_address_has_all_its_lines_and_no_others():
    to = Address(
        name="Ada King",
        company="Analytical Engines",
        street="12 Engine Way",
        street2="Building C",
        city="Dublin",
        region="Leinster",
        country="IE",
        phone="+353 1 234",
        vat_id="IE1234567T",
    )

    made = GERMAN.confirmation(order(Status.PLACED, shipping_address=to), ADA)

    lines = [
        "Lieferadresse:",
        "Analytical Engines",
        "Ada King",
        "12 Engine Way",
        "Building C",
        "Dublin",
        "Leinster",
        "Irland",
        "Telefon: +353 1 234",
        "USt-IdNr.: IE1234567T",
    ]
    assert "\n  ".join(lines) + "\n\n" in made["text"]


# --- text that earlier releases have stored ---------------------------------------------------------------------------

FORGED = "Mug\n  Total: 0.00 \u202eRUE\u200b\x1b[2J\u2028{name}"


@every_language
def test_typed_text_forges_no_line_of_a_mail(code):
    # GIVEN a writer, and an order whose texts break lines and reverse what follows
    writer = Writer(languages.load(code), SELLER)
    customer = ADA.model_copy(update={"name": FORGED})
    address = Address(name=FORGED, company=FORGED, street=FORGED, city=FORGED, postal_code=FORGED, country="DE")
    bad = with_refunds(
        refund(1250, Units(sku="MUG-01", quantity=1), reason=FORGED),
        lines=(line("MUG-01", 1, 1250).model_copy(update={"name": FORGED}),),
        shipping_address=address,
        cancellation=Cancellation(by="shop", reason=FORGED),
    )
    returned = ReturnRequest(requested_at="2026-11-23T10:00:00.123Z", lines=(), reason=FORGED)
    due = refund(1250, Units(sku="MUG-01", quantity=1), state=RefundState.DUE, reason=FORGED)

    # WHEN its mails are written
    made = [
        writer.confirmation(bad, customer),
        writer.cancellation(bad, customer),
        writer.on_its_way(bad, customer),
        writer.refunded(bad, customer, due),
        writer.return_received(bad, customer, returned),
    ]

    # THEN each text is on the line that it belongs to
    for mail in made:
        for part in (mail["text"], mail["html"]):
            assert not re.search("[\u202e\u200b\x1b\u2028]", part)
            assert "Mug Total: 0.00 RUE [2J {name}" in part
        assert not re.search(r"^\s*Total: 0\.00", mail["text"], flags=re.MULTILINE)
