"""Step 1: the event is written together with the order."""
