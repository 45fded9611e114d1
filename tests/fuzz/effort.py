"""The number of examples: many random ones in `make fuzz`; few and always the same ones if pytest is run directly."""

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
fuzzed_slowly = _tries(100, 10)  # for tests on a simulated world, which are slow
