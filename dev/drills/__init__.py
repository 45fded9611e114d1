"""Outage drills on the local stack."""
