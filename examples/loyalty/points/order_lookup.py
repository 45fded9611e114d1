"""Looking orders up in Handoff's API, with the token of a program that has the scope orders:read."""

import json
from typing import TYPE_CHECKING, Any

import urllib3  # part of the runtime, as boto3 needs it

from handoff import aws, settings
from handoff.clock import Stopwatch
from handoff.errors import NotYet, PermanentError, TransientError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

_LONGEST_REQUEST = 5.0  # seconds
_TIMEOUT = urllib3.Timeout(connect=1.0, total=_LONGEST_REQUEST)
# Seconds to look one order up: with a token that is refused, and a new one, for which the secret is read.
LONGEST = 3 * _LONGEST_REQUEST + aws.LONGEST_CALL
_SCOPE = "handoff/orders:read"  # in Cognito's notation
_EARLIER = 60  # seconds before it expires, a token is renewed


class ApiUnavailable(TransientError):
    """The API or the token endpoint gives no answer, or answers with a failure on its side."""


class OrderLookup:
    """Gets orders from the API. The token is kept for its lifetime: each new one costs money and time.

    ``secret_id`` names a secret with the members ``clientId`` and ``clientSecret``. It is read with each new token, so
    a changed secret needs no deployment.
    """

    def __init__(self, secrets: "SecretsManagerClient", *, api_url: str, token_url: str, secret_id: str) -> None:
        self._secrets = secrets
        self._api_url = api_url
        self._token_url = token_url
        self._secret_id = secret_id
        self._http = urllib3.PoolManager(timeout=_TIMEOUT, retries=False)
        self._token = ""
        self._lifetime = 0
        self._age = Stopwatch()

    def order(self, order_id: str, sequence: int) -> dict[str, Any]:
        """Return an order as it is now, but not older than the event with this sequence number.

        Raises
        ------
        NotYet
            If the order is missing, or older than the event.
        PermanentError
            If the program may not read orders.
        ApiUnavailable
            If the API does not answer.
        """
        answer = self._get(f"{self._api_url}/orders/{order_id}")
        if answer.status == 401:  # the token was revoked, or its key replaced
            self._token = ""
            answer = self._get(f"{self._api_url}/orders/{order_id}")
        match answer.status:
            case 200:
                order: dict[str, Any] = answer.json()
            case 404:
                raise NotYet(f"order {order_id} is missing")
            case 403:
                raise PermanentError("the program's token lacks the scope orders:read")
            case status:
                raise ApiUnavailable(f"the API answered {status}")
        if order["sequence"] < sequence:
            raise NotYet(f"order {order_id} is older than the event")
        return order

    def _get(self, url: str) -> urllib3.BaseHTTPResponse:
        return self._request("GET", url, headers={"authorization": f"Bearer {self._current_token()}"})

    def _current_token(self) -> str:
        if not self._token or self._age.seconds() > self._lifetime - _EARLIER:
            secret = json.loads(self._secrets.get_secret_value(SecretId=self._secret_id)["SecretString"])
            answer = self._request(
                "POST",
                self._token_url,
                headers=urllib3.make_headers(basic_auth=f"{secret['clientId']}:{secret['clientSecret']}"),
                fields={"grant_type": "client_credentials", "scope": _SCOPE},
                encode_multipart=False,
            )
            if answer.status != 200:
                raise ApiUnavailable(f"the token endpoint answered {answer.status}")
            granted = answer.json()
            self._token, self._lifetime = granted["access_token"], granted["expires_in"]
            self._age.restart()
        return self._token

    def _request(self, method: str, url: str, **request: Any) -> urllib3.BaseHTTPResponse:
        try:
            return self._http.request(method, url, **request)
        except urllib3.exceptions.HTTPError as error:
            raise ApiUnavailable(type(error).__name__) from error  # its text would show the address


def connect() -> OrderLookup:
    """Return the lookup with the settings of this function."""
    return OrderLookup(
        aws.client("secretsmanager"),
        api_url=settings.text("API_URL"),
        token_url=settings.text("TOKEN_URL"),
        secret_id=settings.text("CLIENT_SECRET_ID"),
    )
