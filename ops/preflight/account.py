"""The account and the region: credentials, resource types, and quotas that the parameters need."""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    InvalidRegionError,
    ProfileNotFound,
)
from botocore.exceptions import ConnectionError as NoConnection

from ops.preflight.aws import Aws
from ops.preflight.check import Finding, Outcome, Question, failed, passed, warning
from ops.text import sentences

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html: functions without a reservation keep 100.
_UNRESERVED = 100
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
_LOG_POLICIES = 10  # for each region
_LOG_POLICY_SIZE = 5120  # characters
# API Gateway adds the log group to this policy, which it shares with other services. Near its limit AWS permits only
# log groups of the prefix below:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AWS-logs-and-resource-policy.html
_DELIVERY = "AWSLogDeliveryWrite20150319"
_VENDED = ":log-group:/aws/vendedlogs/*"
_LOG_GROUP_ARN = 200  # characters of the one that is added, with a margin
_SIGN_IN = "Sign in (aws sso login, or aws configure), or name a profile with AWS_PROFILE."


def credentials(aws: Aws) -> Finding:
    """Return whose credentials these are; AWS needs no permission for that."""
    try:
        region = aws.session.region_name
        if not region:  # STS would answer without one
            table = f"[{aws.plan.environment}.deploy.parameters]"
            return failed(
                "no region is set", f"Pass --region, set AWS_REGION, or add region to {table}, samconfig.toml."
            )
        identity = aws.client("sts").get_caller_identity()
    except ProfileNotFound as error:
        return failed(str(error), "Name another profile with AWS_PROFILE.")
    except InvalidRegionError as error:
        return failed(str(error), "Name a region such as eu-central-1 with --region.")
    except (NoConnection, HTTPClientError) as error:
        fix = f"Check the network and the name of region {region}."
        return Finding(Outcome.UNKNOWN, f"AWS could not be reached: {error}", fix)
    except BotoCoreError as error:  # none, incomplete, or no longer valid
        return failed(str(error), _SIGN_IN)
    except ClientError as error:
        return failed(
            f"AWS rejected them in {region}: {error.response['Error']['Code']}",
            sentences(_SIGN_IN, "If they work in another region, enable this one in the account first."),
        )
    return passed(f"{identity['Arn']} in {region}")


def questions(aws: Aws) -> list[Question]:
    """Return the checks of region and quotas."""
    return [
        Question("resource types", lambda: _resource_types(aws)),
        Question("Lambda's concurrency", lambda: _concurrency(aws)),
        Question("log policies", lambda: _log_policies(aws)),
    ]


def _resource_types(aws: Aws) -> Finding:
    wanted = sorted({resource["Type"] for resource in aws.plan.template.resources.values()})
    missing = [kind for kind in wanted if not _is_known(aws, kind)]
    if missing:
        return failed(
            f"{aws.session.region_name} has no {', '.join(missing)}",
            "Deploy to another region, or leave out what needs them: docs/reference/parameters.md",
        )
    return passed(f"{aws.session.region_name} has all {len(wanted)}")


def _is_known(aws: Aws, kind: str) -> bool:
    try:
        aws.cloudformation.describe_type(Type="RESOURCE", TypeName=kind)
    except aws.cloudformation.exceptions.TypeNotFoundException:
        return False
    return True


def _concurrency(aws: Aws) -> Finding:
    """Compare executions: those that other functions may still use, and those that this stack may need at once."""
    quota = aws.client("lambda").get_account_settings()["AccountLimit"]
    template = aws.plan.template
    functions = template.of_type("AWS::Lambda::Function")
    reserved = sum(int(function.get("ReservedConcurrentExecutions", 0)) for function in functions.values())
    mappings = template.of_type("AWS::Lambda::EventSourceMapping").values()
    consumers = sum(int(mapping["ScalingConfig"]["MaximumConcurrency"]) for mapping in mappings)
    # A deployed stack has reserved its own already.
    free = quota["UnreservedConcurrentExecutions"] - (0 if aws.is_deployed else reserved)
    increase = "Request an increase of Lambda's quota Concurrent executions in Service Quotas"
    if reserved and free < _UNRESERVED:
        return failed(
            f"ApiConcurrency={reserved} would leave {free} of the account's {quota['ConcurrentExecutions']} executions "
            f"unreserved; AWS keeps {_UNRESERVED}",
            f"{increase}, or lower ApiConcurrency.",
        )
    needed = consumers + len(functions) - len(mappings)  # one for each of the others
    if free < needed:
        return failed(
            f"{free} executions are unreserved; the consumers take up to {consumers}, and orders would be throttled",
            f"{increase}. New accounts have less than 1,000.",
        )
    return passed(f"{free} executions are unreserved; the consumers take up to {consumers}")


def _log_policies(aws: Aws) -> Finding:
    found = [
        policy
        for page in aws.client("logs").get_paginator("describe_resource_policies").paginate()
        for policy in page["resourcePolicies"]
    ]
    documents = {policy["policyName"]: policy.get("policyDocument", "") for policy in found}
    own = {
        aws.plan.with_stack_name(resource["Properties"]["PolicyName"])
        for resource in aws.plan.template.resources.values()
        if resource["Type"] == "AWS::Logs::ResourcePolicy"
    }
    needed = len((own | {_DELIVERY}) - documents.keys())
    if len(documents) + needed > _LOG_POLICIES:
        return failed(
            f"the region has {len(documents)} of {_LOG_POLICIES} resource policies for logs, and {needed} are needed",
            "Remove one that is not used: aws logs describe-resource-policies, aws logs delete-resource-policy",
        )
    size = len(documents.get(_DELIVERY, ""))
    if _VENDED in documents.get(_DELIVERY, "") or size + _LOG_GROUP_ARN > _LOG_POLICY_SIZE:
        return warning(
            f"{_DELIVERY}, to which API Gateway adds the access log, has {size} of {_LOG_POLICY_SIZE} characters",
            "The API's stage may fail (policy document length). Remove log groups that no longer exist from it "
            "with aws logs put-resource-policy.",
        )
    return passed(f"{len(documents)} of {_LOG_POLICIES} are used")
