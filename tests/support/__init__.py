"""What the tests share: Handoff's own stack in moto, its functions, and faults on the wire between the two."""
