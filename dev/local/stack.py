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
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import yaml

from dev.local import records
from dev.local.records import STATE, Record
from ops.stack.local import REGION, LocalEndpoint

ROOT = records.ROOT
_SAM = ROOT / ".tools/sam/bin/sam"
_MINISTACK = (str(ROOT / ".tools/ministack/bin/python"), "-m", "dev.local.emulator")
_SENDER = "shop@example.com"  # template.yaml's default
_START_SECONDS = 120  # on a busy machine
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # that end a command


class LocalStackError(Exception):
    """The local stack can't be started or deployed. The message says what to do."""


class LocalStack(LocalEndpoint):
    """A running MiniStack, and how to build for it and deploy to it."""

    def __init__(self, port: int, builds: Path = STATE, ministack: "subprocess.Popen[bytes] | None" = None) -> None:
        super().__init__(port)
        self._builds = builds  # concurrent builds in one folder break each other
        self.ministack = ministack  # None if another process has started it

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

    @property
    def built(self) -> Path:
        """The folder that `build` writes."""
        return self._builds / "build"

    def build(self) -> None:
        """Run `sam build` for the Python and the processor of this machine, which run the functions here."""
        environment = {"PYTHON_VERSION": f"{sys.version_info.major}.{sys.version_info.minor}"}
        environment["PYTHON_PLATFORM"] = _uv_platform()
        overrides = ["--parameter-overrides", *_host_parameters()]
        self._sam(["build", "--parallel", "--build-dir", str(self.built), *overrides], environment)
        # SAM reads YAML in Python, four times during `sam deploy`, and JSON 50 times as fast.
        template = self.built / "template.yaml"
        template.write_text(json.dumps(yaml.load(template.read_text(), yaml.CSafeLoader)))

    def deploy(self, **parameters: str) -> str:
        """Run `sam deploy` with the section ``local`` of samconfig.toml; return the stack's name.

        ``parameters`` replace those of the section.
        """
        config = tomllib.loads((ROOT / "samconfig.toml").read_text())["local"]["deploy"]["parameters"]
        s3 = self.session().client("s3", endpoint_url=self.endpoint)
        s3.create_bucket(Bucket=config["s3_bucket"])
        self.deploy_again(config["stack_name"], **parameters)
        self.session().client("sesv2", endpoint_url=self.endpoint).create_email_identity(EmailIdentity=_SENDER)
        return str(config["stack_name"])

    def deploy_again(self, stack: str, **parameters: str) -> None:
        """Run `sam deploy` for a stack with other parameters than those in the section ``local`` of samconfig.toml."""
        config = tomllib.loads((ROOT / "samconfig.toml").read_text())["local"]["deploy"]["parameters"]
        chosen = dict(override.split("=", 1) for override in config["parameter_overrides"]) | parameters
        overrides = ["--parameter-overrides", *(f"{name}={value}" for name, value in chosen.items())]
        template = ["--template-file", str(self.built / "template.yaml"), "--stack-name", stack]
        config_file = ["--config-file", str(ROOT / "samconfig.toml"), "--config-env", "local"]
        self._sam(
            ["deploy", "--use-json", *config_file, *template, "--no-progressbar", *overrides, *_host_parameters()], {}
        )

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

    def wait(self) -> None:
        """Wait until MiniStack ends, unexpectedly. `running` then raises LocalStackError."""
        if self.ministack:
            self.ministack.wait()

    def _sam(self, arguments: list[str], environment: dict[str, str]) -> None:
        sam = subprocess.Popen(
            [_SAM, *arguments],
            cwd=ROOT,
            env=self._sam_environment() | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            output = self._output_of(sam)
        except BaseException:  # Ctrl-C as well
            records.end_processes(sam.pid)
            raise
        if sam.returncode:
            raise LocalStackError(f"sam {arguments[0]} failed:\n{output[-4000:]}")

    def _output_of(self, sam: "subprocess.Popen[str]") -> str:
        """Return a command's output when it has ended; raise LocalStackError if MiniStack ends before it."""
        while True:
            try:
                return sam.communicate(timeout=1)[0]
            except subprocess.TimeoutExpired:  # without MiniStack, SAM would try again for minutes
                if self.ministack and self.ministack.poll() is not None:
                    raise LocalStackError("MiniStack has ended.") from None

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
    while_starting: Callable[[LocalStack], None] = lambda _: None,
) -> Iterator[LocalStack]:
    """Run MiniStack while the context lasts; afterwards remove its processes and temporary files.

    All functions inherit the environment ``variables``, such as those of `dev.faults.proxy.routes`. With a folder
    ``state``, the stack loads its state from there and saves it there. MiniStack takes seconds to start:
    ``while_starting`` is called meanwhile, for example to build.

    Raises
    ------
    LocalStackError
        If the port is in use, if MiniStack does not start, or if it ends before the context does.
    """
    _check_port(port)
    temporary, process = Path(tempfile.mkdtemp(prefix=records.FOLDER_PREFIX)), None
    log = temporary / "ministack.log"
    environment = _environment(port, temporary, state, enforce_iam=enforce_iam) | dict(variables or {})
    owner = psutil.Process()
    record = Record(owner=owner.pid, begun=owner.create_time(), temporary=temporary, variables=dict(variables or {}))
    try:
        with deferred_signals():  # there is no process without a record of it
            process = _start(environment, log)
            records.write(port, record.model_copy(update={"pid": process.pid}))
        stack = LocalStack(port, temporary, process)
        with _watched(process, port, log):
            while_starting(stack)
        _wait_until_up(stack, process, log)
        with _watched(process, port, log):
            yield stack
    finally:
        with deferred_signals():
            if process:
                records.end_processes(process.pid)
                process.wait()
            records.remove_folder(temporary)
            records.remove(port)


