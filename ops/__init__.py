"""The operator's side of Handoff: the `handoff` command."""
