"""The developers and operators side of Handoff: the `handoff` command."""
