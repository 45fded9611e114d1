"""Text styles and headings of the page."""

from nicegui import ui

# Contrast of at least 4.5:1 with the page's background, light and dark (WCAG 2.2, 1.4.3).
MUTED = "text-sm text-gray-600 dark:text-gray-300"
ERROR = "text-red-800 dark:text-red-300"
WARNING = "text-amber-900 dark:text-amber-300"
INFO = "text-blue-800 dark:text-blue-300"
SUCCESS = "text-green-800 dark:text-green-300"

# Quasar hides the focus outline in a cascade layer with !important: only an earlier layer overrides it. Three tabs with
# icons are wider than a phone. Quasar's timeline entries are as tall as paragraphs.
CSS = """
@layer base { :focus-visible { outline: 3px solid currentColor !important; outline-offset: 2px } }
@media (max-width: 599px) { .q-tab__icon { display: none } }
.q-timeline__content { gap: 0; padding-bottom: 12px }
.q-timeline__title { font-size: 1rem; line-height: 1.5; margin: 0 }
.q-timeline__subtitle { font-weight: 400; letter-spacing: normal; margin: 0; opacity: 0.8; text-transform: none }
"""


def heading(text: str, level: int) -> ui.label:
    """Draw a heading that screen readers announce as one."""
    size = {1: "text-lg font-medium", 2: "text-lg font-medium", 3: "font-medium"}[level]
    return ui.label(text).classes(size).props(f"role=heading aria-level={level}")
