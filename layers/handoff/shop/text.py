"""One line of text that people have typed: names, addresses, reasons and products, as mails and labels print them."""

from unicodedata import category, normalize

# Joiners between the letters of Persian, Indic and other scripts. They are format characters, but change the reading.
_JOINERS = "\u200c\u200d"
# Letters and symbols that print nothing. Source: Default_Ignorable_Code_Point in
# https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt, and the Braille pattern without dots.
_BLANK_LETTERS = "\u115f\u1160\u3164\uffa0\u2800"
# Control, format, surrogate, private and unassigned characters, line and paragraph separators.
_REFUSED = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
REPLACEMENT = "\ufffd"  # a decoder writes it for bytes that it cannot read


def normalized(text: str) -> str:
    """Return the text in Unicode's normal form C, without spaces around it."""
    return normalize("NFC", text).strip()


def problem_of(text: str) -> str | None:
    """Return why a text is not one visible line, or None.

    The rule goes by Unicode categories, so that characters of later versions of Unicode are covered: no control or
    format character (a right-to-left override reverses the rest of a mail), no line break, and something that is seen.
    """
    refused = next((character for n, character in enumerate(text) if _is_refused(text, n)), None)
    if refused is not None:
        return f"Contains the invisible or unreadable character U+{ord(refused):04X}: leave it out"
    if not any(_is_visible(character) for character in text):
        return "Contains nothing that is visible"
    return None


def flattened(text: str) -> str:
    """Return the text as one line, with spaces for the characters that `problem_of` refuses.

    For text that earlier releases have stored.
    """
    shown = "".join(" " if _is_refused(text, n) else character for n, character in enumerate(text))
    return " ".join(shown.split())


def _is_refused(text: str, n: int) -> bool:
    character = text[n]
    if character in _JOINERS:
        return not (0 < n < len(text) - 1 and _is_joinable(text[n - 1]) and _is_joinable(text[n + 1]))
    return category(character) in _REFUSED or character == REPLACEMENT


def _is_joinable(character: str) -> bool:
    return category(character)[0] in "LMS"  # letters, marks, and the symbols that emoji are made of


def _is_visible(character: str) -> bool:
    return category(character)[0] in "LNPS" and character not in _BLANK_LETTERS
