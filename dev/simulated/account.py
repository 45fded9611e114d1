"""The simulated AWS account and the stack in it."""

ACCOUNT = "123456789012"  # moto's
REGION = "eu-central-1"
STACK_NAME = "handoff-test"
