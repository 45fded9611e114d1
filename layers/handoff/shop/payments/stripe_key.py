"""Stripe's API key: kept in Secrets Manager, and nowhere else but in memory."""

import time
from typing import TYPE_CHECKING

import boto3

from handoff import aws
from handoff.telemetry import logger

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

KEPT_FOR = 300.0  # seconds


class StripeKey:
    """The secret's text, cached for a while."""

    def __init__(self, client: "SecretsManagerClient", secret_id: str) -> None:
        self._client = client
        self._secret_id = secret_id
        self._text: str | None = None
        self._read_at = 0.0

    def text(self) -> str:
        """The key. One that is due for another look goes on being used if the look fails."""
        if self._text is not None and time.monotonic() - self._read_at < KEPT_FOR:
            return self._text
        try:
            return self.read()
        except aws.ERRORS as error:
            if self._text is None:
                raise
            logger.warning("The secret can't be read; its last text is used for another while", exc_info=error)
            self._read_at = time.monotonic()
            return self._text

    def read(self) -> str:
        """The key as it is now: it may have been rotated."""
        # A secret without text is as good as a wrong key: Stripe's refusal says so in the log.
        self._text = self._client.get_secret_value(SecretId=self._secret_id).get("SecretString", "").strip()
        self._read_at = time.monotonic()
        return self._text


def connect(secret_id: str) -> StripeKey:
    """The key in this secret. It is read within a payment's deadline: one short try."""
    once = aws.config(connect_timeout=0.5, read_timeout=1.0, tries=1)
    return StripeKey(boto3.client("secretsmanager", config=once), secret_id)
