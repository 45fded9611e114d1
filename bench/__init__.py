"""What Handoff claims about speed and cost, measured: `python -m bench`."""
