"""The sweeper: once a minute, it finishes what crashes, a dead bus or a silent provider left pending."""

import random
from typing import TYPE_CHECKING, Any

from handoff import aws, bus
from handoff.sweep import Sweep, Swept
from handoff.telemetry import MetricUnit, flush_metrics, logger, metrics
from shop import order_store, payments, settings
from shop.customers import CustomerStore
from shop.finishing import OrderFinisher

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_settings = settings.load()
_dynamodb = aws.client("dynamodb")
_orders = order_store.connect(_dynamodb, _settings)
_customers = CustomerStore(_dynamodb, _settings.customers_table, _settings.unfinished_shards)
_payments = payments.connect(_settings.payment_provider, _settings.sandbox_table)
_bus = bus.connect_patiently(_settings.bus_name)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, int]:
    """Sweep every shard once; return the counts."""
    finisher = OrderFinisher(_orders, _payments)
    sweep = Sweep([Swept(_orders, finisher.finish), Swept(_customers)], _bus)
    shards = range(_settings.unfinished_shards)
    try:
        sweep.run(random.sample(shards, len(shards)))  # no shard is always last when there is more work than time
        metrics.add_metric("UnfinishedAge", MetricUnit.Seconds, sweep.oldest_age)  # known once all shards were read
        report = _report(sweep, finisher)
        logger.info("sweep finished", extra=report)
        return report
    finally:
        for name, count in _report(sweep, finisher).items():
            metrics.add_metric(name, MetricUnit.Count, count)
        flush_metrics()


def _report(sweep: Sweep, finisher: OrderFinisher) -> dict[str, int]:
    """Return the counts by the names of their metrics."""
    return {"EventsSwept": sweep.published, **finisher.report(), "SweepFailures": sweep.failed}
