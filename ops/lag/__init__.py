"""The lag of consumers: how far each is behind."""
