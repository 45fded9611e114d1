"""Amounts of money as text. Everywhere else amounts are integers in the currency's minor unit."""

# Currencies without a minor unit of a hundredth: https://www.iso.org/iso-4217-currency-codes.html
_DECIMALS = dict.fromkeys(
    ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0
) | dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)


def decimals(currency: str) -> int:
    """Return the number of decimal places of a currency: 2 for ``EUR``."""
    return _DECIMALS.get(currency, 2)


def shown(amount: int, currency: str) -> str:
    """Return an amount with its currency: ``1234`` EUR is ``12.34 EUR``, and ``1234`` JPY is ``1234 JPY``."""
    digits = decimals(currency)
    sign, text = "-" * (amount < 0), f"{abs(amount):0{digits + 1}}"
    return f"{sign}{text[: len(text) - digits]}{'.' * bool(digits)}{text[len(text) - digits :]} {currency}"
