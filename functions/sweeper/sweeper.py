"""The sweeper: each minute, it finishes whatever a crash, a dead bus or a silent provider left half done."""

import random
from typing import TYPE_CHECKING, Any

import boto3

from handoff import aws, bus
from handoff.telemetry import MetricUnit, flush_metrics, logger, metrics
from shop import order_store, payments, settings
from shop.customers import CustomerStore
from shop.sweeping import Sweep

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_settings = settings.load()
_dynamodb = boto3.client("dynamodb", config=aws.config())
_orders = order_store.connect(_dynamodb, _settings)
_customers = CustomerStore(_dynamodb, _settings.customers_table, _settings.unfinished_shards)
_payments = payments.connect(_settings.payment_provider, _settings.sandbox_table)
_bus = bus.connect_patiently(_settings.bus_name)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, int]:
    """Look at every shard once; returns what was done."""
    sweep = Sweep(_orders, _customers, _payments, _bus)
    shards = range(_settings.unfinished_shards)
    try:
        sweep.run(random.sample(shards, len(shards)))  # none is always last, when there is more to do than time
        metrics.add_metric("UnfinishedAge", MetricUnit.Seconds, sweep.oldest_age)  # known once all was looked at
        report = sweep.report()
        logger.info("sweep finished", extra=report)
        return report
    finally:
        for name, count in sweep.report().items():
            metrics.add_metric(name, MetricUnit.Count, count)
        flush_metrics()
