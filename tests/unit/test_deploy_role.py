"""The roles of deployments from GitHub: who may assume them, and that they may do what a deployment does."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from dev.template import ROOT, source

TEXT = (ROOT / ".github/deploy-role.yaml").read_text()
ROLES = yaml.load(TEXT, yaml.BaseLoader)  # intrinsic functions become plain lists and strings
DEPLOY_WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())
DEPLOYING_MD = (ROOT / "docs/how-to/deploy-from-github.md").read_text()


def test_each_role_is_for_the_jobs_of_one_environment() -> None:
    environments = ", ".join(job["environment"] for job in DEPLOY_WORKFLOW["jobs"].values())
    assert f"AllowedValues: [{environments}]" in TEXT
    assert TEXT.count("sts:AssumeRoleWithWebIdentity") == 1
    assert "token.actions.githubusercontent.com:sub: !Sub repo:${Repository}:environment:${Environment}\n" in TEXT


@pytest.mark.parametrize(
    ("name", "is_valid"),
    [
        ("octocat/my-repo", True),
        ("octocat@123456/my-repo@456789", True),
        ("octocat@123456/my-repo", False),
        ("octocat/my-repo@456789", False),
        ("octocat@123456/my-repo@456789:environment", False),
        ("octocat@*/my-repo@*", False),
        ("octocat", False),
    ],
)
def test_a_repository_is_named_as_in_its_tokens(name: str, is_valid: bool) -> None:
    # https://docs.github.com/en/actions/reference/security/oidc#immutable-subject-claims
    declared = ROLES["Parameters"]["Repository"]
    assert bool(re.fullmatch(declared["AllowedPattern"], name)) is is_valid
    assert all("owner@id/name@id" in declared[text] for text in ("Description", "ConstraintDescription"))
    assert "--jq .sub_claim_prefix" in DEPLOYING_MD


def statements(node: Any, *conditions: str) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """A role's statements, each with the conditions of the template that it depends on."""
    if isinstance(node, dict) and "Effect" in node:
        yield conditions, node
    elif isinstance(node, dict):
        for part in node.values():
            yield from statements(part, *conditions)
    elif isinstance(node, list) and str(node[0]) in ROLES["Conditions"]:
        yield from statements(node[1:], *conditions, node[0])
    elif isinstance(node, list):
        for part in node:
            yield from statements(part, *conditions)


def allowed(role: str, action: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The one statement that allows an action, and its conditions."""
    (found,) = (
        (conditions, statement)
        for conditions, statement in statements(ROLES["Resources"][role]["Properties"]["Policies"])
        if action in statement["Action"]
    )
    return found


@pytest.mark.parametrize("action", ["cognito-idp:AdminCreateUser", "cognito-idp:AdminSetUserPassword"])
def test_users_are_created_in_the_named_pool_and_for_dev_only(action: str) -> None:
    conditions, statement = allowed("DeployRole", action)
    assert statement["Resource"].endswith(":userpool/${UserPool}")
    # AND without a pool the role lacks the permission
    assert conditions == ("MayOrder", "MaySignIn")
    assert ROLES["Conditions"]["MaySignIn"] == ["MayOrder", [["UserPool", ""]]]
    assert ROLES["Parameters"]["UserPool"]["Default"] == ""
    # AND the page on deploying says to name it
    assert " UserPool=" in DEPLOYING_MD


def test_the_smoke_test_may_write_its_product_under_the_stacks_own_key() -> None:
    # GIVEN a table encrypted with a key that has this alias
    assert source()["Resources"]["DataKeyAlias"]["Properties"]["AliasName"] == {"Fn::Sub": "alias/${AWS::StackName}"}
    # THEN a role that may write to the table may use the key of that alias, through DynamoDB only
    conditions, writing = allowed("DeployRole", "dynamodb:PutItem")
    assert "/${Stack}-ProductsTable-" in writing["Resource"]
    key_conditions, using = allowed("DeployRole", "kms:Decrypt")
    assert key_conditions == conditions
    assert using["Action"] == "kms:Decrypt"
    assert using["Condition"] == {
        "StringEquals": {"kms:ViaService": "dynamodb.${AWS::Region}.${AWS::URLSuffix}"},
        "ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/${Stack}"},
    }


def test_a_job_uploads_code_under_its_own_stacks_prefix_only() -> None:
    # GIVEN one bucket for all stacks, in which a file is not uploaded again if one of its hash is there
    bucket = "arn:${AWS::Partition}:s3:::aws-sam-cli-managed-default-samclisourcebucket-*"
    for action in ("s3:GetObject", "s3:PutObject"):
        assert allowed("DeployRole", action)[1]["Resource"] == f"{bucket}/${{Stack}}/*"
    # THEN the other permissions for the bucket show no content
    others = {
        action
        for _, statement in statements(ROLES["Resources"]["DeployRole"]["Properties"]["Policies"])
        for action in statement["Action"]
        if action.startswith("s3:")
    }
    assert others - {"s3:GetObject", "s3:PutObject"} == {"s3:ListBucket", "s3:GetBucketLocation"}


def test_checkov_checks_every_template_and_has_reasons_for_what_it_skips() -> None:
    text = (ROOT / ".checkov.yaml").read_text()
    config = yaml.safe_load(text)
    templates = [ROOT / "template.yaml", ROOT / ".github/deploy-role.yaml", *ROOT.glob("examples/*/template.yaml")]
    assert sorted(config["file"]) == sorted(str(path.relative_to(ROOT)) for path in templates)
    assert len(re.findall(r"^  - CKV\d?_\w+ # .{20,}$", text, re.MULTILINE)) == len(config["skip-check"])
