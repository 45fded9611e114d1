"""Contracts of the API and of the events: generated, documented, and compared with their released versions."""
