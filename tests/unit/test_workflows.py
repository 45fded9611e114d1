"""The pipeline: permissions of its jobs, order of deployments, and that its commands exist. zizmor checks the rest."""

import os
import re
import shlex
import subprocess

import click
import pytest
import yaml

from dev.template import ROOT, source
from ops.cli.main import main

FILES = {path.stem: path for path in sorted((ROOT / ".github/workflows").glob("*.yml"))}
WORKFLOWS = {name: yaml.safe_load(path.read_text()) for name, path in FILES.items()}
JOBS = {f"{name}.{job}": found for name, flow in WORKFLOWS.items() for job, found in flow["jobs"].items()}
STEPS = [(job, step) for job, found in JOBS.items() for step in found.get("steps", [])]
RUNS = [(job, step["run"]) for job, step in STEPS if "run" in step]
DEPLOYING = {"deploy.dev", "deploy.changes", "deploy.prod"}
# The only permissions beyond reading the code.
WRITES = {
    "ci.deploy": {"id-token"},
    **{job: {"id-token"} for job in DEPLOYING},
    "update.propose": {"contents", "pull-requests"},
}
DEPLOYING_MD = " ".join((ROOT / "docs/how-to/deploy-from-github.md").read_text().split())


@pytest.mark.parametrize("job", JOBS)
def test_a_job_may_write_only_what_it_needs(job):
    granted = JOBS[job].get("permissions", {})
    assert {permission for permission, level in granted.items() if level != "read"} == WRITES.get(job, set())


def test_every_job_has_a_timeout():
    assert [job for job, found in JOBS.items() if "timeout-minutes" not in found and "uses" not in found] == []


def test_only_deployments_sign_in_to_aws_and_without_a_stored_key():
    assert {job for job, step in STEPS if "configure-aws-credentials" in step.get("uses", "")} == DEPLOYING
    for path in FILES.values():
        assert not re.search(r"secrets\.|aws-(access|secret|session)", path.read_text(), re.IGNORECASE)


def test_the_job_that_may_push_runs_no_code_of_the_repository():
    assert not [run for job, run in RUNS if job == "update.propose" and re.search(r"\b(make|python|uv|handoff)\b", run)]


def test_an_update_that_can_open_no_pull_request_fails_and_says_what_to_do(tmp_path):
    *_, open_step, explain_step = JOBS["update.propose"]["steps"]
    summary, gh = tmp_path / "summary.md", tmp_path / "gh"
    repository = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "octocat/shop"}
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(summary), **repository}

    def succeeds(step):
        bash = ("bash", "-eo", "pipefail", "-c")
        return subprocess.run([*bash, step["run"]], env=environment, check=False).returncode == 0

    # GIVEN a repository that does not allow workflows to open pull requests, as new ones do not
    gh.write_text("#!/bin/sh\nexit 1\n")
    gh.chmod(0o755)
    # THEN the job fails
    assert not succeeds(open_step)
    assert "continue-on-error" not in open_step
    # AND its summary names the setting, and links to a form to open the pull request by hand
    assert explain_step["if"] == f"failure() && steps.{open_step['id']}.outcome == 'failure'"
    assert succeeds(explain_step)
    text = summary.read_text()
    assert "https://github.com/octocat/shop/compare/main...update/requirements?expand=1\n" in text
    setting = "Allow GitHub Actions to create and approve pull requests"
    assert setting in text
    # AND the page on deploying names it, too
    assert setting in DEPLOYING_MD


def test_a_push_to_main_is_deployed_to_dev_and_then_to_prod():
    # A deployment follows all checks, of a push, and a push is to main
    assert WORKFLOWS["ci"][True]["push"] == {"branches": ["main"]}  # YAML reads `on` as true
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
    """Each command of each script, for each value of its matrix; quotes stay."""
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


def test_scripts_run_no_other_commands():
    known = ("make ", ".venv/bin/handoff ", "git ", "gh ", "echo ", "tee ", "grep ", "if test ")
    assert [command for command in commands() if not command.strip().startswith(known)] == []


def test_the_pipeline_runs_every_check():
    run = {word for command in MAKE for word in shlex.split(command)[1:]}
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"lint", "chaos", "fuzz", *(target for target in targets if target.startswith("test"))} <= run
    assert {step["env"]["AUDIT"] for _, step in STEPS if "AUDIT" in step.get("env", {})} == {"required"}
    assert JOBS["ci.check"]["strategy"]["matrix"]["python"] == ["3.11", "3.13"]


def test_a_deployment_is_built_with_the_functions_python():
    runtime = source()["Parameters"]["Runtime"]["Default"]
    for job in DEPLOYING:
        versions = [step["with"]["python-version"] for step in JOBS[job]["steps"] if "setup-python" in str(step)]
        assert [f"python{version}" for version in versions] == [runtime]
