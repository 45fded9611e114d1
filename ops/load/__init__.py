"""`handoff load`: send a deployed stack orders of more and more users, and check that it is consistent afterwards."""
