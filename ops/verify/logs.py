"""Checks: the audit log has the order's event, and the saved queries of Logs Insights find the order."""

import time
from collections.abc import Callable

from handoff.clock import now_ms
from ops.polling import until
from ops.smoke_order import CheckFailed, SmokeOrder
from ops.stack.deployment import Deployment
from ops.verify.check import Attempt, Check, NotAvailable, Situation

_ARRIVES_WITHIN = 300.0  # seconds; Logs Insights finds a line later than it can be read
_CLOCK_ERROR = 60_000  # ms by which this machine's clock may be wrong
_QUERIES = {"OrderTrailQuery": "Audit", "OrderLinesQuery": "SavedQueries"}  # and the parameters that create them
_ENDED = {"Complete", "Failed", "Cancelled", "Timeout", "Unknown"}


def placed_order(attempt: Attempt) -> SmokeOrder:
    """Return the order that this run has placed.

    Raises
    ------
    NotAvailable
        If it has placed none.
    """
    if not attempt.situation.order:
        raise NotAvailable("this run has placed no smoke order")
    return attempt.situation.order


def without(logical_id: str, parameter: str) -> Callable[[Situation], str]:
    """Return the obstacle of a check that needs a resource, which a parameter creates."""

    def obstacle(situation: Situation) -> str:
        deployment = situation.deployment
        if deployment.has(logical_id):
            return ""
        return f"the stack has no {logical_id} ({parameter}={deployment.parameters.get(parameter, '')})"

    return obstacle


def _audit(attempt: Attempt) -> str:
    """Find the order's first event in the audit log: EventBridge itself writes it."""
    order, deployment = placed_order(attempt), attempt.situation.deployment
    event_id = f"{order.order_id}-1"

    def found() -> int:
        pages = deployment.logs.get_paginator("filter_log_events").paginate(
            logGroupName=deployment.resource("AuditLog"),
            startTime=order.sent_at - _CLOCK_ERROR,
            filterPattern=f'"{event_id}"',
        )
        return sum(len(page["events"]) for page in pages)

    began = time.monotonic()
    if not until(found, bool, _ARRIVES_WITHIN, every=5.0):
        raise CheckFailed(
            f"{event_id} is not in the audit log after {_ARRIVES_WITHIN:.0f} s: check the log's resource policy, "
            "handoff dlq list, and the alarm AuditLost"
        )
    return f"{event_id} was there after {time.monotonic() - began:.0f} s"


def _saved_queries(attempt: Attempt) -> str:
    """Run each saved query for the order, as it was saved."""
    order, deployment = placed_order(attempt), attempt.situation.deployment
    existing = [name for name in _QUERIES if deployment.has(name)]
    for name in existing:
        rows = _rows(attempt, deployment, deployment.resource(name), order)
        attempt.note(f"{name}: {rows} lines of {order.order_id}")
    return f"{', '.join(existing)} found {order.order_id}"


def _rows(attempt: Attempt, deployment: Deployment, definition_id: str, order: SmokeOrder) -> int:
    """Return how many lines a saved query finds, repeated until it finds some."""
    prefix = f"{deployment.stack}/"
    answer = deployment.logs.describe_query_definitions(queryDefinitionNamePrefix=prefix, maxResults=1000)
    saved = [query for query in answer["queryDefinitions"] if query["queryDefinitionId"] == definition_id]
    if not saved:
        raise CheckFailed(f"CloudWatch has no query {definition_id} whose name begins with {prefix}")
    groups, query = saved[0]["logGroupNames"], saved[0]["queryString"].replace("ORDER_ID", order.order_id)
    rows = until(lambda: _run_query(attempt, deployment, groups, query, order), bool, _ARRIVES_WITHIN, every=10.0)
    if not rows:
        raise CheckFailed(f"{saved[0]['name']!r} found nothing about {order.order_id} in {_ARRIVES_WITHIN:.0f} s")
    return rows


def _run_query(attempt: Attempt, deployment: Deployment, groups: list[str], query: str, order: SmokeOrder) -> int:
    logs = deployment.logs
    start, end = (order.sent_at - _CLOCK_ERROR) // 1000, (now_ms() + _CLOCK_ERROR) // 1000
    query_id = logs.start_query(logGroupNames=groups, startTime=start, endTime=end, queryString=query)["queryId"]
    done = until(
        lambda: logs.get_query_results(queryId=query_id), lambda answer: answer["status"] in _ENDED, _ARRIVES_WITHIN
    )
    if done["status"] not in _ENDED:
        logs.stop_query(queryId=query_id)
    if done["status"] != "Complete":
        raise CheckFailed(f"the query {query_id} is {done['status']} after {_ARRIVES_WITHIN:.0f} s")
    return len(done["results"])


_no_audit = without("AuditLog", "Audit")


def _no_queries(situation: Situation) -> str:
    if any(situation.deployment.has(name) for name in _QUERIES):
        return ""
    return "; ".join(without(name, parameter)(situation) for name, parameter in _QUERIES.items())


AUDIT = Check(
    key="audit",
    name="the audit log has the order's event",
    does="searches the audit log for the smoke order",
    takes="up to 5 min",
    needs="logs:FilterLogEvents",
    costs={},
    run=_audit,
    obstacle=_no_audit,
)
QUERIES = Check(
    key="queries",
    name="the saved queries find the order",
    does="runs the stack's saved queries of Logs Insights for the smoke order",
    takes="up to 5 min",
    needs="logs:DescribeQueryDefinitions, StartQuery, GetQueryResults, StopQuery",
    costs={"insights_gb": 0.5},
    run=_saved_queries,
    obstacle=_no_queries,
)
