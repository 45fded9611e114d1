"""A secret in Secrets Manager, otherwise kept only in memory."""

import math
from typing import TYPE_CHECKING

from handoff import aws
from handoff.clock import Stopwatch
from handoff.telemetry import logger

if TYPE_CHECKING:
    from botocore.config import Config
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

KEPT_FOR = 300.0  # seconds


class CachedSecret:
    """The text of a secret, cached for `KEPT_FOR` seconds.

    If it cannot be refreshed, the cached text is used for another `KEPT_FOR` seconds, until ``usable_for`` seconds
    after it was read.
    """

    def __init__(self, client: "SecretsManagerClient", secret_id: str, *, usable_for: float = math.inf) -> None:
        self._client = client
        self._secret_id = secret_id
        self._usable_for = usable_for
        self._text: str | None = None
        self._age = Stopwatch()
        self._tried = Stopwatch()

    def text(self) -> str:
        """Return the text, without white space around it; empty if the secret has none.

        Raises
        ------
        aws.ERRORS
            If it cannot be read, and no usable text is cached.
        """
        if self._text is not None and self._tried.seconds() < KEPT_FOR:
            return self._text
        try:
            return self.read()
        except aws.ERRORS as error:
            if self._text is None or self._age.seconds() > self._usable_for:
                raise
            logger.warning("secret not refreshed; using the cached one", exc_info=error)
            self._tried.restart()
            return self._text

    def read(self) -> str:
        """Read the current text, which may have been rotated."""
        self._text = self._client.get_secret_value(SecretId=self._secret_id).get("SecretString", "").strip()
        self._age.restart()
        self._tried.restart()
        return self._text


def connect(secret_id: str, config: "Config | None" = None, *, usable_for: float = math.inf) -> CachedSecret:
    """Return the secret of this name; ``config`` as for `aws.client`."""
    return CachedSecret(aws.client("secretsmanager", config=config), secret_id, usable_for=usable_for)
