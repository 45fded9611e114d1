"""The garbage collector during a cold start. Import this module first in a function's module, and call `ready` last.

What a function imports lives as long as its process, so a collection during the imports finds no garbage, and each
full one looks through all that was imported so far. Only function modules import this module: a process that does more
than wait for invocations, such as the operator's command, needs its collector.
"""

import gc

gc.disable()
_frozen = False


def ready() -> None:
    """Start the collector, and leave all that was imported out of every collection. Later calls do nothing.

    Tests import many functions into one process, and a second freeze would keep the garbage of all tests before it.
    """
    global _frozen  # noqa: PLW0603
    # gc.get_freeze_count() says the same, but walks through all objects: 40 ms in each of the tests' cold starts.
    if not _frozen:
        gc.freeze()
        _frozen = True
    gc.enable()
