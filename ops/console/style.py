"""Text styles, headings and layout of the pages."""

from nicegui import ui

# Contrast of at least 4.5:1 with the page's background, light and dark (WCAG 2.2, 1.4.3).
MUTED = "text-sm text-gray-600 dark:text-gray-300"
ERROR = "text-red-800 dark:text-red-300"
WARNING = "text-amber-900 dark:text-amber-300"
INFO = "text-blue-800 dark:text-blue-300"
SUCCESS = "text-green-800 dark:text-green-300"

# One ring on what has the focus. Quasar hides the outline in a cascade layer with !important: only an earlier layer
# overrides it. Its own marks of the focus, a shade and a second border, would be a second ring.
_FOCUS = """
@layer base {
  :focus-visible { outline: 3px solid currentColor !important; outline-offset: 2px }
  :is(.q-field__native, .q-select__focus-target):focus-visible { outline: none !important }
  .q-field__control:has(:is(.q-field__native, .q-select__focus-target):focus-visible) {
    outline: 3px solid currentColor !important; outline-offset: 2px
  }
  .q-focus-helper { display: none !important }
  .q-field--outlined .q-field__control::after { display: none !important }
}
"""
# The widths at which it all fits: three columns at the top, the pipeline beside its stations, all columns of the table.
_LAYOUT = """
header a { color: inherit; text-decoration: none; padding: 4px 10px; border-radius: 4px }
header a:hover, header a[aria-current] { background: rgb(0 0 0 / 0.3) }
.nicegui-link { color: inherit; text-decoration: underline }
header .nicegui-link { text-decoration: none }
header .badge { background: #fff; color: #b71c1c; border-radius: 9px; padding: 0 7px; font-size: 0.8rem }
.top { display: grid; gap: 10px; width: 100%; grid-template-columns: minmax(0, 1fr) }
.pipeline { display: flex; flex-direction: column; gap: 6px; width: 100% }
.stations { display: flex; flex-direction: column; gap: 2px }
.pipeline-arrow { transform: rotate(90deg) }
.plot-chart { height: 13rem }
.plots { display: grid; gap: 10px; width: 100%; grid-template-columns: minmax(0, 1fr) }
.fault-swatch { width: 14px; height: 12px; background: rgb(211 47 47 / 0.3) }
.consumers { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
.consumers th, .consumers td { padding: 5px 8px; text-align: left; font-weight: 400; white-space: nowrap }
.consumers thead th { font-size: 0.8rem; padding-bottom: 2px }
.consumers tbody th { font-weight: 500 }
.consumers tbody tr { border-top: 1px solid rgb(128 128 128 / 0.35) }
.backlog { display: flex; align-items: center; gap: 8px }
.backlog-track { flex: 1; min-width: 64px; height: 10px; border-radius: 5px; background: rgb(128 128 128 / 0.2) }
.backlog-bar { height: 100%; border-radius: 5px; background: currentColor }
.tone-warning { background: rgb(245 158 11 / 0.16) !important }
.tone-error { background: rgb(211 47 47 / 0.12) !important }
.tone-warning .backlog-bar { background: #d97706 }
.sparkline { width: 100px; height: 24px; display: block; overflow: visible }
.aside { display: flex; align-items: center; gap: 4px; padding-left: 8px }
.aside { border-left: 2px dashed rgb(128 128 128 / 0.6) }
@media (min-width: 900px) {
  .plots, .top { grid-template-columns: repeat(2, minmax(0, 1fr)) }
  .top > .playground { grid-column: 1 / -1 }
}
@media (min-width: 1200px) {
  .top.with-playground { grid-template-columns: 21rem repeat(2, minmax(0, 1fr)) }
  .top > .playground { grid-column: auto }
  .pipeline { flex-direction: row; align-items: center }
  .stations { width: 15rem; flex: none }
  .pipeline-arrow { transform: none }
}
@media (max-width: 1199px) { .consumers .extra { display: none } }
@media (max-width: 599px) {
  .consumers th, .consumers td { padding: 6px 3px }
  .backlog-track { min-width: 28px }
}
"""
# Each step of a timeline is in the lane of its consumer; on a narrow page, all are in one column, named by their lane.
_TIMELINE = """
.timeline { list-style: none; margin: 0; padding: 0; width: 100%; font-variant-numeric: tabular-nums }
.timeline li, .lane-titles { display: grid; gap: 2px 10px }
.timeline li, .lane-titles {
  grid-template-columns: 4.6rem 4.6rem minmax(0, 1.8fr) repeat(var(--lanes), minmax(0, 1fr))
}
.timeline li { padding: 3px 0; border-top: 1px solid rgb(128 128 128 / 0.25) }
.lane-titles { font-weight: 500; padding-bottom: 2px }
.timeline .step { grid-column: var(--column); border-left: 3px solid #2a70c8; padding-left: 8px; min-width: 0 }
.timeline .step.trouble { border-color: #d32f2f }
.timeline .lane { display: none }
@media (max-width: 1023px) {
  .lane-titles { display: none }
  .timeline li { grid-template-columns: 4.2rem 4.2rem minmax(0, 1fr) }
  .timeline .step { grid-column: 3 }
  .timeline .lane { display: inline; font-weight: 500 }
}
"""
# On a narrow page, the bar is below its hop.
_WATERFALL = """
.waterfall { list-style: none; margin: 0; padding: 0; width: 100%; font-variant-numeric: tabular-nums }
.waterfall li { display: grid; gap: 0 10px; grid-template-columns: minmax(0, 2fr) 5rem 6.5rem minmax(0, 3fr) }
.waterfall li { align-items: center; border-top: 1px solid rgb(128 128 128 / 0.25) }
.waterfall .hop { display: flex; gap: 8px; min-width: 0; white-space: nowrap }
.waterfall .hop { padding-left: calc(var(--depth) * 0.7rem) }
.waterfall .track { position: relative; height: 12px }
.waterfall .bar { position: absolute; height: 100%; min-width: 3px; border-radius: 2px; background: #2a70c8 }
.waterfall .bar.wait { background: rgb(128 128 128 / 0.45); height: 4px; top: 4px }
.waterfall .bar.trouble { background: #d32f2f }
@media (max-width: 1023px) {
  .waterfall li { grid-template-columns: minmax(0, 1fr) 4.6rem 5.2rem }
  .waterfall .track { grid-column: 1 / -1 }
  .waterfall .hop { padding-left: calc(min(var(--depth), 6) * 0.4rem) }
}
"""
CSS = _FOCUS + _LAYOUT + _TIMELINE + _WATERFALL


def heading(text: str, level: int) -> ui.label:
    """Draw a heading that screen readers announce as one."""
    size = {1: "text-lg font-medium", 2: "text-base font-medium", 3: "font-medium"}[level]
    return ui.label(text).classes(size).props(f"role=heading aria-level={level}")
