"""AWS as the checks see it: clients for one region, and answers that several checks need."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from ops.cleanup.failed_stack import NEVER_CREATED
from ops.preflight.plan import Plan
from ops.stack.deployment import CLIENT_CONFIG

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.client import CloudFormationClient
    from mypy_boto3_sesv2.client import SESV2Client
    from mypy_boto3_sesv2.type_defs import GetAccountResponseTypeDef


@dataclass(frozen=True)
class Aws:
    """The account and region that a plan is for. ``region`` replaces those of samconfig.toml and the environment."""

    plan: Plan
    region: str | None

    @cached_property
    def session(self) -> boto3.Session:
        """The session of the operator's credentials."""
        return boto3.Session(region_name=self.region or self.plan.region)

    def client(self, service: str) -> Any:
        """Return a client of a service."""
        return self.session.client(service, config=CLIENT_CONFIG)  # type: ignore[call-overload]

    @cached_property
    def cloudformation(self) -> "CloudFormationClient":
        """A CloudFormation client."""
        return self.session.client("cloudformation", config=CLIENT_CONFIG)

    @cached_property
    def ses(self) -> "SESV2Client":
        """An SES client."""
        return self.session.client("sesv2", config=CLIENT_CONFIG)

    @cached_property
    def mail_account(self) -> "GetAccountResponseTypeDef":
        """The state of SES in this region."""
        return self.ses.get_account()

    @cached_property
    def stack_status(self) -> str | None:
        """The status of the plan's stack; None if it does not exist, or has only a change set that was not executed."""
        try:
            status = self.cloudformation.describe_stacks(StackName=self.plan.stack)["Stacks"][0]["StackStatus"]
        except ClientError as error:
            if "does not exist" in str(error):  # CloudFormation answers ValidationError, as to a bad name
                return None
            raise
        return None if status == "REVIEW_IN_PROGRESS" else status

    @property
    def is_deployed(self) -> bool:
        """Whether the stack exists and was created once."""
        return self.stack_status is not None and self.stack_status not in NEVER_CREATED
