"""Generate the files that follow from a new consumer: its sample, and the pages on events and alarms.

A program of its own, `python -m dev.scaffold.generate`, because the running one has read the template before.
"""

from dev import reference, samples
from dev.commands import main
from dev.contracts import page


def generate() -> None:
    """Write the files."""
    samples.write(samples.EVENTS)
    for name, text in reference.pages(main).items():
        (reference.FOLDER / name).write_text(text, encoding="utf-8")
    page.FILE.write_text(page.page(), encoding="utf-8")


if __name__ == "__main__":
    generate()
