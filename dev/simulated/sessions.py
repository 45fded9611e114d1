"""Sessions of the AWS SDK whose requests go to a function instead of the network."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import boto3
from botocore.awsrequest import AWSResponse
from botocore.session import Session
from moto.core.models import botocore_stubber

from handoff import sdk_data


def sending_to(send: Callable[..., AWSResponse]) -> Session:
    """Return a session whose requests are answered by ``send``, a handler of botocore's event ``before-send``."""
    session = sdk_data.new_session()
    handlers: Any = session.get_component("event_emitter")  # its stubs know no handler that returns a response
    handlers.unregister("before-send", botocore_stubber)
    handlers.register("before-send", send)
    return session


@contextmanager
def used(session: Session) -> Iterator[None]:
    """Let functions, and code that calls boto3 without a session, use this one while the context lasts."""
    with (
        patch("handoff.sdk_data.session", lambda: session),
        patch("boto3.DEFAULT_SESSION", boto3.Session(botocore_session=session)),
    ):
        yield
