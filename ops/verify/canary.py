"""Check: a canary that is stopped goes back to the old version, and the same deployment succeeds when repeated.

The operator deploys; this stops the first deployment and follows the second.
"""

from dataclasses import dataclass
from typing import Any

from ops.polling import until
from ops.smoke_order import CheckFailed, expect
from ops.stack.deployment import Deployment
from ops.verify.check import Attempt, Check, NotAvailable, Situation, Skipped

_STARTS_WITHIN = 3600.0  # seconds that the operator's build and deployment may take until the canary
_SHIFTS_WITHIN, _ENDS_WITHIN = 300.0, 2400.0  # seconds; the canary takes 15 minutes
_EVERY = 10.0  # seconds
_ALIAS = "live"


@dataclass(frozen=True)
class _Traffic:
    """The version that an alias invokes, and the one that gets a part of the requests, or empty."""

    version: str
    canary: str


class _Canary:
    """The deployments of the API's function, and its alias."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._codedeploy, self._lambda = deployment.client("codedeploy"), deployment.client("lambda")

    def running(self) -> str:
        """Return the id of the deployment that is in progress, or empty."""
        found = self._codedeploy.list_deployments(
            applicationName=self._deployment.resource("ServerlessDeploymentApplication"),
            deploymentGroupName=self._deployment.resource("OrdersFunctionDeploymentGroup"),
            includeOnlyStatuses=["InProgress"],
        )["deployments"]
        return str(found[0]) if found else ""

    def stop(self, deployment_id: str) -> str:
        """Stop a deployment, with a rollback; return CodeDeploy's answer."""
        answer: dict[str, Any] = self._codedeploy.stop_deployment(deploymentId=deployment_id, autoRollbackEnabled=True)
        return f"{answer['status']}: {answer.get('statusMessage', '')}"

    def result(self, deployment_id: str) -> str:
        """Return a deployment's status, such as Succeeded."""
        return str(self._codedeploy.get_deployment(deploymentId=deployment_id)["deploymentInfo"]["status"])

    def traffic(self) -> _Traffic:
        """Return where the alias sends requests."""
        function = self._deployment.resource("OrdersFunction")
        alias = self._lambda.get_alias(FunctionName=function, Name=_ALIAS)
        weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        return _Traffic(alias["FunctionVersion"], next(iter(weights), ""))

    def stack_status(self) -> str:
        """Return the stack's status now."""
        stacks = self._deployment.cloudformation.describe_stacks(StackName=self._deployment.stack)["Stacks"]
        return str(stacks[0]["StackStatus"])


def _run(attempt: Attempt) -> str:
    if not attempt.situation.canary:
        raise Skipped("without --canary")
    canary = _Canary(attempt.situation.deployment)
    before = canary.traffic()
    first = _await_shift(attempt, canary, "Deploy a commit that changes the API's function now, in another terminal")
    attempt.note(f"stopped {first}: {canary.stop(first)}")
    back = until(canary.traffic, lambda traffic: traffic == before, _SHIFTS_WITHIN, every=_EVERY)
    expect(back == before, f"the alias is at {back}, not at {before}, {_SHIFTS_WITHIN:.0f} s after {first} was stopped")
    _await_stack(canary, "UPDATE_ROLLBACK_COMPLETE")
    attempt.note(f"version {before.version} gets all requests again, and the stack is rolled back")
    second = _await_shift(attempt, canary, "Deploy the same commit again now")
    ended = until(lambda: canary.result(second), _has_ended, _ENDS_WITHIN, every=_EVERY)
    expect(ended == "Succeeded", f"the repeated deployment {second} is {ended}")
    _await_stack(canary, "UPDATE_COMPLETE")
    return f"{first} was stopped and rolled back, {second} of the same commit succeeded"


def _await_shift(attempt: Attempt, canary: _Canary, instruction: str) -> str:
    """Wait for a deployment, and for a part of the requests to go to its version; return the deployment's id."""
    attempt.note(f"{instruction} (waiting {_STARTS_WITHIN / 60:.0f} min)")
    deployment_id = until(canary.running, bool, _STARTS_WITHIN, every=_EVERY)
    if not deployment_id:
        raise NotAvailable(f"no deployment began in {_STARTS_WITHIN / 60:.0f} min")
    traffic = until(canary.traffic, lambda traffic: bool(traffic.canary), _SHIFTS_WITHIN, every=_EVERY)
    if not traffic.canary:
        raise CheckFailed(f"{deployment_id} shifted no requests in {_SHIFTS_WITHIN:.0f} s")
    attempt.note(f"{deployment_id}: version {traffic.canary} gets a part of the requests")
    return deployment_id


def _await_stack(canary: _Canary, wanted: str) -> None:
    seen = until(canary.stack_status, lambda status: not status.endswith("_IN_PROGRESS"), _ENDS_WITHIN, every=_EVERY)
    expect(seen == wanted, f"the stack is {seen}, not {wanted}")


def _has_ended(status: str) -> bool:
    return status in {"Succeeded", "Failed", "Stopped"}


def _obstacle(situation: Situation) -> str:
    if situation.is_local:
        return "the local stack shifts no requests"
    if not situation.deployment.has("OrdersFunctionDeploymentGroup"):
        return "the stack has no canary (Canary=false)"
    return ""


CHECK = Check(
    key="canary",
    name="a canary is stopped and repeated",
    does="with --canary: asks you to deploy, stops that deployment, asks you to repeat it",
    takes="1 h",
    needs="codedeploy:ListDeployments, GetDeployment, StopDeployment; lambda:GetAlias; your own deployment",
    costs={},
    run=_run,
    obstacle=_obstacle,
)
