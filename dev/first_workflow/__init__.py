"""The first-workflow example on the local stack."""