def variables_of(port: int) -> dict[str, str]:
    """Return the ``variables`` of the running stack on a port; empty without a stack."""
    record = records.read(port)
    return record.variables if record else {}


def _check_port(port: int) -> None:
    """Remove what killed runs have left, and check that the port is free."""
    records.end_abandoned()
    if record := records.read(port):
        raise LocalStackError(
            f"The local stack of process {record.owner} is still running on port {port}. "
            f"Stop it with Ctrl-C, or choose another port: PORT={_free_port(port + 1)}"
        )
    if port != (free := _free_port(port)):
        raise LocalStackError(f"Port {port} is in use by another program. Choose another one: PORT={free}")


def _environment(port: int, temporary: Path, state: Path | None, *, enforce_iam: bool) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return inherited | {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",
        "AUTH": "true" if enforce_iam else "false",
        "TMPDIR": str(temporary),
        "PYTHONDONTWRITEBYTECODE": "",  # workers import faster from bytecode
        "PYTHONPYCACHEPREFIX": "",  # which layers and functions bring with them
        **({"PERSIST_STATE": "1", "STATE_DIR": str(state)} if state else {}),
    }


def _start(environment: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """Start MiniStack in another session, so that Ctrl-C does not reach it before we end it."""
    with log.open("wb") as output:
        return subprocess.Popen(
            _MINISTACK, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )


def _wait_until_up(stack: LocalStack, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not stack.is_up():
        if process.poll() is not None or time.monotonic() > deadline:
            raise LocalStackError(f"MiniStack did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


@contextlib.contextmanager
def _watched(process: "subprocess.Popen[bytes]", port: int, log: Path) -> Iterator[None]:
    """Raise LocalStackError at the end of the context if MiniStack has ended."""
    try:
        yield
    finally:
        if process.poll() is not None:
            raise _ended(process, port, log)


def _ended(process: "subprocess.Popen[bytes]", port: int, log: Path) -> LocalStackError:
    """Return the error for a MiniStack that has ended unexpectedly. Its log is kept."""
    kept = records.STATE / f"ministack-{port}.log"
    shutil.copyfile(log, kept)
    status = process.returncode
    how = signal.Signals(-status).name if status < 0 else f"status {status}"
    return LocalStackError(
        f"The local stack is gone: MiniStack ended unexpectedly ({how}). Its log is {kept}. "
        "Start the stack again with: make run"
    )


@contextlib.contextmanager
def deferred_signals() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP take effect when the context ends, the first of them only."""
    if threading.current_thread() is not threading.main_thread():  # signals do not interrupt other threads
        yield
        return
    seen: list[int] = []
    handlers = {each: signal.signal(each, lambda number, _: seen.append(number)) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    if seen:
        signal.raise_signal(seen[0])


def _free_port(first: int) -> int:
    """Return the first free port from ``first`` on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for port in range(first, 65536):
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise LocalStackError(f"No port is free from {first} on. Choose a lower one: PORT=4566")


def _host_parameters() -> list[str]:
    """Return the parameters that depend on this machine: MiniStack runs functions on its own interpreter."""
    runtime = f"python{sys.version_info.major}.{sys.version_info.minor}"
    arm = platform.machine().lower() in {"arm64", "aarch64"}
    return [f"Runtime={runtime}", f"Architecture={'arm64' if arm else 'x86_64'}"]


def _uv_platform() -> str:
    machine = "aarch64" if platform.machine().lower() in {"arm64", "aarch64"} else "x86_64"
    return f"{machine}-apple-darwin" if sys.platform == "darwin" else f"{machine}-manylinux2014"
