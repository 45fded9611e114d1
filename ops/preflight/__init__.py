"""Checks before a first deployment: what would make it fail, or would keep it from working."""
