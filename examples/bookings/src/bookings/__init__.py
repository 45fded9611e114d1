"""Hotel bookings: a workflow of its own on Handoff's core."""
