"""What each library costs a cold start: the time that importing it takes a fresh process.

Run it with `.venv/bin/python -m ops.import_weight`. The statements take turns, so that a drift of the machine's speed
meets them all; ratios count, not single times.
"""

import subprocess
import sys
import time
from statistics import median

_RUNS = 7
_CLIENTS = "import boto3; [boto3.client(n, region_name='x') for n in ('dynamodb', 'events')]"
_STATEMENTS = {
    "bare interpreter": "pass",
    "boto3 and two clients": _CLIENTS,
    "... and pydantic": f"{_CLIENTS}; import pydantic; type('M', (pydantic.BaseModel,), {{}})",
    "... and Powertools' Logger, Metrics": f"{_CLIENTS}; from aws_lambda_powertools import Logger, Metrics",
    "... and Powertools' batch": f"{_CLIENTS}; import aws_lambda_powertools.utilities.batch",
    "... and Powertools' idempotency": f"{_CLIENTS}; import aws_lambda_powertools.utilities.idempotency",
    "... and Powertools' HTTP resolver": f"{_CLIENTS}; from aws_lambda_powertools.event_handler import "
    "APIGatewayHttpResolver",
    "... and stripe": f"{_CLIENTS}; import stripe; stripe.StripeClient('key').v1.payment_intents",
}


def main() -> None:
    """Print the median of each statement, in milliseconds above the bare interpreter."""
    times: dict[str, list[float]] = {name: [] for name in _STATEMENTS}
    for _ in range(_RUNS + 1):  # the first round warms the disk's cache
        for name, statement in _STATEMENTS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            times[name].append((time.perf_counter() - start) * 1000)
    bare = median(times["bare interpreter"][1:])
    for name, values in times.items():
        print(f"{median(values[1:]) - bare:7.0f} ms  {name}")  # noqa: T201


if __name__ == "__main__":
    main()
