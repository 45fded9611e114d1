"""One durable execution on AWS's local test runner, with its checkpoints on the same wire as all other calls."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from aws_durable_execution_sdk_python.exceptions import CheckpointError
from aws_durable_execution_sdk_python.execution import DurableExecutionInvocationInputWithClient
from aws_durable_execution_sdk_python.lambda_service import CheckpointOutput, OperationUpdate, StateOutput
from aws_durable_execution_sdk_python_testing import DurableFunctionTestRunner
from botocore.exceptions import HTTPClientError

from bench.rivals.durable import Handler
from bench.rivals.experiments import CHECKPOINT
from dev.simulated.wire import Call, Crash, Wire

_TIMEOUT = 3600  # seconds of the runner's clock, which skips all waits
_PATIENCE = 300  # seconds of real time, for a busy machine
_TRIES = 5  # of botocore, with the SDK's settings


class ProcessDied(Exception):
    """The process of an invocation died: Lambda sees a runtime error."""


@dataclass(frozen=True)
class Execution:
    """A finished execution. ``seconds`` are those of the runner's clock, ``payload_bytes`` those of all checkpoints."""

    answer: dict[str, Any] | None
    seconds: float
    operations: int
    payload_bytes: int


class WiredService:
    """The service of durable executions as one invocation sees it, behind the wire.

    A crash ends the invocation: no later call of it gets through.
    """

    def __init__(self, wire: Wire, service: Any) -> None:
        self._wire = wire
        self._service = service
        self._dead = False

    def checkpoint(
        self,
        durable_execution_arn: str,
        checkpoint_token: str,
        updates: list[OperationUpdate],
        client_token: str | None,
    ) -> CheckpointOutput:
        """Write checkpoints, with the SDK's retries."""
        call = Call("lambda", CHECKPOINT, {"Updates": [update.to_dict() for update in updates]})

        def deliver() -> CheckpointOutput:
            call.status = 200
            output: CheckpointOutput = self._service.checkpoint(
                durable_execution_arn, checkpoint_token, updates, client_token
            )
            return output

        error: Exception = ProcessDied("no call gets through")
        for _ in range(_TRIES):
            try:
                if not self._dead:
                    return self._wire.carry(call, deliver)
            except Crash as crash:
                self._dead = True
                error = ProcessDied(str(crash))
            except HTTPClientError as lost:
                error = lost
        raise CheckpointError.from_exception(error)

    def get_execution_state(
        self, durable_execution_arn: str, checkpoint_token: str, next_marker: str, max_items: int = 1000
    ) -> StateOutput:
        """Read a further page of the operations: these executions have one page."""
        found: StateOutput = self._service.get_execution_state(
            durable_execution_arn, checkpoint_token, next_marker, max_items
        )
        return found


def run(handler: Handler, wire: Wire, event: dict[str, Any]) -> Execution:
    """Run an execution to its end, through all retries."""
    logging.getLogger("aws_durable_execution_sdk_python").setLevel(logging.CRITICAL + 1)
    logging.getLogger("aws_durable_execution_sdk_python_testing").setLevel(logging.CRITICAL + 1)
    runner = DurableFunctionTestRunner(_behind(wire, handler), execution_timeout=_TIMEOUT)
    try:
        arn = runner.run_async(json.dumps(event), execution_name=event["idempotencyKey"])
        result = runner.wait_for_result(arn, timeout=_PATIENCE)
        history = runner.get_execution_history(arn, include_execution_data=True).events
    finally:
        runner.close()
        runner._scheduler._loop.close()  # the runner leaves it open
    started, ended = history[0].event_timestamp, history[-1].event_timestamp
    calls = [update for call in wire.named(f"lambda.{CHECKPOINT}") for update in call.request["Updates"]]
    return Execution(
        answer=json.loads(result.result) if result.result else None,
        seconds=(ended - started).total_seconds(),
        operations=1 + sum(update["Action"] != "START" for update in calls),
        payload_bytes=len(json.dumps(event)) + sum(len(update.get("Payload", "")) for update in calls),
    )


def _behind(wire: Wire, handler: Handler) -> Callable[[Any, Any], Any]:
    """Return the handler with its checkpoints on the wire; a crash in it becomes a runtime error, as in Lambda."""

    def invoke(event: DurableExecutionInvocationInputWithClient, context: Any) -> Any:
        try:
            return handler(replace(event, service_client=WiredService(wire, event.service_client)), context)
        except Crash as crash:
            raise ProcessDied(str(crash)) from crash

    return invoke
