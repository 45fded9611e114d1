"""Secrets: whether they exist, can be read and have the expected form. No part of a value is shown."""

import re
from collections.abc import Callable

from botocore.exceptions import ClientError

from ops.preflight.aws import Aws
from ops.preflight.check import Finding, Question, failed, passed, warning
from shop import webhook_secrets
from shop.webhook_secrets import MalformedSecret

_STRIPE_KEY = re.compile(r"[sr]k_(test|live)_\w+")  # secret or restricted: https://docs.stripe.com/keys
_UNUSABLE = {
    "ResourceNotFoundException": "there is no such secret in this account and region",
    "InvalidRequestException": "it is being deleted, or has no current version",
    "DecryptionFailure": "its KMS key cannot decrypt it",
}


def questions(aws: Aws) -> list[Question]:
    """Return the checks of the secrets that the parameters name."""
    found = []
    if aws.plan.parameter("PaymentProvider") == "stripe":
        found.append(_question(aws, "StripeSecret", lambda text: _stripe(aws, text)))
    if aws.plan.parameter("PartnerEndpoint"):
        found.append(_question(aws, "PartnerSecret", _partner))
    return found


def _question(aws: Aws, parameter: str, judge: Callable[[str], Finding]) -> Question:
    return Question(f"secret of {parameter}", lambda: _read(aws, parameter, judge))


def _read(aws: Aws, parameter: str, judge: Callable[[str], Finding]) -> Finding:
    name = aws.plan.parameter(parameter)
    if not name:
        return failed(f"{parameter} is empty", f"Set {parameter} to the secret's name.")
    try:
        secret = aws.client("secretsmanager").get_secret_value(SecretId=name)
    except ClientError as error:
        reason = _UNUSABLE.get(error.response["Error"]["Code"])
        if reason is None:
            raise
        return failed(f"{name}: {reason}", f"Create or restore it, or name another one in {parameter}.")
    return judge(secret.get("SecretString", "").strip())


def _stripe(aws: Aws, text: str) -> Finding:
    key = _STRIPE_KEY.fullmatch(text)
    if key is None:
        return failed(
            "its text is not a secret or restricted API key of Stripe",
            "Store the key alone as plain text, without JSON or quotes: docs/how-to/use-stripe.md",
        )
    if key[1] == "test" and aws.plan.keeps_data:
        return warning("it is a test key, which charges no customer", "Store a live key before customers order.")
    return passed(f"a {key[1]} key")


def _partner(text: str) -> Finding:
    try:
        secrets = webhook_secrets.parse(text)
    except MalformedSecret as error:
        return failed(str(error), "Store the secret alone as plain text: docs/how-to/send-events-to-a-partner.md")
    return passed("a signing secret" if len(secrets) == 1 else "two signing secrets")
