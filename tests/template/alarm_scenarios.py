"""Days in the life of a deployment: a good one, and for each alarm a bad one on which it has to go off.

Faults are injected on the wire. What no engine here does - EventBridge that can't deliver, Lambda that has no execution
left - is published as AWS would.
"""

from collections.abc import Callable
from functools import partial

from dev.simulated import wire
from dev.simulated.messages import replayed
from dev.simulated.wire import Call
from dev.simulated.world import TEE
from dev.template import Template
from tests.support.cloudwatch import Metric
from tests.support.monitored_stack import MINUTE, SWEEPER, MonitoredStack
from tests.template import aws_metric_catalog

BadDay = Callable[[MonitoredStack], None]
FULFILLMENT = "FulfillmentFunction"
HOUR = 60 * MINUTE
WEEK = 7 * 24 * HOUR
_BROKEN = wire.refuse("InternalServerError", 500)


def good(monitored: MonitoredStack) -> None:
    """Three quarters of an hour in a small shop, with what is no reason to wake anybody."""
    happens = _ordinary(monitored)
    for minute in range(45):
        happens[minute // 5]() if minute % 5 == 0 else monitored.order()
        monitored.minute()


def everything(monitored: MonitoredStack) -> None:
    """What happens in a good hour, and everything else that is counted."""
    world = monitored.world
    for happens in _ordinary(monitored):
        monitored.feed()
        happens()
        monitored.minute()
    monitored.order(shippingAddress={})
    _capture_is_refused(monitored)
    cancelled = monitored.order().json["orderId"]
    monitored.request("POST", f"/orders/{cancelled}/cancel")
    placed = next(event for event in world.events() if event["DetailType"] == "order_placed")
    for function in world.queues.names:
        world.wire.always("dynamodb.*", _BROKEN, where=_called_by(monitored, function))
        monitored.feed()
        monitored.minute([function])
        world.wire.heal()
        world.queues.send(function, "not an event")
        world.queues.send(function, replayed(placed))
    monitored.minute()
    order_id = placed["Detail"]["data"]["orderId"]
    world.change("OrdersTable", {"orderId": order_id}, status="?")  # no code of ours does this
    monitored.order("key-1")
    monitored.minute()


def _ordinary(monitored: MonitoredStack) -> list[Callable[[], object]]:
    """What happens to any shop, and mends itself."""
    world = monitored.world
    world.stock(TEE, available=1)
    return [
        monitored.feed,
        lambda: monitored.order(token="tok_decline"),
        lambda: monitored.order(lines=[{"sku": TEE, "quantity": 2}]),
        lambda: monitored.order("key-1"),
        lambda: monitored.request("POST", f"/orders/{monitored.order().json['orderId']}/cancel"),
        lambda: world.wire.on("eventbridge.PutEvents", wire.cannot_connect),
        lambda: world.wire.on("sesv2.SendEmail", wire.refuse("TooManyRequestsException", 429)),
        lambda: world.wire.on("dynamodb.*", wire.cannot_connect, times=2, where=world.to_provider),
        monitored.feed,
    ]


def tries_fail(monitored: MonitoredStack) -> None:
    """An event fails, and at the turn of the minute it fails again."""
    monitored.world.wire.on("sesv2.SendEmail", wire.refuse("TooManyRequestsException", 429), times=2)
    monitored.order()
    monitored.world.queues.deliver("EmailsFunction")
    monitored.publish()
    monitored.minute()


def answers_are_slow(monitored: MonitoredStack) -> None:
    """Some seconds of a slow provider, and an order before and after the turn of the minute."""
    slow = wire.meanwhile(lambda: monitored.clock.forward(3.5))
    for _ in range(2):
        monitored.world.wire.on("dynamodb.*", slow, where=monitored.world.to_provider)
        monitored.order()
        monitored.minute()


def events_are_late(monitored: MonitoredStack) -> None:
    """Nobody consumes for a minute, and two events are late, before and after the turn of the minute."""
    monitored.order()
    monitored.order()
    monitored.clock.forward(65)
    for function in monitored.world.queues.names:
        monitored.world.queues.hand_over(function, monitored.world.queues.receive(function, most=1))
    monitored.publish()
    monitored.minute()


def bad(template: Template) -> dict[str, list[BadDay]]:
    """For every alarm the days that have to raise it, each by itself."""
    days: dict[str, list[BadDay]] = {
        "ApiErrorsAlarm": [_the_provider_is_gone],
        "ApiLatencyAlarm": [_the_provider_is_slow],
        "OrdersThrottledAlarm": [_requests_find_no_execution],
        "SweeperErrorsAlarm": [_the_index_can_not_be_read],
        "UnfinishedAgeAlarm": [_the_bus_is_dead, silence],
        "PaymentsStuckAlarm": [_a_payment_is_never_answered_for],
        "HoldsExpiringAlarm": [_a_capture_is_never_answered_for],
        "CaptureRefusedAlarm": [_capture_is_refused],
        "SettlementRefusedAlarm": [_void_is_refused],
        "UndeliveredAlarm": [partial(_eventbridge_can_not_deliver, queue="UndeliveredQueue")],
        "PartnerDeadLettersAlarm": [partial(_eventbridge_can_not_deliver, queue="PartnerDeadLetters")],
        "AuditLostAlarm": [partial(_eventbridge_loses_an_event, template, "AuditRule")],
        "PartnerLostAlarm": [partial(_eventbridge_loses_an_event, template, "PartnerRule")],
    }
    for consumer in template.consumers():
        name, function = consumer.queue_id.removesuffix("Queue"), consumer.function_id
        days[f"{name}DeadLettersAlarm"] = [partial(_a_message_is_no_event, function=function)]
        days[f"{name}ErrorsAlarm"] = [partial(_all_that_it_calls_fails, function=function)]
        days[f"{name}OldestAlarm"] = [_nobody_consumes]
        days[f"{name}LagAlarm"] = [partial(_it_comes_late, function=function)]
        days[f"{name}LostAlarm"] = [partial(_eventbridge_loses_an_event, template, f"{name}Rule")]
    return days


# --- consumers --------------------------------------------------------------------------------------------------------


def _a_message_is_no_event(monitored: MonitoredStack, function: str) -> None:
    monitored.world.queues.send(function, "not an event")
    for _ in range(3):
        monitored.minute([function])


def _all_that_it_calls_fails(monitored: MonitoredStack, function: str) -> None:
    """A quiet shop: something happens once, and fails again and again."""
    monitored.world.wire.always("dynamodb.*", _BROKEN, where=_called_by(monitored, function))
    monitored.feed()
    for _ in range(25):
        monitored.minute([function])


def _nobody_consumes(monitored: MonitoredStack) -> None:
    """A deployment has disabled the event sources: nothing fails, and nothing is late, for nothing is done."""
    monitored.feed()
    for _ in range(25):
        monitored.minute([SWEEPER])


def _it_comes_late(monitored: MonitoredStack, function: str) -> None:
    """A backlog: something happens once a minute, and is done two minutes later."""
    for _ in range(5):
        monitored.feed()
        monitored.minute([])
        monitored.minute([])
        monitored.minute([function])


# --- the API ----------------------------------------------------------------------------------------------------------


def _the_provider_is_gone(monitored: MonitoredStack) -> None:
    monitored.world.wire.always("dynamodb.*", wire.cannot_connect, where=monitored.world.to_provider)
    for _ in range(10):
        monitored.order()
        monitored.minute([])


def _the_provider_is_slow(monitored: MonitoredStack) -> None:
    """One order in five minutes, and all of them slow."""
    slow = wire.meanwhile(lambda: monitored.clock.forward(3.5))
    monitored.world.wire.always("dynamodb.*", slow, where=monitored.world.to_provider)
    for minute in range(15):
        if minute % 5 == 0:
            monitored.order()
        monitored.minute([])


def _requests_find_no_execution(monitored: MonitoredStack) -> None:
    for _ in range(10):
        monitored.refuse()
        monitored.minute([])


# --- the sweeper, and payments ----------------------------------------------------------------------------------------


def _the_index_can_not_be_read(monitored: MonitoredStack) -> None:
    monitored.world.wire.always("dynamodb.Query", wire.refuse("AccessDeniedException"))
    for _ in range(10):
        monitored.minute([SWEEPER])


def _the_bus_is_dead(monitored: MonitoredStack) -> None:
    monitored.world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
    monitored.order()
    for _ in range(25):
        monitored.minute([SWEEPER])


def silence(monitored: MonitoredStack) -> None:
    """The sweeper does not run any more."""
    for _ in range(5):
        monitored.minute([SWEEPER])
    for _ in range(25):
        monitored.minute([])


def _a_payment_is_never_answered_for(monitored: MonitoredStack) -> None:
    """An order is cancelled, and its payment can't be voided for a day."""
    monitored.request("POST", f"/orders/{monitored.order().json['orderId']}/cancel")
    monitored.world.wire.always("dynamodb.TransactWriteItems", wire.lose_request, where=monitored.world.to_provider)
    monitored.clock.forward(23 * HOUR)
    for _ in range(10):
        monitored.minute([SWEEPER])


def _a_capture_is_never_answered_for(monitored: MonitoredStack) -> None:
    """A packed order's hold lasts a week, and half of it passes."""
    order_id = monitored.order().json["orderId"]
    payment = monitored.world.order(order_id)["payment"] | {"expiresAt": monitored.clock.ms + WEEK * 1000}
    monitored.world.change("OrdersTable", {"orderId": order_id}, payment=payment)
    monitored.world.wire.always("dynamodb.TransactWriteItems", wire.lose_request, where=monitored.world.to_provider)
    monitored.minute([FULFILLMENT])
    monitored.clock.forward(WEEK / 2)
    for _ in range(10):
        monitored.minute([SWEEPER])


def _capture_is_refused(monitored: MonitoredStack) -> None:
    """The hold of an order that is packed is gone."""
    order_id = monitored.order().json["orderId"]
    monitored.world.change("SandboxTable", {"key": f"{order_id}:authorise"}, state="void")
    for _ in range(5):
        monitored.minute([FULFILLMENT])


def _void_is_refused(monitored: MonitoredStack) -> None:
    """Somebody has captured the payment of an order that is cancelled, and only the sweeper gets to it."""
    order_id = monitored.order().json["orderId"]
    monitored.request("POST", f"/orders/{order_id}/cancel")
    monitored.world.change("SandboxTable", {"key": f"{order_id}:authorise"}, state="capture")
    for _ in range(10):
        monitored.minute([SWEEPER])


def _eventbridge_can_not_deliver(monitored: MonitoredStack, queue: str) -> None:
    metric = Metric.of("AWS/SQS", "ApproximateNumberOfMessagesVisible", QueueName=f"${{{queue}.QueueName}}")
    for _ in range(3):
        monitored.minute([])
        monitored.cloudwatch.put(metric, monitored.clock.ms - 1, 1)


def _eventbridge_loses_an_event(template: Template, rule: str, monitored: MonitoredStack) -> None:
    """Neither its target takes it, nor the queue of what is not delivered."""
    bus = template.resources[rule]["Properties"]["EventBusName"]
    dimension = {} if bus == "default" else {"EventBusName": bus}
    name = f"${{{rule}.Arn}}[{aws_metric_catalog.parts_before_name(template, rule)}]"
    metric = Metric.of("AWS/Events", "InvocationsFailedToBeSentToDlq", **dimension, RuleName=name)
    for _ in range(3):
        monitored.minute([])
        monitored.cloudwatch.put(metric, monitored.clock.ms - 1, 1)


def _called_by(monitored: MonitoredStack, function: str) -> Callable[[Call], bool]:
    return lambda _call: monitored.world.functions.running[-1:] == [function]
