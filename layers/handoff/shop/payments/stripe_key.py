"""Stripe's API key, stored in Secrets Manager and otherwise kept only in memory."""

from typing import TYPE_CHECKING

from handoff import aws
from handoff.clock import Stopwatch
from handoff.telemetry import logger

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

KEPT_FOR = 300.0  # seconds


class StripeKey:
    """The text of the secret, cached for `KEPT_FOR` seconds."""

    def __init__(self, client: "SecretsManagerClient", secret_id: str) -> None:
        self._client = client
        self._secret_id = secret_id
        self._text: str | None = None
        self._age = Stopwatch()

    def text(self) -> str:
        """Return the key. If it cannot be refreshed, the cached one is used for another `KEPT_FOR` seconds."""
        if self._text is not None and self._age.seconds() < KEPT_FOR:
            return self._text
        try:
            return self.read()
        except aws.ERRORS as error:
            if self._text is None:
                raise
            logger.warning("stripe key not refreshed; using the cached one", exc_info=error)
            self._age.restart()
            return self._text

    def read(self) -> str:
        """Read the current key, which may have been rotated."""
        # A secret without text is treated like a wrong key: Stripe rejects it, and the log says so.
        self._text = self._client.get_secret_value(SecretId=self._secret_id).get("SecretString", "").strip()
        self._age.restart()
        return self._text


def connect(secret_id: str) -> StripeKey:
    """Return the key in this secret. It is read within the deadline of a payment, so there is one short try."""
    once = aws.config(connect_timeout=0.5, read_timeout=1.0, tries=1)
    return StripeKey(aws.client("secretsmanager", config=once), secret_id)
