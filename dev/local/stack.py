"""The local stack: MiniStack as a local AWS, and template.yaml deployed to it by SAM."""

import contextlib
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from ops.stack.local import REGION, LocalEndpoint

ROOT = Path(__file__).resolve().parents[2]
_SAM = ROOT / ".tools/sam/bin/sam"
_MINISTACK = ROOT / ".tools/ministack/bin/ministack"
_STATE = ROOT / ".local"
_SENDER = "shop@example.com"  # template.yaml's default
_START_SECONDS = 30


class LocalStackError(Exception):
    """The local stack can't be started or deployed; the text says what to do."""


class LocalStack(LocalEndpoint):
    """A running MiniStack, and how to build for it and deploy to it."""

    def __init__(self, port: int, builds: Path = _STATE) -> None:
        super().__init__(port)
        self._builds = builds  # two builds in one folder break each other

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which any AWS client talks to this stack, and to nothing else."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {
            **inherited,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def build(self) -> None:
        """`sam build`, for the Python and the processor of this machine: the functions run on them here."""
        environment = {"PYTHON_VERSION": f"{sys.version_info.major}.{sys.version_info.minor}"}
        environment["PYTHON_PLATFORM"] = _uv_platform()
        overrides = ["--parameter-overrides", *_host_parameters()]
        self._sam(["build", "--build-dir", str(self._builds / "build"), *overrides], environment)

    def deploy(self) -> str:
        """`sam deploy` with the section ``local`` of samconfig.toml; returns the stack's name."""
        config = tomllib.loads((ROOT / "samconfig.toml").read_text())["local"]["deploy"]["parameters"]
        s3 = self.session().client("s3", endpoint_url=self.endpoint)
        s3.create_bucket(Bucket=config["s3_bucket"])
        overrides = ["--parameter-overrides", *config["parameter_overrides"], *_host_parameters()]
        template = ["--template-file", str(self._builds / "build/template.yaml")]
        config_file = ["--config-file", str(ROOT / "samconfig.toml"), "--config-env", "local"]
        self._sam(["deploy", *config_file, *template, "--no-progressbar", *overrides], {})
        self.session().client("sesv2", endpoint_url=self.endpoint).create_email_identity(EmailIdentity=_SENDER)
        return str(config["stack_name"])

    def deploy_beside(self, folder: Path, stack: str, **parameters: str) -> None:
        """`sam build` and `sam deploy` of another stack, in ``folder``."""
        chosen = [*(f"{name}={value}" for name, value in parameters.items()), *_host_parameters()]
        build = str(self._builds / f"build-{stack}")
        self._sam(["build", "--template-file", str(folder / "template.yaml"), "--build-dir", build], {})
        config = tomllib.loads((ROOT / "samconfig.toml").read_text())["local"]["deploy"]["parameters"]
        where = ["--template-file", f"{build}/template.yaml", "--stack-name", stack, "--region", REGION]
        upload = ["--s3-bucket", config["s3_bucket"], "--s3-prefix", stack, "--capabilities", "CAPABILITY_IAM"]
        self._sam(["deploy", *where, *upload, "--no-progressbar", "--parameter-overrides", *chosen], {})

    def invoke(self, stack: str, logical_id: str, event: Path) -> int:
        """`sam remote invoke`, printing what it prints; returns its exit status."""
        command = ["remote", "invoke", logical_id, "--stack-name", stack, "--event-file", str(event)]
        return subprocess.run([_SAM, *command, "--region", REGION], env=self._sam_environment(), check=False).returncode

    def _sam(self, arguments: list[str], environment: dict[str, str]) -> None:
        done = subprocess.run(
            [_SAM, *arguments],
            cwd=ROOT,
            env=self._sam_environment() | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LocalStackError(f"sam {arguments[0]} failed:\n{done.stdout[-4000:]}")

    def _sam_environment(self) -> dict[str, str]:
        path = f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return self.environment | {"PATH": path, "SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "0.5"}


@contextlib.contextmanager
def running(
    port: int,
    *,
    enforce_iam: bool = True,
    variables: Mapping[str, str] | None = None,
    state: Path | None = None,
) -> Iterator[LocalStack]:
    """MiniStack for as long as the context lasts; afterwards its processes and temporary files are gone.

    ``variables`` are environment variables that all functions inherit, such as `ops.fault_proxy.routes`. What the stack
    holds is kept in the folder ``state``, if there is one, for the next one that names it.

    Raises
    ------
    LocalStackError
        If the port is taken, or MiniStack does not come up.
    """
    _end_leftover(port)
    _check_free(port)
    _STATE.mkdir(exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix="handoff-"))
    log = temporary / "ministack.log"
    stack = LocalStack(port, temporary)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",
        "AUTH": "true" if enforce_iam else "false",
        "TMPDIR": str(temporary),
        "PYTHONDONTWRITEBYTECODE": "",  # workers import faster from bytecode
        **(variables or {}),
        **({"PERSIST_STATE": "1", "STATE_DIR": str(state)} if state else {}),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [_MINISTACK], env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    owner = psutil.Process()
    left = {"pid": process.pid, "owner": owner.pid, "begun": owner.create_time(), "temporary": str(temporary)}
    left["variables"] = dict(variables or {})
    _leftover(port).write_text(json.dumps(left))
    try:
        _wait_until_up(stack, process, log)
        yield stack
    finally:
        _end(process.pid, temporary)
        process.wait()
        _leftover(port).unlink(missing_ok=True)


def variables_of(port: int) -> dict[str, str]:
    """The ``variables`` that the functions of the running stack on a port have; empty if there is none."""
    try:
        variables: dict[str, str] = json.loads(_leftover(port).read_text()).get("variables", {})
    except FileNotFoundError:
        return {}
    return variables


def _wait_until_up(stack: LocalStack, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not stack.is_up():
        if process.poll() is not None or time.monotonic() > deadline:
            raise LocalStackError(f"MiniStack did not come up:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


def _leftover(port: int) -> Path:
    return _STATE / f"stack-{port}.json"


def _end_leftover(port: int) -> None:
    """End the stack of a run that was killed before it could clean up."""
    try:
        left = json.loads(_leftover(port).read_text())
    except FileNotFoundError:
        return
    if left["owner"] != os.getpid() and _runs(left["owner"], left.get("begun")):
        raise LocalStackError(
            f"The local stack of process {left['owner']} is still running on port {port}. "
            "End it with Ctrl-C, or choose another port: make run PORT=4600"
        )
    with contextlib.suppress(psutil.NoSuchProcess):
        if "ministack" in " ".join(psutil.Process(left["pid"]).cmdline()):
            _end(left["pid"], Path(left["temporary"]))
    _leftover(port).unlink(missing_ok=True)


def _runs(pid: int, begun: float | None) -> bool:
    """Whether it is still the same process: after a restart of the machine another one may have its number."""
    try:
        return psutil.Process(pid).create_time() == begun
    except psutil.NoSuchProcess:
        return False


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise LocalStackError(
                f"Port {port} is taken by another program. Choose another port: make run PORT=4600"
            ) from error


def _end(pid: int, temporary: Path) -> None:
    """End MiniStack and every process that it started, then remove their temporary files."""
    with contextlib.suppress(psutil.NoSuchProcess):
        main = psutil.Process(pid)
        family = [*main.children(recursive=True), main]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(family, timeout=3)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=3)
    shutil.rmtree(temporary, ignore_errors=True)


def _host_parameters() -> list[str]:
    """The two parameters that follow from the machine: MiniStack runs functions on its own interpreter."""
    runtime = f"python{sys.version_info.major}.{sys.version_info.minor}"
    arm = platform.machine().lower() in {"arm64", "aarch64"}
    return [f"Runtime={runtime}", f"Architecture={'arm64' if arm else 'x86_64'}"]


def _uv_platform() -> str:
    machine = "aarch64" if platform.machine().lower() in {"arm64", "aarch64"} else "x86_64"
    return f"{machine}-apple-darwin" if sys.platform == "darwin" else f"{machine}-manylinux2014"
