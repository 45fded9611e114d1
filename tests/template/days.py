"""Days in the life of a deployment: a good one, and for each alarm a bad one on which it has to go off.

Faults are injected on the wire. What no engine here does - EventBridge that can't deliver, Lambda that has no execution
left - is published as AWS would.
"""

from collections.abc import Callable
from functools import partial

from tests.support import wire
from tests.support.cloudwatch import Metric
from tests.support.day import MINUTE, SWEEPER, Day
from tests.support.messages import replayed
from tests.support.wire import Call
from tests.support.world import TEE
from tests.template import known
from tests.template.translated import Consumer, Stack, named

BadDay = Callable[[Day], None]
FULFILLMENT = "FulfillmentFunction"
HOUR = 60 * MINUTE
WEEK = 7 * 24 * HOUR
_BROKEN = wire.refuse("InternalServerError", 500)


def good(day: Day) -> None:
    """Three quarters of an hour in a small shop, with what is no reason to wake anybody."""
    happens = _ordinary(day)
    for minute in range(45):
        happens[minute // 5]() if minute % 5 == 0 else day.order()
        day.minute()


def everything(day: Day) -> None:
    """What happens on a good day, and all else that is counted."""
    world = day.world
    for happens in _ordinary(day):
        day.feed()
        happens()
        day.minute()
    day.order(shippingAddress={})
    _capture_is_refused(day)
    cancelled = day.order().json["orderId"]
    day.request("POST", f"/orders/{cancelled}/cancel")
    placed = next(event for event in world.events() if event["DetailType"] == "order_placed")
    for function in world.queues.names:
        world.wire.always("dynamodb.*", _BROKEN, where=_called_by(day, function))
        day.feed()
        day.minute([function])
        world.wire.heal()
        world.queues.send(function, "not an event")
        world.queues.send(function, replayed(placed))
    day.minute()
    world.change(
        "OrdersTable", {"orderId": placed["Detail"]["data"]["orderId"]}, status="?"
    )  # no code of ours does this
    day.order("key-1")
    day.minute()


def _ordinary(day: Day) -> list[Callable[[], object]]:
    """What happens to any shop, and mends itself."""
    world = day.world
    world.stock(TEE, available=1)
    return [
        day.feed,
        lambda: day.order(token="tok_decline"),
        lambda: day.order(lines=[{"sku": TEE, "quantity": 2}]),
        lambda: day.order("key-1"),
        lambda: day.request("POST", f"/orders/{day.order().json['orderId']}/cancel"),
        lambda: world.wire.on("eventbridge.PutEvents", wire.cannot_connect),
        lambda: world.wire.on("sesv2.SendEmail", wire.refuse("TooManyRequestsException", 429)),
        lambda: world.wire.on("dynamodb.*", wire.cannot_connect, times=2, where=world.to_provider),
        day.feed,
    ]


def tries_fail(day: Day) -> None:
    """An event fails, and at the turn of the minute it fails again."""
    day.world.wire.on("sesv2.SendEmail", wire.refuse("TooManyRequestsException", 429), times=2)
    day.order()
    day.world.queues.deliver("EmailsFunction")
    day.publish()
    day.minute()


def answers_are_slow(day: Day) -> None:
    """Some seconds of a slow provider, and an order before and after the turn of the minute."""
    slow = wire.meanwhile(lambda: day.clock.forward(3.5))
    for _ in range(2):
        day.world.wire.on("dynamodb.*", slow, where=day.world.to_provider)
        day.order()
        day.minute()


def events_are_late(day: Day) -> None:
    """Nobody consumes for a minute, and two events are late, before and after the turn of the minute."""
    day.order()
    day.order()
    day.clock.forward(65)
    for function in day.world.queues.names:
        day.world.queues.hand_over(function, day.world.queues.receive(function, most=1))
    day.publish()
    day.minute()


def bad(stack: Stack) -> dict[str, list[BadDay]]:
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
        "AuditLostAlarm": [partial(_eventbridge_loses_an_event, stack, "AuditRule")],
        "PartnerLostAlarm": [partial(_eventbridge_loses_an_event, stack, "PartnerRule")],
    }
    for consumer in stack.consumers():
        name, function = consumer.queue_id.removesuffix("Queue"), function_of(consumer)
        days[f"{name}DeadLettersAlarm"] = [partial(_a_message_is_no_event, function=function)]
        days[f"{name}ErrorsAlarm"] = [partial(_all_that_it_calls_fails, function=function)]
        days[f"{name}OldestAlarm"] = [_nobody_consumes]
        days[f"{name}LagAlarm"] = [partial(_it_comes_late, function=function)]
        days[f"{name}LostAlarm"] = [partial(_eventbridge_loses_an_event, stack, f"{name}Rule")]
    return days


def function_of(consumer: Consumer) -> str:
    """The logical id of a consumer's function."""
    return named(consumer.mapping["FunctionName"])


# --- consumers --------------------------------------------------------------------------------------------------------


def _a_message_is_no_event(day: Day, function: str) -> None:
    day.world.queues.send(function, "not an event")
    for _ in range(3):
        day.minute([function])


