"""Connections that died while Lambda had frozen the environment.

Lambda freezes an environment between two invocations. Peers and gateways close idle connections meanwhile, and the
first request after the thaw is reset, or gets no answer at all. Reports:

- https://github.com/aws/aws-sdk-js-v3/issues/1196
- https://github.com/stripe/stripe-node/issues/1040
- https://github.com/DataDog/datadog-lambda-extension/pull/1248
- https://github.com/ConductorOne/baton-sdk/pull/1007
"""

import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ConnectionClosedError, SSLError

from handoff.clock import Stopwatch

if TYPE_CHECKING:
    from botocore.client import BaseClient

# Seconds that an unused connection is trusted. AWS documents no idle timeout of its services. Seen were 20 s (S3), 60 s
# (DynamoDB), and less than 90 s (EventBridge, SNS). A NAT gateway forgets a connection after 350 s.
# https://github.com/vectordotdev/vector/pull/9703, https://github.com/aws/aws-sdk-java/issues/1365,
# https://github.com/aws/aws-sdk-go-v2/issues/3423,
# https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-troubleshooting.html
TRUSTED_FOR = 20.0
# Seconds in which a dead connection is reset: one round trip. One that ends later may have had a slow request.
RESET_WITHIN = 0.2
# The end of a connection in place of an answer. Which of them TLS raises depends on when the reset arrives.
CLOSED = (ConnectionClosedError, SSLError)


def survive_freezes(client: "BaseClient") -> None:
    """Make a client drop connections that may be dead and, with one try, repeat what a reused connection resets.

    The retry follows only a reset within `RESET_WITHIN` seconds that came in place of an answer. So it adds at most
    `RESET_WITHIN` to the longest duration of a single try: a reused connection needs no time to connect. A peer that
    had done the request before it closed the connection does it twice, as it does with every other retry. Clients with
    more tries leave the retry to botocore, whose handler answers first.
    """
    connection = _Connection(client)
    events: Any = client.meta.events  # its stubs know no handler that returns a value
    events.register_first("before-send", connection.before_send)
    events.register("response-received", connection.response_received)
    events.register("needs-retry", connection.needs_retry)


class _Connection:
    """The connection that a client keeps, by botocore's events of each try.

    A function sends one request at a time. Stripe's adapter reads its key in a thread that it may leave behind: the
    worst that two threads cause here is one retry too many or too few. `close` does not affect requests that are on
    their way: https://urllib3.readthedocs.io/en/stable/reference/urllib3.poolmanager.html#urllib3.PoolManager.clear
    """

    def __init__(self, client: "BaseClient") -> None:
        self._client = client
        self._unused = Stopwatch()
        self._is_kept = False
        self._is_reused = False
        self._sent_at = 0.0

    def before_send(self, **_: object) -> None:
        """Drop the connection if it was not used for too long."""
        if self._unused.seconds() > TRUSTED_FOR:
            self._client.close()  # the next request connects again
            self._is_kept = False
        self._is_reused = self._is_kept
        self._sent_at = time.monotonic()  # the environment is not frozen while it waits for an answer

    def response_received(self, exception: Exception | None, **_: object) -> None:
        """Note that the connection is kept, unless it failed."""
        self._is_kept = exception is None
        self._unused.restart()

    def needs_retry(self, attempts: int, caught_exception: Exception | None, **_: Any) -> float | None:
        """Return the pause before a retry in seconds, or None for no retry. The retry's connection is a new one."""
        died = self._is_reused and isinstance(caught_exception, CLOSED)
        at_once = attempts == 1 and time.monotonic() - self._sent_at <= RESET_WITHIN
        return 0.0 if died and at_once else None
