"""One scan or redrive at a time, for all pages: each hides its messages from the others."""

import asyncio
import threading
from collections.abc import Callable

from nicegui import background_tasks, run

from ops.console.redrive_job import RedriveJob
from ops.console.scan import Result, Stopped


class Coordinator:
    """Runs scans one after the other, and the redrive in progress."""

    def __init__(self) -> None:
        self.job: RedriveJob | None = None  # in progress
        self._free = asyncio.Lock()  # pages that wait for it block no thread
        self._closed = threading.Event()

    async def scan(self, read: Callable[[Stopped], Result]) -> Result | None:
        """Call ``read`` in a thread once the queues are free. It must end when its argument returns true.

        Return None if the console shuts down meanwhile.
        """
        async with self._free:
            result = await run.io_bound(read, self._closed.is_set)
            return None if self._closed.is_set() else result

    def begin(self, job: RedriveJob) -> None:
        """Start a redrive. It continues when its page is closed, and every page can stop it."""
        self.job = job
        background_tasks.create(self._run(job), name="redrive")

    async def _run(self, job: RedriveJob) -> None:
        try:
            async with self._free:
                await run.io_bound(job.run)
        finally:
            self.job = None

    def close(self) -> None:
        """Stop the scan or redrive in progress: the process cannot exit before its threads."""
        self._closed.set()
        if self.job:
            self.job.stop()


coordinator = Coordinator()
