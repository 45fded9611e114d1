"""The sweeper: once a minute, it finishes what crashes, a dead bus or a silent provider left pending."""

from handoff.startup import ready

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from handoff import aws, bus
from handoff.clock import now_ms
from handoff.sweep import Sweep, Swept, run_together
from handoff.telemetry import MetricUnit, flush_metrics, logger, metrics
from shop import order_store, payments, settings, shipment_store
from shop.customers import CustomerStore
from shop.erasing import CustomerEraser, OrderEraser
from shop.event_cursor import EventCursor
from shop.event_poller import EventPoller
from shop.finishing import OrderFinisher
from shop.retention import Retention
from shop.retention_cursor import RetentionCursor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_lambda_powertools.utilities.typing import LambdaContext

_settings = settings.load()
_dynamodb = aws.client("dynamodb")
_orders = order_store.connect(_dynamodb, _settings)
_shipments = shipment_store.connect(_dynamodb, _settings)
_customers = CustomerStore(_dynamodb, _settings.customers_table, _settings.unfinished_shards)
_payments = payments.connect(_settings.payment_provider, _settings.sandbox_table)
_cursor = EventCursor(_dynamodb, _settings.limits_table)
_retention_cursor = RetentionCursor(_dynamodb, _settings.limits_table)
_order_days = settings.count("ORDER_DAYS")
_threads = int(settings.number("SWEEPER_THREADS"))
_bus = bus.connect_patiently(_settings.bus_name)
_MOST_LOGGED = 20  # orders that are not packed in time, by run


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, int]:
    """Sweep every shard once; return the counts."""
    poller = EventPoller(_payments, _cursor, _bus)
    retention = Retention(_orders, OrderEraser(_orders, _shipments), _retention_cursor, _order_days)
    shards = range(_settings.unfinished_shards)
    parts = [_Part() for _ in range(min(_threads, len(shards)))]
    try:
        # In any order, so that no shard is always last when there is more work than time.
        run_together([part.sweep for part in parts], random.sample(shards, len(shards)))
        oldest = max(part.sweep.oldest_age for part in parts)
        metrics.add_metric("UnfinishedAge", MetricUnit.Seconds, oldest)  # known once all shards were read
        parts[0].finisher.expiring += _not_packed_in_time()
        _poll(poller)
        _retain(retention)
        report = _report(parts, poller, retention)
        logger.info("sweep finished", extra=report)
        return report
    finally:
        for name, count in _report(parts, poller, retention).items():
            metrics.add_metric(name, MetricUnit.Count, count)
        flush_metrics()


class _Part:
    """The part of a run that one thread does, with its own counts and budgets."""

    def __init__(self) -> None:
        self.finisher = OrderFinisher(_orders, _payments, _bus)
        self.eraser = CustomerEraser(_customers, _orders, OrderEraser(_orders, _shipments), _bus)
        self.sweep = Sweep([Swept(_orders, self.finisher.finish), Swept(_customers, self.eraser.finish)], _bus)


def _poll(poller: EventPoller) -> None:
    """Publish what has happened at the provider. It comes last, because its delay is a matter of minutes anyway.

    If the cursor cannot be read, that is logged and a later run tries again.
    """
    try:
        poller.run()
    except aws.ERRORS as error:
        poller.failed += 1
        logger.warning("provider's events not read", reason=aws.failure_reason(error), exc_info=error)
    if poller.age is not None:
        metrics.add_metric("PaymentEventsAge", MetricUnit.Seconds, poller.age)


def _not_packed_in_time() -> int:
    """Return how many open shipments are past half the life of their holds, and log the oldest.

    If they cannot be read, that is logged and the next run tries again: it must not hold up events and payments.
    """
    try:
        overdue = _shipments.overdue(now_ms())
    except aws.ERRORS as error:
        logger.warning("open shipments not read", reason=aws.failure_reason(error), exc_info=error)
        return 0
    for order_id in overdue[:_MOST_LOGGED]:
        logger.error("payment hold past half its life and not packed", order_id=order_id)
    return len(overdue)


def _retain(retention: Retention) -> None:
    """Erase old orders. If the position of the pass cannot be read, that is logged and a later run tries again."""
    try:
        retention.run()
    except aws.ERRORS as error:
        retention.failed += 1
        logger.warning("old orders not read", reason=aws.failure_reason(error), exc_info=error)


def _report(parts: "Sequence[_Part]", poller: EventPoller, retention: Retention) -> dict[str, int]:
    """Return the counts by the names of their metrics."""
    finished = Counter[str]()
    for part in parts:
        finished.update(part.finisher.report())
    return {
        "EventsSwept": sum(part.sweep.published for part in parts),
        **finished,
        "PaymentEventsPolled": poller.published,
        "CustomersErased": sum(part.eraser.erased for part in parts),
        "OrdersErased": retention.erased,
        "SweepFailures": sum(part.sweep.failed for part in parts) + poller.failed + retention.failed,
    }


ready()
