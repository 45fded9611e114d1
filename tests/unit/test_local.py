"""The local stack's surroundings: what an earlier run has left, and proxies."""

import http.server
import json
import os
import socket
import threading

import psutil
import pytest

from dev.local import stack as local
from dev.local.stack import LocalStack, LocalStackError, running

PORT = 4599


@pytest.fixture
def leave(monkeypatch, tmp_path):
    """Leaves what a run leaves that was killed, and returns where."""
    monkeypatch.setattr(local, "_STATE", tmp_path)
    parent = psutil.Process(os.getppid())

    def write(**values):
        file = tmp_path / f"stack-{PORT}.json"
        left = {"pid": 2**22, "owner": parent.pid, "begun": parent.create_time(), "temporary": str(tmp_path)}
        file.write_text(json.dumps(left | values))
        return file

    return write


def test_a_stack_whose_owner_lives_is_left_alone(leave):
    file = leave()
    with pytest.raises(LocalStackError, match=r"still running on port 4599\. .*: PORT=46\d\d$"):
        local._end_leftover(PORT)
    assert file.exists()


@pytest.mark.parametrize("values", [{"begun": 1.0}, {"owner": 2**22}], ids=["another has its number", "it is gone"])
def test_a_stack_whose_owner_is_gone_is_cleared_away(leave, values):
    file = leave(**values)
    local._end_leftover(PORT)
    assert not file.exists()


def test_a_port_in_use_is_answered_with_a_free_one():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LocalStackError, match=rf"Port {port} is in use") as refused, running(port):
            pass
    advised = int(str(refused.value).rpartition("PORT=")[2])
    assert advised > port
    with socket.create_server(("127.0.0.1", advised)):
        pass


class Healthy(http.server.BaseHTTPRequestHandler):
    """Says that it is well."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


def test_the_local_stack_is_reached_past_a_proxy(monkeypatch):
    # GIVEN a proxy that is not there, for all but one host
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.com")
    monkeypatch.setenv("no_proxy", "")
    with http.server.HTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # THEN the stack answers all the same, and what else was spared still is
        stack = LocalStack(server.server_port)
        assert stack.is_up()
        assert stack.environment["no_proxy"] == stack.environment["NO_PROXY"] == "example.com,127.0.0.1,localhost"
        server.shutdown()
