"""The permissions boundary of deployments from GitHub: it allows what a deployment needs, and ends there."""

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.template import ROOT, WITH_PARTNER, Template, template_with

ACCOUNT, REGION = "123456789012", "eu-central-1"
VALUES = {
    "Stack": "handoff-dev",
    "SecretPrefix": "shop/",
    "AWS::StackName": "handoff-deploy-dev",
    "AWS::Partition": "aws",
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
}
BOUNDARY_ARN = f"arn:aws:iam::{ACCOUNT}:policy/handoff-deploy-dev-boundary"
TEMPLATE = yaml.load(
    (ROOT / ".github/deploy-role.yaml").read_text(), yaml.BaseLoader
)  # intrinsic functions are strings
SCHEMAS = next((ROOT / ".tools").glob("sam/lib/python3*/site-packages/cfnlint/data/schemas/resources"), Path("none"))
# What CloudFormation's resource types ask for only if a resource has properties that none in template.yaml has.
UNUSED = {
    *("ec2:*", "elasticfilesystem:*", "s3files:*"),  # functions in a VPC
    *("kinesis:*", "s3:GetObjectMetadata", "s3:ListBucket"),  # streams of tables, and tables imported from S3
    *("firehose:*", "s3:REST.PUT.OBJECT"),  # logs that are delivered elsewhere
    "cloudfront:*",  # a domain of the user pool's own
    "s3:getObject",  # an API's description in S3
    *("iam:UpdateRole", "iam:UpdateRoleDescription"),
    "iam:DeleteRolePermissionsBoundary",  # never: that is what the boundary is for
}


def everything() -> Template:
    """Return the template with all optional resources, on AWS."""
    stripe = {"PaymentProvider": "stripe", "StripeSecret": "shop/stripe"}
    partner = WITH_PARTNER | {"PartnerSecret": "shop/partner"}  # with the prefix of the secrets that the stack may read
    return template_with(**partner, **stripe, Canary="true", OwnKey="true", MailFrom="a@b.example")


def filled(node: Any) -> Any:
    """Return a part of the template with the parameters' values."""
    if isinstance(node, dict):
        return {name: filled(part) for name, part in node.items()}
    if isinstance(node, list):
        return [filled(part) for part in node]
    return re.sub(r"\$\{([\w:]+)\}", lambda found: VALUES[found[1]], node)


def listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else value


STATEMENTS = filled(TEMPLATE["Resources"]["Boundary"]["Properties"]["PolicyDocument"]["Statement"])


def allows(action: str, resource: str, **context: str) -> bool:
    """Return whether the boundary allows a request. ``context``: the values of condition keys of the service iam."""

    def applies(statement: dict[str, Any]) -> bool:
        conditions = statement.get("Condition", {}).get("StringEquals", {}).items()
        return (
            any(fnmatchcase(action.lower(), pattern.lower()) for pattern in listed(statement["Action"]))
            and any(fnmatchcase(resource, pattern) for pattern in listed(statement["Resource"]))
            and all(context.get(key.removeprefix("iam:"), "") in listed(values) for key, values in conditions)
        )

    effects = {statement["Effect"] for statement in STATEMENTS if applies(statement)}
    return effects == {"Allow"}


def arn(service: str, name: str) -> str:
    region, account = ("", ACCOUNT) if service == "iam" else (REGION, ACCOUNT)
    return f"arn:aws:{service}:{region}:{account}:{name}"


OWN = {  # a resource of the stack by service; "*" if the name does not tell
    "dynamodb": arn("dynamodb", "table/handoff-dev-OrdersTable-1ABC"),
    "iam": arn("iam", "role/handoff-dev-OrdersRole-1ABC"),
    "lambda": arn("lambda", "function:handoff-dev-OrdersFunction-1ABC"),
    "s3": "arn:aws:s3:::aws-sam-cli-managed-default-samclisourcebucket-1abc/handoff-dev/0123456789",
    "sns": arn("sns", "handoff-dev-AlarmTopic-1ABC"),
    "sqs": arn("sqs", "handoff-dev-EmailsQueue-1ABC"),
}
LINKED_ROLE = arn("iam", "role/aws-service-role/email.cognito-idp.amazonaws.com/AWSServiceRoleForAmazonCognitoIdpEmail")
ASSIGNED = {"PermissionsBoundary": BOUNDARY_ARN, "PassedToService": "lambda.amazonaws.com"}


def needed() -> Iterator[str]:
    """Yield each permission that CloudFormation's schemas ask for, of all resource types in the template."""
    types = {resource["Type"] for resource in everything().resources.values()}
    found = set()
    for file in SCHEMAS.glob("*.json"):
        schema = json.loads(file.read_text())
        if schema["typeName"] in types:
            found.add(schema["typeName"])
            handlers = {name: handler for name, handler in schema["handlers"].items() if name != "list"}
            yield from (action for handler in handlers.values() for action in handler["permissions"])
    assert found == types


