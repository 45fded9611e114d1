"""Step 5: the old code is removed."""
