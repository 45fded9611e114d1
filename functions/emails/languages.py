"""The languages of mails: translated sentences, and amounts, times and countries as each language writes them.

The translations are gettext catalogs in ``locales``: ``mails.po`` of each language, and ``mails.mo``, which
``make translations`` compiles from it.
"""

import gettext
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path

from babel import Locale
from babel.dates import format_datetime
from babel.numbers import format_currency, get_currency_symbol

from shop import money

_CATALOGS = Path(__file__).with_name("locales")
LANGUAGES = ("en", "de", "fr")  # the sentences in the code are English


@dataclass(frozen=True, slots=True)
class Language:
    """A language that mails are written in."""

    code: str
    _catalog: gettext.NullTranslations
    _locale: Locale

    def say(self, sentence: str, **values: str) -> str:
        """Return a sentence in this language; its values stand in braces."""
        return self._catalog.gettext(sentence).format(**values)

    def amount(self, amount: int, currency: str) -> str:
        """Return an amount in minor units: ``1234`` EUR is ``€12.34`` in English and ``12,34 €`` in German.

        With the decimals of the prices: those that Babel would use are the customary ones, none for Iraqi dinars.
        """
        digits = money.decimals(currency)
        pattern = self._locale.currency_formats["standard"].pattern
        exact = pattern.replace("0.00", f"0.{'0' * digits}" if digits else "0")
        if get_currency_symbol(currency, self._locale).isalpha():  # CLDR's currencySpacing, which Babel does not read
            exact = exact.replace("¤#", "¤\xa0#")
        value = Decimal(amount).scaleb(-digits)
        return format_currency(value, currency, format=exact, locale=self._locale, currency_digits=False)

    def date_and_time(self, timestamp: str) -> str:
        """Return an ISO timestamp as people read it, in UTC: ``23. November 2026, 10:00:00 UTC`` in German."""
        return format_datetime(datetime.fromisoformat(timestamp), "long", locale=self._locale)

    def country(self, code: str) -> str:
        """Return the name of a country, or its code if it has none."""
        name: str = self._locale.territories.get(code, code)
        return name


@cache
def load(code: str) -> Language:
    """Return a language of `LANGUAGES`."""
    catalog = gettext.translation("mails", _CATALOGS, [code], fallback=code == LANGUAGES[0])
    return Language(code, catalog, Locale.parse(code))


def choose(wanted: str | None, default: str) -> Language:
    """Return the language that a customer wants, or ``default`` if there are no translations into it."""
    return load(wanted if wanted in LANGUAGES else default)
