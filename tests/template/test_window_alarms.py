"""Alarms while orders wait for the end of their cancel window."""

from dev.template import WITH_PARTNER, template_with
from tests.support.monitored_stack import monitoring
from tests.support.partners import deployed_with_partner

_LONGEST = {"PackAfter": "900"}


def test_orders_within_the_longest_cancel_window_raise_no_alarm() -> None:
    alarms = template_with(**WITH_PARTNER, **_LONGEST).of_type("AWS::CloudWatch::Alarm")
    with deployed_with_partner(**_LONGEST) as (stack, _), monitoring(stack) as monitored:
        for _ in range(45):
            monitored.order()
            monitored.world.queues.until_quiet()  # the consumers run all the time, not only once a minute
            monitored.minute()
        assert {order["status"] for order in monitored.world.items("OrdersTable")} == {"PLACED", "PREPARED"}
    assert {alarm_id for alarm_id, alarm in alarms.items() if "ALARM" in monitored.states(alarm)} == set()
