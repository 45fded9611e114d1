"""A deployed stack: its resources, metrics and state."""
