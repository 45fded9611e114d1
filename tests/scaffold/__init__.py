"""`make consumer`, run in a copy of the repository."""
