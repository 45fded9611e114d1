"""Scenarios for alarms: normal operation, and for each alarm at least one scenario that must raise it.

Faults are injected on the wire. Failures that no local engine can simulate, such as EventBridge that can't deliver or
Lambda that throttles, are published as metrics as AWS would publish them.
"""

from collections.abc import Callable
from functools import partial

from dev.simulated import wire
from dev.simulated.messages import replayed
from dev.simulated.wire import Call
from dev.simulated.world import TEE
from dev.template import Template
from tests.support import provider_events
from tests.support.cloudwatch import Metric
from tests.support.merchant import Merchant
from tests.support.monitored_stack import MINUTE, SWEEPER, MonitoredStack
from tests.support.partner_server import refusing_port
from tests.support.partners import FUNCTION as PARTNERS
from tests.template import aws_metric_catalog

Scenario = Callable[[MonitoredStack], None]
EMAILS, FULFILLMENT, SETTLEMENT = "EmailsFunction", "FulfillmentFunction", "SettlementFunction"
HOUR = 60 * MINUTE
WEEK = 7 * 24 * HOUR
_BROKEN = wire.refuse("InternalServerError", 500)


def normal(monitored: MonitoredStack) -> None:
    """Run a small shop for 45 minutes, with failures that are no reason for an alarm."""
    actions = _ordinary(monitored)
    for minute in range(45):
        actions[minute // 5]() if minute % 5 == 0 else monitored.order()
        monitored.minute()


def everything(monitored: MonitoredStack) -> None:
    """Run normal operation, and everything else that emits a metric."""
    world = monitored.world
    for action in _ordinary(monitored):
        monitored.feed()
        action()
        monitored.minute()
    monitored.order(shippingAddress={})
    monitored.order(token="tok_fail_once")
    _customer_acts(monitored)
    _limit_is_reached(monitored)
    _capture_is_refused(monitored)
    _batch_is_slow(monitored)
    _address_bounces(monitored)
    cancelled = monitored.order().json["orderId"]
    monitored.cancel(cancelled)
    shipped = next(event for event in world.events() if event["DetailType"] == "shipment_released")
    released_id = shipped["Detail"]["data"]["orderId"]
    world.api().return_order(released_id)
    world.program("refunds:write").refund(released_id)
    assert Merchant(world).dispute(released_id)
    provider_events.publish(world, released_id)
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
    world.change("OrdersTable", {"orderId": order_id}, status="?")  # no code does this
    monitored.order("key-1")
    monitored.minute()


def _customer_acts(monitored: MonitoredStack) -> None:
    """Place an order whose customer confirms the payment."""
    waiting = monitored.order(token="tok_action", customerAction=True).json
    monitored.world.api().act(waiting["clientSecret"])
    monitored.request("POST", f"/orders/{waiting['orderId']}/confirm")


def _batch_is_slow(monitored: MonitoredStack) -> None:
    """Place two orders whose mails take so long that the second one is handed back."""
    for _ in range(2):
        monitored.order()
    slow = wire.meanwhile(lambda: monitored.clock.forward(100))
    monitored.world.wire.always("sesv2.*", slow)
    monitored.world.queues.deliver("EmailsFunction")
    monitored.world.wire.heal()


def _address_bounces(monitored: MonitoredStack) -> None:
    """Place an order whose customer's address bounces before its mail."""
    monitored.order()
    monitored.world.change("CustomersTable", {"userId": "ada"}, emailProblem="bounced")
    monitored.minute([EMAILS])
    monitored.world.customer()


def _limit_is_reached(monitored: MonitoredStack) -> None:
    """Place an order above a user's limit."""
    functions = monitored.world.functions
    functions.settings = {"ORDERS_PER_HOUR": "1"}
    functions.stop("OrdersFunction")
    assert monitored.order().status == 429
    functions.settings = {}
    functions.stop("OrdersFunction")


def _ordinary(monitored: MonitoredStack) -> list[Callable[[], object]]:
    """Return actions that any shop sees, and failures that need no operator."""
    world = monitored.world
    world.stock(TEE, available=1)
    return [
        monitored.feed,
        monitored.sign_up,
        lambda: monitored.order(token="tok_decline"),
        lambda: monitored.order(lines=[{"sku": TEE, "quantity": 2}]),
        lambda: monitored.order("key-1"),
        lambda: monitored.cancel(monitored.order().json["orderId"]),
        lambda: world.wire.on("eventbridge.PutEvents", wire.cannot_connect),
        lambda: world.wire.on("sesv2.SendEmail", wire.refuse("TooManyRequestsException", 429)),
        lambda: world.wire.on("dynamodb.*", wire.cannot_connect, times=2, where=world.to_provider),
        monitored.feed,
    ]


def tries_fail(monitored: MonitoredStack) -> None:
    """Let an event fail before and after the turn of a minute."""
    monitored.world.wire.on("sesv2.SendEmail", wire.refuse("TooManyRequestsException", 429), times=2)
    monitored.order()
    monitored.world.queues.deliver("EmailsFunction")
    monitored.publish()
    monitored.minute()


def answers_are_slow(monitored: MonitoredStack) -> None:
    """Slow down the provider for an order before and an order after the turn of a minute."""
    slow = wire.meanwhile(lambda: monitored.clock.forward(3.5))
    for _ in range(2):
        monitored.world.wire.on("dynamodb.*", slow, where=monitored.world.to_provider)
        monitored.order()
        monitored.minute()


def events_are_late(monitored: MonitoredStack) -> None:
    """Handle two events more than a minute late, before and after the turn of a minute."""
    monitored.order()
    monitored.order()
    monitored.clock.forward(65)
    for function in monitored.world.queues.names:
        monitored.world.queues.hand_over(function, monitored.world.queues.receive(function, most=1))
    monitored.publish()
    monitored.minute()


def raising(template: Template) -> dict[str, list[Scenario]]:
    """Return the scenarios for every alarm; each of them alone must raise it."""
    scenarios: dict[str, list[Scenario]] = {
        "ApiErrorsAlarm": [_provider_is_unreachable],
        "ApiLatencyAlarm": [_provider_is_slow],
        "OrdersThrottledAlarm": [_requests_are_throttled],
        "SignUpMailsAlarm": [_many_customers_sign_up],
        "SweeperErrorsAlarm": [_index_cannot_be_read],
        "UnfinishedAgeAlarm": [_bus_is_unreachable, sweeper_is_silent],
        "PaymentsStuckAlarm": [_void_is_never_answered],
        "HoldsExpiringAlarm": [_capture_is_never_answered],
        "CaptureRefusedAlarm": [_capture_is_refused],
        "SweptPaymentRefusedAlarm": [_void_is_refused],
        "PaymentDisputedAlarm": [_payment_is_disputed],
        "SweptPaymentDisputedAlarm": [_waiting_payment_is_disputed],
        "MailsNotSentAlarm": [_many_addresses_bounce],
        "DeclinesAlarm": [_many_cards_are_declined],
        "PaymentEventsLateAlarm": [_provider_lists_no_events],
        "UndeliveredAlarm": [partial(_eventbridge_cannot_deliver, queue="UndeliveredQueue")],
        "AuditLostAlarm": [partial(_eventbridge_loses_an_event, template, "AuditRule")],
    }
    for consumer in template.consumers():
        name, function = consumer.queue_id.removesuffix("Queue"), consumer.function_id
        scenarios[f"{name}DeadLettersAlarm"] = [partial(_message_is_malformed, function=function)]
        scenarios[f"{name}ErrorsAlarm"] = [partial(_all_calls_fail, function=function)]
        scenarios[f"{name}OldestAlarm"] = [_event_sources_are_disabled]
        scenarios[f"{name}LagAlarm"] = [partial(_events_are_handled_late, function=function)]
        scenarios[f"{name}LostAlarm"] = [partial(_eventbridge_loses_an_event, template, f"{name}Rule")]
    return scenarios | {"PartnersErrorsAlarm": [_partner_is_unreachable]}


# --- consumers --------------------------------------------------------------------------------------------------------


def _message_is_malformed(monitored: MonitoredStack, function: str) -> None:
    monitored.world.queues.send(function, "not an event")
    for _ in range(3):
        monitored.minute([function])


def _all_calls_fail(monitored: MonitoredStack, function: str) -> None:
    """In a quiet shop, one event fails again and again."""
    monitored.world.wire.always("dynamodb.*", _BROKEN, where=_called_by(monitored, function))
    monitored.feed()
    for _ in range(25):
        monitored.minute([function])


def _partner_is_unreachable(monitored: MonitoredStack) -> None:
    """In a quiet shop, nothing answers at the partner's address."""
    functions = monitored.world.functions
    functions.settings = {"PARTNER_ENDPOINT": f"https://localhost:{refusing_port()}/events"}
    functions.stop(PARTNERS)
    monitored.feed()
    for _ in range(25):
        monitored.minute([PARTNERS])
    functions.settings = {}
    functions.stop(PARTNERS)


def _event_sources_are_disabled(monitored: MonitoredStack) -> None:
    """No consumer runs, so nothing fails and no lag is measured."""
    monitored.feed()
    for _ in range(40):
        monitored.minute([SWEEPER])


def _events_are_handled_late(monitored: MonitoredStack, function: str) -> None:
    """Each event is handled two minutes after it happened."""
    for _ in range(5):
        monitored.feed()
        monitored.minute([])
        monitored.minute([])
        monitored.minute([function])


# --- the API ----------------------------------------------------------------------------------------------------------


def _provider_is_unreachable(monitored: MonitoredStack) -> None:
    monitored.world.wire.always("dynamodb.*", wire.cannot_connect, where=monitored.world.to_provider)
    for _ in range(10):
        monitored.order()
        monitored.minute([])


def _provider_is_slow(monitored: MonitoredStack) -> None:
    """Every order is slow, and there is one in five minutes."""
    slow = wire.meanwhile(lambda: monitored.clock.forward(3.5))
    monitored.world.wire.always("dynamodb.*", slow, where=monitored.world.to_provider)
    for minute in range(15):
        if minute % 5 == 0:
            monitored.order()
        monitored.minute([])


def _requests_are_throttled(monitored: MonitoredStack) -> None:
    for _ in range(10):
        monitored.throttle()
        monitored.minute([])


def _many_customers_sign_up(monitored: MonitoredStack) -> None:
    """Forty within twenty hours, evenly spread."""
    for _ in range(40):
        monitored.clock.forward(29 * MINUTE)
        monitored.sign_up()
        monitored.minute([])


# --- the sweeper, and payments ----------------------------------------------------------------------------------------


def _index_cannot_be_read(monitored: MonitoredStack) -> None:
    monitored.world.wire.always("dynamodb.Query", wire.refuse("AccessDeniedException"))
    for _ in range(10):
        monitored.minute([SWEEPER])


def _bus_is_unreachable(monitored: MonitoredStack) -> None:
    monitored.world.wire.always("eventbridge.PutEvents", wire.cannot_connect)
    monitored.order()
    for _ in range(25):
        monitored.minute([SWEEPER])


def sweeper_is_silent(monitored: MonitoredStack) -> None:
    """The sweeper stops running."""
    for _ in range(5):
        monitored.minute([SWEEPER])
    for _ in range(25):
        monitored.minute([])


def _void_is_never_answered(monitored: MonitoredStack) -> None:
    """A cancelled order's payment can't be voided for a day."""
    monitored.cancel(monitored.order().json["orderId"])
    monitored.world.wire.always("dynamodb.TransactWriteItems", wire.lose_request, where=monitored.world.to_provider)
    monitored.clock.forward(23 * HOUR)
    for _ in range(10):
        monitored.minute([SWEEPER])


def _capture_is_never_answered(monitored: MonitoredStack) -> None:
    """A packed order's payment is not captured for half the life of its hold, which is a week."""
    order_id = monitored.order().json["orderId"]
    payment = monitored.world.order(order_id)["payment"] | {"expiresAt": monitored.clock.ms + WEEK * 1000}
    monitored.world.change("OrdersTable", {"orderId": order_id}, payment=payment)
    monitored.world.wire.always("dynamodb.TransactWriteItems", wire.lose_request, where=monitored.world.to_provider)
    monitored.minute([FULFILLMENT])
    monitored.clock.forward(WEEK / 2)
    for _ in range(10):
        monitored.minute([SWEEPER])


def _capture_is_refused(monitored: MonitoredStack) -> None:
    """The hold of a packed order does not exist any more."""
    order_id = monitored.order().json["orderId"]
    monitored.world.change("SandboxTable", {"key": f"{order_id}:authorise"}, state="void")
    for _ in range(5):
        monitored.minute([FULFILLMENT, SETTLEMENT])


def _void_is_refused(monitored: MonitoredStack) -> None:
    """The hold of a cancelled order does not exist any more. Only the sweeper runs."""
    order_id = monitored.order().json["orderId"]
    monitored.cancel(order_id)
    monitored.world.change("SandboxTable", {"key": f"{order_id}:authorise"}, state="declined")
    for _ in range(10):
        monitored.minute([SWEEPER])


def _payment_is_disputed(monitored: MonitoredStack) -> None:
    """A customer disputes a captured payment, and the provider says so."""
    order_id = monitored.order().json["orderId"]
    monitored.minute([FULFILLMENT])
    monitored.minute([SETTLEMENT])
    assert Merchant(monitored.world).dispute(order_id)
    provider_events.publish(monitored.world, order_id)
    for _ in range(5):
        monitored.minute([SETTLEMENT])


def _waiting_payment_is_disputed(monitored: MonitoredStack) -> None:
    """While an order waits for its customer, the payment is confirmed, captured at the provider and disputed."""
    order_id = monitored.order(token="tok_action", customerAction=True).json["orderId"]
    merchant = Merchant(monitored.world)
    assert merchant.act(order_id)
    assert merchant.capture(order_id)
    assert merchant.dispute(order_id)
    for _ in range(5):
        monitored.minute([SWEEPER])


def _many_cards_are_declined(monitored: MonitoredStack) -> None:
    """Thirty in ten minutes, from the start of a quarter of an hour on."""
    for _ in range(10):
        for _ in range(3):
            monitored.order(token="tok_decline")
        monitored.minute([])


def _many_addresses_bounce(monitored: MonitoredStack) -> None:
    """Ada orders for a quarter of an hour, and mail to her bounces each time."""
    for _ in range(15):
        _address_bounces(monitored)


def _provider_lists_no_events(monitored: MonitoredStack) -> None:
    """The provider refuses to list events, as with an API key that may not read them."""
    monitored.world.wire.always("dynamodb.BatchGetItem", _BROKEN, where=monitored.world.to_provider)
    for _ in range(90):
        monitored.minute([SWEEPER])


def _eventbridge_cannot_deliver(monitored: MonitoredStack, queue: str) -> None:
    metric = Metric.of("AWS/SQS", "ApproximateNumberOfMessagesVisible", QueueName=f"${{{queue}.QueueName}}")
    for _ in range(3):
        monitored.minute([])
        monitored.cloudwatch.put(metric, monitored.clock.ms - 1, 1)


def _eventbridge_loses_an_event(template: Template, rule: str, monitored: MonitoredStack) -> None:
    """Neither the target nor the rule's dead-letter queue accepts the event."""
    bus = template.resources[rule]["Properties"]["EventBusName"]
    dimension = {} if bus == "default" else {"EventBusName": bus}
    name = f"${{{rule}.Arn}}[{aws_metric_catalog.parts_before_name(template, rule)}]"
    metric = Metric.of("AWS/Events", "InvocationsFailedToBeSentToDlq", **dimension, RuleName=name)
    for _ in range(3):
        monitored.minute([])
        monitored.cloudwatch.put(metric, monitored.clock.ms - 1, 1)


def _called_by(monitored: MonitoredStack, function: str) -> Callable[[Call], bool]:
    return lambda _call: monitored.world.functions.running[-1:] == [function]
