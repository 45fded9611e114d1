"""The pipeline, held to what can be known of it without running it: pins, rights, and that its commands exist."""

import os
import re
import shlex
import subprocess

import click
import pytest
import yaml

from dev.local.stack import ROOT
from ops.cli.main import main

FOLDER = ROOT / ".github/workflows"
FILES = {path.stem: path for path in sorted(FOLDER.glob("*.yml"))}
WORKFLOWS = {name: yaml.safe_load(path.read_text()) for name, path in FILES.items()}
JOBS = {f"{name}.{job}": found for name, flow in WORKFLOWS.items() for job, found in flow["jobs"].items()}
STEPS = [(job, step) for job, found in JOBS.items() for step in found.get("steps", [])]
RUNS = [(job, step["run"]) for job, step in STEPS if "run" in step]
DEPLOYING = {"deploy.dev", "deploy.changes", "deploy.prod"}
# The only rights beyond reading the code.
MAY = {
    "ci.deploy": {"id-token"},
    **{job: {"id-token"} for job in DEPLOYING},
    "update.propose": {"contents", "pull-requests"},
}
USES = re.compile(r"uses: (?P<action>[\w./-]+)@(?P<commit>\S+)(?P<comment>.*)")
DEPLOYING_MD = (ROOT / "docs/how-to/deploy-from-github.md").read_text()
ROLES = yaml.load((ROOT / ".github/deploy-role.yaml").read_text(), yaml.BaseLoader)  # without its functions' names
TEMPLATE = yaml.load((ROOT / "template.yaml").read_text(), yaml.BaseLoader)


def test_each_action_is_pinned_by_its_commit_with_the_version_beside_it():
    pins = [found for path in FILES.values() for found in USES.finditer(path.read_text())]
    assert len(pins) == sum("uses" in step for _, step in STEPS)
    for pin in pins:
        assert re.fullmatch(r"[0-9a-f]{40}", pin["commit"]), pin[0]
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", pin["comment"]), pin[0]
    # AND one action is at one commit, everywhere
    assert len({pin["action"] for pin in pins}) == len({(pin["action"], pin["commit"]) for pin in pins})


@pytest.mark.parametrize("name", FILES)
def test_a_workflow_may_no_more_than_read_the_code(name):
    assert WORKFLOWS[name]["permissions"] in ({}, {"contents": "read"})


@pytest.mark.parametrize("job", JOBS)
def test_a_job_may_write_only_what_it_is_there_for(job):
    granted = JOBS[job].get("permissions", {})
    assert {right for right, level in granted.items() if level != "read"} == MAY.get(job, set())
    assert "timeout-minutes" in JOBS[job] or "uses" in JOBS[job]


def test_aws_is_entered_by_openid_connect_only():
    entering = {job for job, step in STEPS if "configure-aws-credentials" in step.get("uses", "")}
    assert entering == DEPLOYING
    assert entering == {job for job, rights in MAY.items() if "id-token" in rights} - {"ci.deploy"}
    for path in FILES.values():
        assert "secrets." not in path.read_text()
        assert not re.search(r"aws-(access|secret|session)", path.read_text(), re.IGNORECASE)


def test_the_token_of_a_run_stays_with_no_step_that_runs_the_code():
    for job, step in STEPS:
        if "actions/checkout" in step.get("uses", ""):
            assert (step.get("with", {}).get("persist-credentials") is False) == (job != "update.propose"), job
    assert not [run for job, run in RUNS if job == "update.propose" and re.search(r"\b(make|python|uv|handoff)\b", run)]


def test_an_update_whose_pull_request_is_refused_fails_and_says_what_to_do(tmp_path):
    *_, opening, telling = JOBS["update.propose"]["steps"]
    summary, refusing = tmp_path / "summary.md", tmp_path / "gh"
    repository = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "octocat/shop"}
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(summary), **repository}

    def ends_well(step):
        bash = ("bash", "-eo", "pipefail", "-c")
        return subprocess.run([*bash, step["run"]], env=environment, check=False).returncode == 0

    # GIVEN a repository that lets no run open a pull request, as new ones do
    refusing.write_text("#!/bin/sh\nexit 1\n")
    refusing.chmod(0o755)
    # THEN the job fails
    assert not ends_well(opening)
    assert "continue-on-error" not in opening
    # AND its summary says what allows it, and where a human opens one
    assert telling["if"] == f"failure() && steps.{opening['id']}.outcome == 'failure'"
    assert ends_well(telling)
    said = summary.read_text()
    assert "https://github.com/octocat/shop/compare/main...update/requirements?expand=1\n" in said
    setting = "Allow GitHub Actions to create and approve pull requests"
    assert setting in said
    # AND so does the page, beforehand
    assert setting in DEPLOYING_MD


