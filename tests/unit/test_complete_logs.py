"""The local stack logs all lines of an invocation with it, however late they come."""

import queue
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from dev.local.emulator import complete_logs

# As MiniStack's: it says that it is ready, and answers each line with a line.
SCRIPT = """
import sys
answers, sys.stdout = sys.stdout, sys.stderr
print("imported")
answers.write("ready\\n")
answers.flush()
for line in sys.stdin:
    for n in range(int(line)):
        print("line", n)
    answers.write("answer\\n")
    answers.flush()
"""


class Worker:
    def __init__(self, script, pause=0.0, runtime="python3.13"):
        self.config = {"Runtime": runtime}
        self._pause = pause
        self._stderr_queue = queue.Queue()
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self._proc = subprocess.Popen([sys.executable, "-c", script], text=True, **pipes)
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        assert self._proc.stdout.readline() == "ready\n"

    def _read(self):
        for line in self._proc.stderr:
            time.sleep(self._pause)
            self._stderr_queue.put(line.rstrip("\n"))

    def _drain_stderr_bounded(self, first_line_wait=0.05):
        return f"bounded {first_line_wait}"

    def send(self, lines):
        self._proc.stdin.write(f"{lines}\n")
        self._proc.stdin.flush()
        return self._proc.stdout.readline()

    def end(self):
        self._proc.kill()
        self.reader.join()
        self._proc.communicate()


@pytest.fixture
def start():
    """Start a worker as MiniStack does."""
    started = []

    def start(**options):
        runtime = SimpleNamespace(Worker=type("Worker", (Worker,), {}), _PYTHON_WORKER_SCRIPT=SCRIPT)
        complete_logs(runtime)
        started.append(runtime.Worker(runtime._PYTHON_WORKER_SCRIPT, **options))
        return started[-1]

    yield start
    for worker in started:
        worker.end()


def test_each_invocation_has_its_own_lines(start):
    worker = start(pause=0.02)

    found = []
    for lines in (2, 0, 1):
        assert worker.send(lines) == "answer\n"
        found.append(worker._drain_stderr_bounded())

    assert found == ["imported\nline 0\nline 1", "", "line 0"]


def test_the_last_lines_of_a_process_that_was_killed_are_logged(start):
    worker = start()
    worker._stderr_queue.put("the last")
    worker._proc.kill()
    worker._proc.wait()

    assert "the last" in worker._drain_stderr_bounded()


def test_functions_in_other_languages_are_waited_for_as_before(start):
    assert start(runtime="nodejs24.x")._drain_stderr_bounded(first_line_wait=0.1) == "bounded 0.1"
