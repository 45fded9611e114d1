"""Step 0: the chain as it is."""