def test_nothing_from_outside_is_pasted_into_a_script():
    for _, run in RUNS:
        assert set(re.findall(r"\$\{\{\s*(.+?)\s*\}\}", run)) <= {"matrix.target"}


def test_what_main_has_passed_goes_to_dev_and_then_to_prod():
    # A deployment follows all checks, of a push, and a push is to main
    assert WORKFLOWS["ci"][True]["push"] == {"branches": ["main"]}  # YAML takes `on` for true
    deploy = JOBS["ci.deploy"]
    assert (deploy["needs"], deploy["if"]) == ("check", "github.event_name == 'push'")
    assert set(WORKFLOWS["deploy"][True]) == {"workflow_call"}
    # Prod waits for dev's smoke test and for the change set, in an environment that can ask for an approval
    assert JOBS["deploy.changes"]["needs"] == "dev"
    assert JOBS["deploy.prod"]["needs"] == "changes"
    assert [JOBS[job]["environment"] for job in sorted(DEPLOYING)] == ["prod-changes", "dev", "prod"]
    assert not JOBS["deploy.dev"].get("needs")
    for job in DEPLOYING:
        assert JOBS[job]["concurrency"]["cancel-in-progress"] is False
    for stage in ("dev", "prod"):
        last = JOBS[f"deploy.{stage}"]["steps"][-1]["run"]
        assert last == f".venv/bin/handoff smoke --stack {stack_of(stage)}"


def stack_of(stage):
    found = re.search(rf'\[{stage}\.deploy\.parameters\]\nstack_name = "(.+)"', (ROOT / "samconfig.toml").read_text())
    assert found
    return found[1]


def commands():
    """Each command of each script, its matrix written out; quotes are left as they are."""
    for job, run in RUNS:
        matrix = JOBS[job].get("strategy", {}).get("matrix", {})
        for line in run.splitlines():
            for value in matrix.get("target", [""]):
                yield from re.split(r" [|]{1,2} | && ", line.replace("${{ matrix.target }}", value))


MAKE = sorted({command for command in commands() if command.startswith("make ")})
HANDOFF = sorted({command for command in commands() if command.startswith(".venv/bin/handoff ")})


@pytest.mark.parametrize("command", MAKE)
def test_a_target_of_make_exists_with_its_variables(command):
    makefile = (ROOT / "Makefile").read_text()
    for word in shlex.split(command)[1:]:
        name, is_variable, _ = word.partition("=")
        assert f"$({name})" in makefile or f",{name}" in makefile if is_variable else f"\n{name}: " in makefile, word


@pytest.mark.parametrize("command", HANDOFF)
def test_a_command_of_handoff_exists_with_its_options(command):
    name, *arguments = shlex.split(command)[1:]
    with click.Context(main) as context:
        found = main.get_command(context, name)
        assert found
        found.parse_args(click.Context(found), arguments)


def test_the_scripts_run_nothing_that_is_not_looked_at_here():
    # GIVEN what is left when the commands above are taken away
    known = ("make ", ".venv/bin/handoff ", "git ", "gh ", "echo ", "tee ", "grep ", "if test ")
    assert [command for command in commands() if not command.strip().startswith(known)] == []


def test_all_that_is_to_be_held_is_run_by_the_pipeline():
    run = {word for command in MAKE for word in shlex.split(command)[1:]}
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"lint", "chaos", "fuzz", *(target for target in targets if target.startswith("test"))} <= run
    assert {step["env"]["AUDIT"] for _, step in STEPS if "AUDIT" in step.get("env", {})} == {"required"}
    assert JOBS["ci.check"]["strategy"]["matrix"]["python"] == ["3.11", "3.13"]


def test_a_deployment_is_built_with_the_functions_own_python():
    runtime = TEMPLATE["Parameters"]["Runtime"]["Default"]
    for job in DEPLOYING:
        versions = [step["with"]["python-version"] for step in JOBS[job]["steps"] if "setup-python" in str(step)]
        assert [f"python{version}" for version in versions] == [runtime]


def test_a_role_is_for_the_jobs_of_one_environment():
    template = (ROOT / ".github/deploy-role.yaml").read_text()
    environments = ", ".join(JOBS[job]["environment"] for job in JOBS if job in DEPLOYING)
    assert f"AllowedValues: [{environments}]" in template
    assert template.count("sts:AssumeRoleWithWebIdentity") == 1
    assert "token.actions.githubusercontent.com:sub: !Sub repo:${Repository}:environment:${Environment}\n" in template


