"""The sample orders of `make run`, and a report of the result."""
