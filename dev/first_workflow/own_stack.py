"""`make throw`: start a local stack and throw the switch there."""

from collections.abc import Callable

from dev.faults.proxy import running_proxy
from dev.first_workflow.deployed import WITH_SWITCH, FirstWorkflow
from dev.first_workflow.throw import plant_difference, throw
from dev.local.stack import running
from ops.stack.deployment import Deployment


def throw_on_own_stack(port: int, show: Callable[[str], None], *, rounds: int, orders: int) -> list[str]:
    """Deploy Handoff and the example, throw the switch, and plant a difference; return the problems."""
    with running_proxy(f"http://127.0.0.1:{port}") as proxy, running(port) as local:
        show("Deploying Handoff and step 3 of the example.")
        local.build()
        workflow = FirstWorkflow(local, Deployment(local.deploy(), local.session(), local.endpoint))
        workflow.run_step(WITH_SWITCH)
        show(f"Throwing the switch {rounds} times.")
        report = throw(workflow, proxy, rounds=rounds, orders=orders)
        for line in report.lines():
            show(line)
        known = report.comparison.differences
        order_id, comparison = plant_difference(workflow)
        found = [one.subject for one in comparison.differences if one not in known]
        show(f"A planted difference was {'found' if found == [order_id] else 'not found'}.")
        return report.problems + ([] if found == [order_id] else [f"The difference of {order_id} was not found."])
