"""Text for a terminal."""


def plain(text: str) -> str:
    """Escape characters that could control the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)


def sentences(*texts: object) -> str:
    """Join texts as sentences; one that does not end with a punctuation mark gets a period."""
    stripped = [str(text).strip() for text in texts]
    return " ".join(text if text.endswith((".", "?", "!")) else f"{text}." for text in stripped)
