"""The error of a catalog that no longer matches the code."""


class Stale(Exception):
    """An entry names a place that the code does not have, or has more than once."""
