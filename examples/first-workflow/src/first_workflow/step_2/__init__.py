"""Step 2: the consumer runs in shadow mode."""
