"""`handoff verify`: check on a deployed stack what no local engine shows, and report AWS's answers."""
