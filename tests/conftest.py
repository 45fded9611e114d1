"""What all tests share."""

import os

import pytest
from pytest_socket import socket_allow_hosts

from support import template

# Powertools reads these when it is imported.
for name, value in template.plain_variables().items():
    os.environ.setdefault(name, value)


@pytest.fixture(autouse=True)
def _closed_sockets():
    """Nothing leaves this machine."""
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)
