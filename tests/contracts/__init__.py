"""The contracts: held against the code that they were written from, and recorded examples of the events."""
