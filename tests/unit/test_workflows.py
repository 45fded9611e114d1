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


LOCK = "requirements/dev.txt"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A clone of a repository with two locks, in which the job that pushes runs; its origin is beside it."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    work = tmp_path / "work"
    for path in (LOCK, "layers/stripe/requirements.txt", ".github/workflows/deploy.yml"):
        (work / path).parent.mkdir(parents=True)
        (work / path).write_text("boto3==1\n")
    git(tmp_path, "init", "--quiet", "--bare", "origin")
    git(work, "init", "--quiet")
    git(work, "remote", "add", "origin", str(tmp_path / "origin"))
    commit_all(work)
    return work


def git(folder, *arguments):
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def commit_all(folder):
    git(folder, "add", "--all")
    git(folder, "-c", "user.name=x", "-c", "user.email=x", "commit", "--quiet", "--message", "x")


def propose(checkout, change):
    """Run the step that applies the patch of a change; return whether it succeeds."""
    change(checkout)
    git(checkout, "add", "--all")
    patch = checkout.parent / "update.patch"
    patch.write_text(git(checkout, "diff", "--cached", "--binary"))
    git(checkout, "reset", "--quiet", "--hard")
    (step,) = (step for step in JOBS["update.propose"]["steps"] if "git apply" in step.get("run", ""))
    environment = os.environ | step["env"] | {"RUNNER_TEMP": str(patch.parent), "GITHUB_STEP_SUMMARY": os.devnull}
    bash = ("bash", "-eo", "pipefail", "-c", step["run"])
    return subprocess.run(bash, cwd=checkout, env=environment, check=False, capture_output=True).returncode == 0


def branches(checkout):
    return git(checkout.parent / "origin", "for-each-ref", "--format=%(refname:short)").split()


def test_an_update_of_the_locks_is_pushed(checkout):
    def change(work):
        (work / LOCK).write_text("boto3==2\n")
        (work / "layers/stripe/requirements.txt").write_text("stripe==2\n")

    assert propose(checkout, change)
    assert branches(checkout) == ["update/requirements"]


@pytest.mark.parametrize(
    "change",
    [
        lambda work: (work / ".github/workflows/deploy.yml").write_text("on: push\n"),
        lambda work: (work / "conftest.py").write_text("import os\n"),
        lambda work: (work / "requirements/dev.in").write_text("boto3\n"),
        lambda work: (work / "requirements/new.txt").write_text("boto3==2\n"),
        lambda work: (work / LOCK).unlink(),
        lambda work: (work / LOCK).rename(work / "requirements/other.txt"),
        lambda work: (work / LOCK).chmod(0o755),
        lambda work: ((work / LOCK).unlink(), (work / LOCK).symlink_to("../.github/workflows/deploy.yml")),
    ],
    ids=["workflow", "code", "input", "new lock", "deletion", "rename", "executable", "link"],
)
def test_an_update_of_anything_else_is_not_pushed(checkout, change):
    # WHEN a patch changes a lock, and something else
    def both(work):
        (work / "layers/stripe/requirements.txt").write_text("stripe==2\n")
        change(work)

    # THEN the step fails, and nothing was pushed
    assert not propose(checkout, both)
    assert branches(checkout) == []


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


def evaluated(text, run):
    """Return a text with its expressions evaluated for a run: names of its context, ``||`` and ``==``."""

    def value(expression):
        if "||" in expression:
            return next((found for part in expression.split("||") if (found := value(part.strip()))), "")
        if "==" in expression:
            left, right = expression.split("==")
            return str(value(left.strip()) == right.strip().strip("'")).lower()
        return run.get(expression, "")

    return re.sub(r"\$\{\{ (.+?) \}\}", lambda found: value(found[1]), str(text))


PUSH = {"github.event_name": "push", "github.run_id": "1001", "github.ref": "refs/heads/main"}
PULL_REQUEST = {"github.event_name": "pull_request", "github.run_id": "1002", "github.event.pull_request.number": "7"}


@pytest.mark.parametrize("name", ["1001", "main", "push-1001", "ci-push-1001"])
def test_no_pull_request_can_cancel_a_run_on_main(name):
    # GIVEN a pull request of a fork, whose author chooses the branch's name and the title
    chosen = {f"github.{key}": name for key in ("head_ref", "ref_name", "event.pull_request.head.ref", "actor")}
    chosen["github.event.pull_request.title"] = name
    concurrency = WORKFLOWS["ci"]["concurrency"]
    group = evaluated(concurrency["group"], PULL_REQUEST | chosen)
    # THEN its run is in no group of a run on main, and what the author chose does not matter
    assert group == evaluated(concurrency["group"], PULL_REQUEST)
    assert group != evaluated(concurrency["group"], PUSH)
    assert not re.search(r"head_ref|ref_name|head\.ref|head\.label|title|actor", str(concurrency))


def test_a_push_cancels_only_an_older_run_of_its_pull_request():
    concurrency = WORKFLOWS["ci"]["concurrency"]

    def seen(**run):
        return evaluated(concurrency["group"], run), evaluated(concurrency["cancel-in-progress"], run)

    assert seen(**PULL_REQUEST) == seen(**PULL_REQUEST | {"github.run_id": "1003"})
    assert seen(**PULL_REQUEST)[1] == "true"
    assert seen(**PUSH)[1] == "false"
    assert seen(**PUSH)[0] != seen(**PUSH | {"github.run_id": "1004"})[0]


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
    known = ("make ", ".venv/bin/handoff ", "git ", "gh ", "echo ", "tee ", "grep ", "if test ", "if git ")
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
