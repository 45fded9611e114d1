"""Recognize a stack for production by its parameters."""

from ops.stack.deployment import Deployment

_OF_TESTS = {"DataPolicy": "Delete", "PaymentProvider": "sandbox"}


def signs_of_production(deployment: Deployment) -> list[str]:
    """Return the parameters that show a stack for production: it keeps its data, or its payments are real."""
    parameters = deployment.parameters
    return [f"{name}={parameters[name]}" for name, value in _OF_TESTS.items() if parameters[name] != value]