def _all_that_it_calls_fails(day: Day, function: str) -> None:
    """A quiet shop: something happens once, and fails again and again."""
    day.world.wire.always("dynamodb.*", _BROKEN, where=_called_by(day, function))
    day.feed()
    for _ in range(25):
        day.minute([function])


def _nobody_consumes(day: Day) -> None:
    """A deployment has disabled the event sources: nothing fails, and nothing is late, for nothing is done."""
    day.feed()
    for _ in range(25):
        day.minute([SWEEPER])


def _it_comes_late(day: Day, function: str) -> None:
    """A backlog: something happens once a minute, and is done two minutes later."""
    for _ in range(5):
        day.feed()
        day.minute([])
        day.minute([])
        day.minute([function])


# --- the API ----------------------------------------------------------------------------------------------------------


def _the_provider_is_gone(day: Day) -> None:
    day.world.wire.always("dynamodb.*", wire.cannot_connect, where=day.world.to_provider)
    for _ in range(10):
        day.order()
        day.minute([])


def _the_provider_is_slow(day: Day) -> None:
    """One order in five minutes, and all of them slow."""
    slow = wire.meanwhile(lambda: day.clock.forward(3.5))
    day.world.wire.always("dynamodb.*", slow, where=day.world.to_provider)
    for minute in range(15):
        if minute % 5 == 0:
            day.order()
        day.minute([])


def _requests_find_no_execution(day: Day) -> None:
    for _ in range(10):
        day.refuse()
        day.minute([])


# --- the sweeper, and payments ----------------------------------------------------------------------------------------


def _the_index_can_not_be_read(day: Day) -> None:
    day.world.wire.always("dynamodb.Query", wire.refuse("AccessDeniedException"))
    for _ in range(10):
        day.minute([SWEEPER])


def _the_bus_is_dead(day: Day) -> None:
    day.world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
    day.order()
    for _ in range(25):
        day.minute([SWEEPER])


def silence(day: Day) -> None:
    """The sweeper does not run any more."""
    for _ in range(5):
        day.minute([SWEEPER])
    for _ in range(25):
        day.minute([])


def _a_payment_is_never_answered_for(day: Day) -> None:
    """An order is cancelled, and its payment can't be voided for a day."""
    day.request("POST", f"/orders/{day.order().json['orderId']}/cancel")
    day.world.wire.always("dynamodb.TransactWriteItems", wire.lose_request, where=day.world.to_provider)
    day.clock.forward(23 * HOUR)
    for _ in range(10):
        day.minute([SWEEPER])


def _a_capture_is_never_answered_for(day: Day) -> None:
    """A packed order's hold lasts a week, and half of it passes."""
    order_id = day.order().json["orderId"]
    payment = day.world.order(order_id)["payment"] | {"expiresAt": day.clock.ms + WEEK * 1000}
    day.world.change("OrdersTable", {"orderId": order_id}, payment=payment)
    day.world.wire.always("dynamodb.TransactWriteItems", wire.lose_request, where=day.world.to_provider)
    day.minute([FULFILLMENT])
    day.clock.forward(WEEK / 2)
    for _ in range(10):
        day.minute([SWEEPER])


def _capture_is_refused(day: Day) -> None:
    """The hold of an order that is packed is gone."""
    order_id = day.order().json["orderId"]
    day.world.change("SandboxTable", {"key": f"{order_id}:authorise"}, state="void")
    for _ in range(5):
        day.minute([FULFILLMENT])


def _void_is_refused(day: Day) -> None:
    """Somebody has captured the payment of an order that is cancelled, and only the sweeper gets to it."""
    order_id = day.order().json["orderId"]
    day.request("POST", f"/orders/{order_id}/cancel")
    day.world.change("SandboxTable", {"key": f"{order_id}:authorise"}, state="capture")
    for _ in range(10):
        day.minute([SWEEPER])


def _eventbridge_can_not_deliver(day: Day, queue: str) -> None:
    metric = Metric.of("AWS/SQS", "ApproximateNumberOfMessagesVisible", QueueName=f"${{{queue}.QueueName}}")
    for _ in range(3):
        day.minute([])
        day.cloudwatch.put(metric, day.clock.ms - 1, 1)


def _eventbridge_loses_an_event(stack: Stack, rule: str, day: Day) -> None:
    """Neither its target takes it, nor the queue of what is not delivered."""
    bus = stack.resources[rule]["Properties"]["EventBusName"]
    dimension = {} if bus == "default" else {"EventBusName": bus}
    name = f"${{{rule}.Arn}}[{known.parts_before_name(stack, rule)}]"
    metric = Metric.of("AWS/Events", "InvocationsFailedToBeSentToDlq", **dimension, RuleName=name)
    for _ in range(3):
        day.minute([])
        day.cloudwatch.put(metric, day.clock.ms - 1, 1)


def _called_by(day: Day, function: str) -> Callable[[Call], bool]:
    return lambda _call: day.world.functions.running[-1:] == [function]
