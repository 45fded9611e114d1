"""Text styles and headings of the page."""

from nicegui import ui

# Contrast of at least 4.5:1 with the page's background, light and dark (WCAG 2.2, 1.4.3).
MUTED = "text-sm text-gray-600 dark:text-gray-300"
ERROR = "text-red-800 dark:text-red-300"
WARNING = "text-amber-900 dark:text-amber-300"
INFO = "text-blue-800 dark:text-blue-300"
SUCCESS = "text-green-800 dark:text-green-300"
SMALL_BUTTON = "outline no-caps padding='xs sm'"


def heading(text: str, level: int) -> ui.label:
    """Draw a heading that screen readers announce as one."""
    size = {1: "text-lg font-medium", 2: "text-lg font-medium", 3: "font-medium"}[level]
    return ui.label(text).classes(size).props(f"role=heading aria-level={level}")
