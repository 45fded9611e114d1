"""The sample orders of `make run`, and a report of what happened to them."""
