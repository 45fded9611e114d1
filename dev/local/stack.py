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
    """The local stack can't be started or deployed. The message says what to do."""


class LocalStack(LocalEndpoint):
    """A running MiniStack, and how to build for it and deploy to it."""

    def __init__(self, port: int, builds: Path = _STATE) -> None:
        super().__init__(port)
        self._builds = builds  # concurrent builds in one folder break each other

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that make any AWS client use this stack only."""
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
        """Run `sam build` for the Python and the processor of this machine, which run the functions here."""
        environment = {"PYTHON_VERSION": f"{sys.version_info.major}.{sys.version_info.minor}"}
        environment["PYTHON_PLATFORM"] = _uv_platform()
        overrides = ["--parameter-overrides", *_host_parameters()]
        self._sam(["build", "--build-dir", str(self._builds / "build"), *overrides], environment)

    def deploy(self) -> str:
        """Run `sam deploy` with the section ``local`` of samconfig.toml; return the stack's name."""
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
        """Run `sam build` and `sam deploy` for another stack, in ``folder``."""
        chosen = [*(f"{name}={value}" for name, value in parameters.items()), *_host_parameters()]
        build = str(self._builds / f"build-{stack}")
        self._sam(["build", "--template-file", str(folder / "template.yaml"), "--build-dir", build], {})
        config = tomllib.loads((ROOT / "samconfig.toml").read_text())["local"]["deploy"]["parameters"]
        where = ["--template-file", f"{build}/template.yaml", "--stack-name", stack, "--region", REGION]
        upload = ["--s3-bucket", config["s3_bucket"], "--s3-prefix", stack, "--capabilities", "CAPABILITY_IAM"]
        self._sam(["deploy", *where, *upload, "--no-progressbar", "--parameter-overrides", *chosen], {})

    def invoke(self, stack: str, logical_id: str, event: Path) -> int:
        """Run `sam remote invoke`, with its output on the terminal; return its exit status."""
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
    """Run MiniStack while the context lasts; afterwards remove its processes and temporary files.

    All functions inherit the environment ``variables``, such as those of `dev.faults.proxy.routes`. With a folder
    ``state``, the stack loads its state from there and saves it there.

    Raises
    ------
    LocalStackError
        If the port is in use, or MiniStack does not start.
    """
    _end_leftover(port)
    if port != (free := _free_port(port)):
        raise LocalStackError(f"Port {port} is in use by another program. Choose another one: PORT={free}")
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
    """Return the ``variables`` of the running stack on a port; empty without a stack."""
    try:
        variables: dict[str, str] = json.loads(_leftover(port).read_text()).get("variables", {})
    except FileNotFoundError:
        return {}
    return variables


def _wait_until_up(stack: LocalStack, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not stack.is_up():
        if process.poll() is not None or time.monotonic() > deadline:
            raise LocalStackError(f"MiniStack did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


def _leftover(port: int) -> Path:
    return _STATE / f"stack-{port}.json"


def _end_leftover(port: int) -> None:
    """Remove the stack of an earlier process that was killed before it could clean up."""
    try:
        left = json.loads(_leftover(port).read_text())
    except FileNotFoundError:
        return
    if left["owner"] != os.getpid() and _runs(left["owner"], left.get("begun")):
        raise LocalStackError(
            f"The local stack of process {left['owner']} is still running on port {port}. "
            f"Stop it with Ctrl-C, or choose another port: PORT={_free_port(port + 1)}"
        )
    with contextlib.suppress(psutil.NoSuchProcess):
        if "ministack" in " ".join(psutil.Process(left["pid"]).cmdline()):
            _end(left["pid"], Path(left["temporary"]))
    _leftover(port).unlink(missing_ok=True)


def _runs(pid: int, begun: float | None) -> bool:
    """Return whether it is still the same process: after a reboot another one may have its id."""
    try:
        return psutil.Process(pid).create_time() == begun
    except psutil.NoSuchProcess:
        return False


def _free_port(first: int) -> int:
    """Return the first free port from ``first`` on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for port in range(first, 65536):
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise LocalStackError(f"No port is free from {first} on. Choose a lower one: PORT=4566")


def _end(pid: int, temporary: Path) -> None:
    """Terminate MiniStack and all processes that it started, then remove their temporary files."""
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
    """Return the parameters that depend on this machine: MiniStack runs functions on its own interpreter."""
    runtime = f"python{sys.version_info.major}.{sys.version_info.minor}"
    arm = platform.machine().lower() in {"arm64", "aarch64"}
    return [f"Runtime={runtime}", f"Architecture={'arm64' if arm else 'x86_64'}"]


def _uv_platform() -> str:
    machine = "aarch64" if platform.machine().lower() in {"arm64", "aarch64"} else "x86_64"
    return f"{machine}-apple-darwin" if sys.platform == "darwin" else f"{machine}-manylinux2014"
