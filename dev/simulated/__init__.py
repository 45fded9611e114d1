"""A deployment in one process: the functions on moto, with a clock and a network that the caller controls."""
