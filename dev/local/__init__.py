"""The local stack: MiniStack, and the metrics that it lacks."""
