"""The sweeper: once a minute, it publishes events that a crash or a dead bus left in an outbox."""

from handoff.startup import ready

from typing import TYPE_CHECKING, Any

from first_workflow.store import SHARDS, OrderStore
from handoff import bus, settings
from handoff.sweep import Sweep, Swept
from handoff.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_orders = OrderStore()
_bus = bus.connect_patiently(settings.text("BUS_NAME"))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, int]:
    """Sweep every shard once; return the counts."""
    sweep = Sweep([Swept(_orders)], _bus)
    sweep.run(range(SHARDS))
    return {"EventsSwept": sweep.published, "SweepFailures": sweep.failed}


ready()
