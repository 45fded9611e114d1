"""The partner's endpoint: one HTTPS URL. Its host's addresses are checked, and a checked address is connected to.

A name that resolves to another address between the check and the connection (DNS rebinding) has no effect, because the
name is not resolved again. TLS still names the host (SNI) and checks the certificate against it.
"""

import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from urllib3 import HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from handoff.clock import Deadline, now_ms
from handoff.errors import RetryLater

CONNECTING = 3.0  # seconds to connect to one address
LONGEST_ATTEMPT = 15.0  # seconds from the lookup of the name to the status line; the specification wants 15 to 30 s
_MOST_ADDRESSES = 3  # that are tried one after another
# IPv6 addresses that stand for an IPv4 address: compatible, mapped, NAT64 (two) and 6to4. A partner needs none of them.
_CARRYING_IPV4 = [
    ipaddress.IPv6Network(network)
    for network in ("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")
]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Answer:
    """The partner's answer: its status, and the pause in seconds that it asks for, 0 if none."""

    status: int
    retry_after: float


class Endpoint:
    """Posts to one URL. Redirects are not followed, proxies are not used, and no body of an answer is read."""

    def __init__(self, url: str, tls: ssl.SSLContext, *, is_allowed: Callable[[Address], bool]) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or ""
        self._port = parts.port or 443
        self._named = parts.netloc  # as the Host header
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._tls = tls
        self._is_allowed = is_allowed
        self._workers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="partner")

    def post(self, body: str, headers: Mapping[str, str]) -> Answer:
        """Post a body once; take at most `LONGEST_ATTEMPT` seconds.

        The limits of sockets are for each wait, and looking up a name has none, so another thread does the work.

        Raises
        ------
        RetryLater
            If there is no answer in time, or no connection that may be used. The reason holds nothing that was sent.
        """
        deadline = Deadline(LONGEST_ATTEMPT)
        opened: list[socket.socket] = []
        work = self._workers.submit(self._post, body.encode(), headers, deadline, opened)
        try:
            return work.result(timeout=LONGEST_ATTEMPT)
        except TimeoutError:
            work.cancel()  # if earlier ones still use all threads
            for connection in opened:
                _shut_down(connection)
            raise RetryLater(_NO_ANSWER) from None

    def _post(self, body: bytes, headers: Mapping[str, str], deadline: Deadline, opened: list[socket.socket]) -> Answer:
        failure = RetryLater(_NO_ANSWER)
        for address in self._addresses()[:_MOST_ADDRESSES]:
            if deadline.remaining() <= 0:
                break
            try:
                return self._post_to(address, body, headers, opened)
            except (NewConnectionError, ConnectTimeoutError) as error:  # nothing was sent: the next address may do
                failure = RetryLater(_described(error, self.host))
            except HTTPError as error:
                raise RetryLater(_described(error, self.host)) from None  # its text shows the URL
        raise failure from None

    def _post_to(
        self, address: Address, body: bytes, headers: Mapping[str, str], opened: list[socket.socket]
    ) -> Answer:
        pool = _Pool(
            str(address), self._port, ssl_context=self._tls, server_hostname=self.host, opened=opened, maxsize=1
        )
        try:
            answer = pool.urlopen(
                "POST",
                self._target,
                body=body,
                headers={**headers, "host": self._named, "user-agent": "Handoff", "connection": "close"},
                timeout=Timeout(connect=CONNECTING, read=LONGEST_ATTEMPT),
                retries=False,
                redirect=False,
                assert_same_host=False,  # the target is a path
                preload_content=False,
            )
            answer.close()
            return Answer(answer.status, _seconds(answer.headers.get("retry-after", "")))
        finally:
            pool.close()

    def _addresses(self) -> list[Address]:
        """Return the addresses of the host. If one of them is not allowed, none is."""
        try:
            found = socket.getaddrinfo(self.host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):  # the latter for a label of more than 63 characters
            raise RetryLater(f"{self.host} cannot be resolved") from None
        addresses = list(dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in found))
        for address in addresses:
            if not self._is_allowed(address):
                raise RetryLater(f"{self.host} has the address {address}, which is not public")
        return addresses


_NO_ANSWER = f"no answer within {LONGEST_ATTEMPT:.0f} s"


class _Connection(HTTPSConnection):
    """A connection that shows its socket, so that another thread can end it."""

    def __init__(self, *arguments: Any, opened: list[socket.socket], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._opened = opened

    def connect(self) -> None:
        super().connect()
        if self.sock is not None:
            self._opened.append(self.sock)


class _Pool(HTTPSConnectionPool):
    ConnectionCls = _Connection


def is_public(address: Address) -> bool:
    """Return whether an address is reachable from the whole Internet, and is that of one host."""
    if isinstance(address, ipaddress.IPv6Address) and any(address in network for network in _CARRYING_IPV4):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def is_loopback(address: Address) -> bool:
    """Return whether an address is one of this machine's own."""
    return address.is_loopback


def connect(url: str, local_ca: str) -> Endpoint:
    """Return the endpoint at this URL: a public one, or with the file of a CA one on this machine, for tests."""
    tls = ssl.create_default_context(cafile=local_ca or None)
    return Endpoint(url, tls, is_allowed=is_loopback if local_ca else is_public)


def _shut_down(connection: socket.socket) -> None:
    """End whatever a thread waits for on a connection. TLS's own method would not stop a read in another thread."""
    try:
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        return  # it is closed already


def _described(error: HTTPError, host: str) -> str:
    """Return why a request failed, without its URL or the data that was sent."""
    match error:
        case NewConnectionError():  # before the next, of which it is a kind in some versions
            return f"no connection to {host}"
        case ConnectTimeoutError():
            return f"no connection to {host} within {CONNECTING:.0f} s"
        case ReadTimeoutError():
            return _NO_ANSWER
        case SSLError():
            cause = error.args[0] if error.args else error
            why = cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else type(cause).__name__
            return f"TLS with {host} failed: {why}"
        case ProtocolError():
            return f"{host} closed the connection without a valid answer"
        case _:
            return f"the request to {host} failed: {type(error).__name__}"


def _seconds(retry_after: str) -> float:
    """Return the pause of a Retry-After header, in seconds or as a date; 0 if there is none or it is malformed."""
    if retry_after.isdecimal() and retry_after.isascii():
        return float(retry_after[:9])
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    return max(0.0, moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now_ms() / 1000)