@pytest.mark.parametrize(
    ("name", "is_one"),
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
def test_a_repository_is_called_as_its_tokens_call_it(name, is_one):
    # https://docs.github.com/en/actions/reference/security/oidc#immutable-subject-claims
    declared = ROLES["Parameters"]["Repository"]
    assert bool(re.fullmatch(declared["AllowedPattern"], name)) is is_one
    assert all("owner@id/name@id" in declared[text] for text in ("Description", "ConstraintDescription"))
    assert "--jq .sub_claim_prefix" in DEPLOYING_MD


def statements(node, *conditions):
    """What a role may do, each with the conditions of the template that it depends on."""
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


def allowed(role, action):
    """The one statement that allows an action, and its conditions."""
    (found,) = (
        (conditions, statement)
        for conditions, statement in statements(ROLES["Resources"][role]["Properties"]["Policies"])
        if action in statement["Action"]
    )
    return found


@pytest.mark.parametrize("action", ["cognito-idp:AdminCreateUser", "cognito-idp:AdminSetUserPassword"])
def test_users_are_made_in_the_pool_that_is_named_and_for_dev_only(action):
    conditions, statement = allowed("DeployRole", action)
    assert statement["Resource"].endswith(":userpool/${UserPool}")
    # AND without a pool there is no such right
    assert conditions == ("MayOrder", "MaySignIn")
    assert ROLES["Conditions"]["MaySignIn"] == ["MayOrder", [["UserPool", ""]]]
    assert ROLES["Parameters"]["UserPool"]["Default"] == ""
    # AND whoever sets it up is told to name it
    assert " UserPool=" in DEPLOYING_MD


def test_the_smoke_test_writes_its_product_under_the_stacks_own_key_too():
    # GIVEN a table that the template puts under a key, which it gives this alias
    assert TEMPLATE["Resources"]["DataKeyAlias"]["Properties"]["AliasName"] == "alias/${AWS::StackName}"
    # THEN who writes there may use the keys of that alias, by the table alone
    conditions, writing = allowed("DeployRole", "dynamodb:PutItem")
    assert "/${Stack}-ProductsTable-" in writing["Resource"]
    key_conditions, using = allowed("DeployRole", "kms:Decrypt")
    assert key_conditions == conditions
    assert using["Action"] == "kms:Decrypt"
    assert using["Condition"] == {
        "StringEquals": {"kms:ViaService": "dynamodb.${AWS::Region}.amazonaws.com"},
        "ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/${Stack}"},
    }


def test_cloudformation_may_do_all_that_it_does_with_roles():
    # GIVEN the rights that the schema of AWS::IAM::Role names (handlers), but for those that no role here takes
    named = {
        *("CreateRole", "GetRole", "DeleteRole", "UpdateAssumeRolePolicy", "TagRole", "UntagRole"),
        *("AttachRolePolicy", "DetachRolePolicy", "ListAttachedRolePolicies"),
        *("PutRolePolicy", "GetRolePolicy", "DeleteRolePolicy", "ListRolePolicies"),
    }
    roles = [found["Properties"] for found in TEMPLATE["Resources"].values() if found["Type"] == "AWS::IAM::Role"]
    assert not [role for role in roles if {"Description", "MaxSessionDuration", "PermissionsBoundary"} & role.keys()]
    # THEN it has them on roles of the stack, and may hand these on
    _, statement = allowed("CloudFormationRole", "iam:CreateRole")
    assert set(statement["Action"]) == {f"iam:{call}" for call in named | {"PassRole"}}
    assert statement["Resource"].endswith(":role/${Stack}-*")


def test_checkov_looks_at_every_workflow_and_template():
    config = yaml.safe_load((ROOT / ".checkov.yaml").read_text())
    templates = [ROOT / "template.yaml", ROOT / ".github/deploy-role.yaml", *ROOT.glob("examples/*/template.yaml")]
    found = [*FOLDER.glob("*.yml"), *templates]
    assert sorted(config["file"]) == sorted(str(path.relative_to(ROOT)) for path in found)


def test_each_check_that_checkov_leaves_out_has_its_reason_beside_it():
    skipped = [line for line in (ROOT / ".checkov.yaml").read_text().splitlines() if line.startswith("  - CKV")]
    assert len(skipped) == len(yaml.safe_load((ROOT / ".checkov.yaml").read_text())["skip-check"])
    assert all(re.fullmatch(r"  - CKV\d?_\w+ # .{20,}", line) for line in skipped)
