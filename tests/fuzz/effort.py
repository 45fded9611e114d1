"""How much is tried: a little and always the same in `make test`, a lot and each time something else in `make fuzz`."""

import os

from hypothesis import HealthCheck, settings

_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))


def _tries(few: int, share: int) -> settings:
    return settings(
        max_examples=_EXAMPLES // share or few,
        derandomize=not _EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


fuzzed = _tries(400, 1)
fuzzed_slowly = _tries(100, 10)  # in a world, which takes its time
