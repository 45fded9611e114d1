"""Record the example events again: part of ``make contracts``."""

import os

from dev.simulated.account import STACK_NAME
from dev.template import shared_variables

os.environ.update(shared_variables(STACK_NAME))  # Powertools reads these when it is imported


def main() -> None:
    """Write the files."""
    from tests.contracts import recording  # noqa: PLC0415

    for file, text in recording.texts().items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
