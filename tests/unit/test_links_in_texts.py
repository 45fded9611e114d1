"""Texts that customers type and the shop mails or prints: no web addresses, and all real names."""

import json
import re

import pytest
from jsonschema import Draft202012Validator

from bodies import LINK
from order_requests import AddressIn, ReturnIn
from problems import Problem
from profile_requests import ProfileIn, profile

LINKS = [
    "http://evil.example/a",
    "HTTPS://evil",
    "ftp://x",
    "Click https://evil.example now",
    "www.evil.example",
    "Visit WWW.evil",
    "bit.ly/win",
    "Prize: t.me/x goo.gl/abc",
    "evil.com",
    "EVIL.COM",
    "Win at evil.com!",
    "evil.com, Main Street",
    "evil.com.mx",
    "evil.net?x=1",
    "a@evil.org",
    "free-iphone.xyz",
    "m\u00fcller.shop",
    "evil\u3002com",
    "evil\uff0ecom/",
    "Booking.com B.V.",
    "win.click",
    "1.info",
]
REAL = [
    "St. Gallen",
    "St.Gallen",
    "Dr.Smith",
    "Dr.Dev Patel",
    "Prof. Dr. Jane Q. Public",
    "J.R.R. Tolkien",
    "Av.de la Paix 3",
    "Av. de l'Op\u00e9ra, B\u00e2t.A, App.12",
    "Hauptstr.5/7",
    "Hauptstr. 5 / Stiege 2 / Top 14",
    "c/o M\u00fcller & Co. KG",
    "Smith & Sons Ltd.",
    "Acme, Inc.",
    "Booking com B.V.",
    "S.p.A. Rossi",
    "N.V. Philips",
    "Nr.12-14",
    "12.5 km marker",
    "Company",
    "Comet.Comedy Ltd",
    "Info Network Organisation",
    "The Online Shop",
    "Fa. Netto",
    "O'Brien-Smythe, III.",
    "1600 Pennsylvania Ave. N.W.",
    "Washington, D.C.",
    "\u6771\u4eac\u90fd\u5343\u4ee3\u7530\u533a1-1",
    "SW1A 2AA",
    "K1A 0B1/2",
]
FIELDS = [
    *((AddressIn, name) for name in ("name", "street", "city", "postalCode")),
    (ProfileIn, "name"),
    (ReturnIn, "reason"),
]
_ADDRESS = {"name": "Ada", "street": "12 Engine Way", "city": "London", "postalCode": "E1 7AA", "country": "GB"}
_VALID = {AddressIn: _ADDRESS, ProfileIn: {"name": "Ada", "email": "ada@example.com"}, ReturnIn: {}}


def accepted(model, field, text):
    try:
        model.model_validate_json(json.dumps(_VALID[model] | {field: text}))
    except ValueError:
        return False
    return True


def described(model, field, text):
    """Whether the JSON schema of the model allows a text."""
    return Draft202012Validator(model.model_json_schema()).is_valid(_VALID[model] | {field: text})


@pytest.mark.parametrize("text", LINKS)
def test_a_web_address_is_refused(text):
    assert re.search(LINK, text)
    assert not accepted(AddressIn, "street", text)


@pytest.mark.parametrize("text", REAL)
def test_a_real_name_or_address_is_accepted(text):
    assert not re.search(LINK, text)
    assert accepted(AddressIn, "street", text)


@pytest.mark.parametrize(("model", "field"), FIELDS)
def test_every_text_of_a_customer_is_checked_as_its_schema_says(model, field):
    for text in ("evil.com", "www.x", "bit.ly/win"):
        assert not accepted(model, field, text)
        assert not described(model, field, text)
    for text in ("St.Gallen", "Av.de 5"):
        assert accepted(model, field, text)
        assert described(model, field, text)


def test_the_message_says_what_to_change():
    body = json.dumps({"name": "Booking.com B.V.", "email": "ada@example.com"})
    with pytest.raises(Problem) as refused:
        profile({"headers": {"content-type": "application/json"}, "body": body})

    assert refused.value.document["errors"] == [
        {"field": "name", "message": "Web addresses are not allowed: write Booking.com without dots"}
    ]


def test_every_text_of_an_address_is_without_links():
    schema = AddressIn.model_json_schema()["properties"]
    for name, field in schema.items():
        (text,) = [kind for kind in field.get("anyOf", [field]) if kind["type"] == "string"]
        patterned = not any(re.search(text["pattern"], link) for link in LINKS)
        assert text.get("not") == {"pattern": LINK} or patterned, name


@pytest.mark.parametrize(
    "vat_id", ["GB123456789", "CHE-116.281.710 MWST", "BE 0123.456.749", "IE6388047V", "ESX9999999R"]
)
def test_vat_ids_are_accepted(vat_id):
    assert accepted(AddressIn, "vatId", vat_id)


@pytest.mark.parametrize("link", [*LINKS, "evil.ru/x", "1.info/win"])
def test_no_vat_id_is_a_link(link):
    assert not accepted(AddressIn, "vatId", link)