@pytest.mark.skipif(not SCHEMAS.exists(), reason="needs SAM's environment: make .tools/sam/.ready")
def test_cloudformation_may_do_all_that_the_resource_types_of_the_template_ask_for() -> None:
    wanted = {action for action in needed() if not any(fnmatchcase(action, pattern) for pattern in UNUSED)}
    assert len(wanted) > 200

    def resource(action: str) -> str:
        return LINKED_ROLE if action == "iam:CreateServiceLinkedRole" else OWN.get(action.partition(":")[0], "*")

    assert [action for action in sorted(wanted) if not allows(action, resource(action), **ASSIGNED)] == []


def policies(template: Template) -> Iterator[tuple[str, str, str]]:
    """Yield each action and resource that a role in the template allows, with the role's name."""
    for name, role in template.of_type("AWS::IAM::Role").items():
        for policy in role["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                for action in listed(statement["Action"]):
                    yield from ((name, action, where) for where in listed(statement["Resource"]))


def test_the_boundary_takes_nothing_from_the_roles_of_the_template() -> None:
    def resource(action: str, where: str) -> str:
        names_a_resource = re.search(r"\$\{(?!AWS::)", where)
        return OWN.get(action.partition(":")[0], "*") if names_a_resource else filled(where)

    found = list(policies(everything()))
    assert len(found) > 40
    assert [each for each in found if not allows(each[1], resource(*each[1:]))] == []


def test_every_role_is_passed_to_an_allowed_service() -> None:
    roles = everything().of_type("AWS::IAM::Role")
    for role in roles.values():
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        for service in listed(trust["Principal"]["Service"]):
            assert allows("iam:PassRole", OWN["iam"], PassedToService=service)


@pytest.mark.parametrize("action", ["CreateRole", "PutRolePolicy", "AttachRolePolicy", "PutRolePermissionsBoundary"])
def test_no_role_without_the_boundary_can_be_created_or_changed(action: str) -> None:
    assert allows(f"iam:{action}", OWN["iam"], PermissionsBoundary=BOUNDARY_ARN)
    for other in ({}, {"PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"}):
        assert not allows(f"iam:{action}", OWN["iam"], **other)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        # the boundary itself, and the roles beside it, whatever the deployed stack is called
        ("iam:DeleteRolePermissionsBoundary", OWN["iam"]),
        ("iam:CreatePolicyVersion", BOUNDARY_ARN),
        ("iam:SetDefaultPolicyVersion", BOUNDARY_ARN),
        ("iam:PutRolePolicy", arn("iam", "role/handoff-deploy-dev-CloudFormationRole-1ABC")),
        # other ways to more permissions
        ("iam:CreateUser", arn("iam", "user/handoff-dev-x")),
        ("iam:CreateAccessKey", arn("iam", "user/admin")),
        ("iam:PassRole", OWN["iam"]),  # to a service that template.yaml does not use
        ("sts:AssumeRole", arn("iam", "role/admin")),
        # another stack in the same account
        ("iam:PutRolePolicy", arn("iam", "role/handoff-prod-OrdersRole-1ABC")),
        ("iam:UpdateAssumeRolePolicy", arn("iam", "role/handoff-prod-OrdersRole-1ABC")),
        ("dynamodb:DeleteTable", arn("dynamodb", "table/handoff-prod-OrdersTable-1ABC")),
        ("dynamodb:Scan", arn("dynamodb", "table/handoff-prod-OrdersTable-1ABC")),
        ("sqs:SendMessage", arn("sqs", "handoff-prod-EmailsQueue-1ABC")),
        ("lambda:UpdateFunctionCode", arn("lambda", "function:handoff-prod-OrdersFunction-1ABC")),
        ("lambda:InvokeFunction", arn("lambda", "function:handoff-prod-OrdersFunction-1ABC")),
        ("s3:GetObject", OWN["s3"].replace("handoff-dev", "handoff-prod")),
        ("s3:PutObject", OWN["s3"].replace("handoff-dev", "handoff-prod")),
        ("s3:PutBucketPolicy", OWN["s3"].partition("/")[0]),
        ("secretsmanager:GetSecretValue", arn("secretsmanager", "secret:other/stripe-a1b2c3")),
        # services that template.yaml does not use
        ("ec2:RunInstances", "*"),
        ("organizations:LeaveOrganization", "*"),
    ],
)
def test_the_boundary_ends_at_the_stack(action: str, resource: str) -> None:
    assert not allows(action, resource, **({} if action == "iam:PassRole" else ASSIGNED))


def test_the_stack_reads_only_secrets_with_its_prefix() -> None:
    assert allows("secretsmanager:GetSecretValue", arn("secretsmanager", "secret:shop/stripe-a1b2c3"))
    assert not allows("secretsmanager:PutSecretValue", arn("secretsmanager", "secret:shop/stripe-a1b2c3"))


def test_cloudformations_role_has_this_policy_only_and_as_its_boundary() -> None:
    role = TEMPLATE["Resources"]["CloudFormationRole"]["Properties"]
    assert (role["PermissionsBoundary"], role["ManagedPolicyArns"]) == ("Boundary", ["Boundary"])
    assert "Policies" not in role
    assert TEMPLATE["Outputs"]["PermissionsBoundary"]["Value"] == "Boundary"
    assert len(json.dumps(STATEMENTS, separators=(",", ":"))) < 6_144  # IAM's limit of a managed policy
