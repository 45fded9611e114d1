"""A proxy that injects faults into calls to AWS or to the payment provider."""
