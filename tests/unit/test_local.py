"""The local stack's surroundings: what an earlier run has left, and proxies."""

import http.server
import os
import socket
import tempfile
import threading
from pathlib import Path

import psutil
import pytest

from dev.local import records
from dev.local.records import Record
from dev.local.stack import LocalStack, LocalStackError, running, variables_of

PORT = 4599


@pytest.fixture
def state(monkeypatch, tmp_path):
    """The folder of the records."""
    monkeypatch.setattr(records, "STATE", tmp_path)
    return tmp_path


@pytest.fixture
def leave(state):
    """Leave what a killed run leaves; return its record."""
    parent = psutil.Process(os.getppid())

    def write(port=PORT, **values):
        temporary = Path(tempfile.mkdtemp(prefix=records.FOLDER_PREFIX, dir=state))
        left = Record(
            pid=2**22, owner=parent.pid, begun=parent.create_time(), temporary=temporary, variables={"A": "1"}
        )
        records.write(port, left.model_copy(update=values))
        return records.read(port)

    return write


def test_a_stack_whose_owner_lives_is_left_alone(leave):
    left = leave()
    with pytest.raises(LocalStackError, match=r"still running on port 4599\. .*: PORT=46\d\d$"), running(PORT):
        pass
    assert records.read(PORT) == left
    assert left.temporary.exists()
    assert variables_of(PORT) == {"A": "1"}


@pytest.mark.parametrize("values", [{"begun": 1.0}, {"owner": 2**22}], ids=["another has its number", "it is gone"])
def test_a_stack_whose_owner_is_gone_is_removed_on_every_port(leave, state, values):
    # GIVEN killed runs, whose MiniStack is gone as well
    left = [leave(port, **values) for port in (PORT, PORT + 1)]
    # WHEN a run starts on any port, THEN their records and folders are removed
    records.end_abandoned()
    assert not any(record.temporary.exists() for record in left)
    assert not list(state.iterdir())


def test_only_a_stacks_own_folder_is_removed(leave, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    leave(owner=2**22, temporary=other)
    records.end_abandoned()
    assert records.read(PORT) is None
    assert other.exists()


@pytest.mark.parametrize("content", ["", '{"pid": 12, "own', "[]", '{"pid": "no"}', "\x00" * 40], ids=repr)
def test_an_unreadable_record_is_reported_and_ignored(state, caplog, content):
    # GIVEN what a crash or a full disk leaves
    file = state / f"stack-{PORT}.json"
    file.write_text(content)
    # WHEN it is read, THEN that is as without a record, and the log says so
    assert variables_of(PORT) == {}
    assert f"{file} can't be read, so it is ignored." in caplog.text
    # AND the next run removes it
    records.end_abandoned()
    assert not file.exists()


def test_a_record_is_replaced_as_a_whole(leave, state):
    old = leave()
    with (state / f"stack-{PORT}.json").open() as reading:
        # WHEN a record is replaced while another process reads it
        new = leave(owner=2**22)
        # THEN that process reads the old one, and the next one the new one
        assert Record.model_validate_json(reading.read()) == old
    assert records.read(PORT) == new
    assert [file.name for file in state.glob("stack-*")] == [f"stack-{PORT}.json"]


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
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        # THEN the stack answers all the same, and what else was spared still is
        stack = LocalStack(server.server_port)
        assert stack.is_up()
        assert stack.environment["no_proxy"] == stack.environment["NO_PROXY"] == "example.com,127.0.0.1,localhost"
        server.shutdown()
