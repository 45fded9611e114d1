"""Keep the processors awake while times are measured."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_LATENCY = "/dev/cpu_dma_latency"


@contextmanager
def processors_awake() -> Iterator[bool]:
    """Let idle processors poll for work instead of sleeping; yield whether the machine allows that: Linux, as root.

    In a benchmark with few users the processors sleep between two calls, and an order would wait for them at each step.
    The kernel keeps the request as long as the file is open.
    Source: https://docs.kernel.org/power/pm_qos_interface.html
    """
    try:
        device = os.open(_LATENCY, os.O_WRONLY)
    except OSError:
        yield False
        return
    try:
        os.write(device, (0).to_bytes(4, "little"))  # microseconds that a processor may take to wake up
        yield True
    finally:
        os.close(device)
