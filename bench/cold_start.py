"""Cold starts: time to import each built function and create its clients, relative to bare boto3."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import copytree, ignore_patterns
from statistics import median
from typing import Any

from matplotlib.figure import Figure

from bench.markdown import plot, table
from dev import artifacts
from dev.artifacts import Build, Function
from dev.template import source

# Highest ratios to bare boto3, of the API's function and of every other one, by version of Python.
GATES = {"3.11": (1.15, 1.20), "3.13": (1.30, 1.35)}
_API = "orders"
_ROUNDS = 15
_BARE, _BUILT, _PLAIN, _TUTORIAL = "bare boto3", "as built", "layers without bytecode", "tutorial handler"
_SESSION = "botocore.session alone"
_ALL_PLAIN, _BARE_PLAIN = "no bytecode", "bare boto3, no bytecode"
_TUTORIAL_PLAIN = "tutorial handler, layers without bytecode"
_COLORS = {_BUILT: "#0072B2", _PLAIN: "#E69F00", _TUTORIAL: "#999999"}

# Calls that share a block of Python's stack (16 KiB). Python asks the kernel for a block, and gives it back, at each
# call that crosses its end, so a loop there makes a cold start slower by up to 35 ms. Which loop it is depends on the
# depth of the stack, and that is another one on Lambda. So each round has its own depth, the same for all cases.
_BLOCK = 136
# Runs in the new process, which can import the standard library and the folders of the request only.
_START = """
import importlib, json, os, resource, sys, time

request = json.loads(sys.argv[1])
sys.path += request["path"]
os.environ.clear()
os.environ.update(request["environment"])


def run_at(depth):
    if depth:
        run_at(depth - 1)
    else:
        exec(request["code"], globals())


wall, cpu = time.perf_counter(), time.process_time()
run_at(request["depth"])
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
try:
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
except OSError:  # not Linux
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)
print(json.dumps({"wall": wall * 1000, "cpu": cpu * 1000, "peak": peak}))
"""
_CLIENTS = "import boto3\nfor service in {services}:\n    boto3.client(service)\n"
_SESSION_CLIENTS = """
import botocore.session
session = botocore.session.get_session()
for service in {services}:
    session.create_client(service)
"""
_ASK_FOR_CLIENTS = """
import botocore.session
create, services = botocore.session.Session.create_client, []
def noted(session, service, *args, **settings):
    services.append(service)
    return create(session, service, *args, **settings)
botocore.session.Session.create_client = noted
importlib.import_module({module!r})
print(json.dumps(services))
"""
# Handlers of other projects with comparable work, measured in the same way with their own clients.
_QUOTED = {"aws-serverless-ecommerce-platform": 2.97, "aws-lambda-handler-cookbook": 4.14}
# In addition to the API's clients.
_IMPORTS = {
    "pydantic and a first model": "import pydantic; type('M', (pydantic.BaseModel,), {})",
    "Powertools' Logger and Metrics": "from aws_lambda_powertools import Logger, Metrics; Logger(); Metrics()",
    "Powertools' batch": "import aws_lambda_powertools.utilities.batch",
    "Powertools' batch and pydantic": "import pydantic, aws_lambda_powertools.utilities.batch",
    "Powertools' idempotency": "import aws_lambda_powertools.utilities.idempotency",
    "Powertools' HTTP resolver": "from aws_lambda_powertools.event_handler import APIGatewayHttpResolver as R; R()",
    "Powertools' HTTP resolver with validation": (
        "from aws_lambda_powertools.event_handler import APIGatewayHttpResolver as R; R(enable_validation=True)"
    ),
    "Babel, as mails use it": (
        "from babel import Locale; from babel.dates import format_datetime; from babel.numbers import format_currency; "
        "format_currency(1, 'EUR', locale=Locale.parse('de'))"
    ),
    "stripe": "import stripe; stripe.StripeClient('key').v1.payment_intents",
}


@dataclass(frozen=True)
class Case:
    """Code that a new process runs with these folders on its path."""

    code: str
    path: tuple[Path, ...]
    environment: Mapping[str, str]
    python: str

    def run(self, depth: int = 0) -> list[Any]:
        """Run the case below ``depth`` calls.

        Return the printed JSON documents: those of the code, then milliseconds and mebibytes.
        """
        path = [str(folder) for folder in self.path]
        request = {"code": self.code, "path": path, "environment": self.environment, "depth": depth}
        # -I, -S, -B: no other folders on the path, and no bytecode is written.
        command = [self.python, "-I", "-S", "-B", "-c", _START, json.dumps(request)]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return [json.loads(line) for line in printed.splitlines()]


def measure(progress: Callable[[str], None], *, quick: bool) -> dict[str, Any]:
    """Build the functions, and run all cases in turn, so that changes of the machine's speed affect all of them."""
    with tempfile.TemporaryDirectory() as folder:
        progress("sam build")
        python, version = _python()
        builds = _Builds(artifacts.build(Path(folder), version), Path(folder), python)
        clients = {name: builds.clients(function) for name, function in builds.functions.items()}
        cases = dict(_cases(builds, clients))
        rounds = 2 if quick else _ROUNDS
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
        for n in range(rounds + 1):
            progress(f"round {n} of {rounds}")
            for name, case in cases.items():
                *_, taken = case.run(n * _BLOCK // rounds)
                if n:  # round 0 warms the disk cache
                    runs[name].append(taken)
        layers = ("DependenciesLayer", "HandoffLayer", "StripeLayer")
        sizes = {layer: _bytes(builds.built.layer(layer)) for layer in layers}
    return {"python": version, "deployed": _deployed(), "clients": clients, "runs": runs, "sizes": sizes}


def _deployed() -> str:
    """Return the version of Python that the template deploys."""
    return str(source()["Parameters"]["Runtime"]["Default"]).removeprefix("python")


def _python() -> tuple[str, str]:
    """Return the interpreter of the deployed version and that version, or this interpreter if it is not installed."""
    uv = Path(sys.executable).with_name("uv")
    found = subprocess.run([uv, "python", "find", _deployed()], capture_output=True, text=True, check=False)
    if found.returncode:
        return sys.executable, ".".join(map(str, sys.version_info[:2]))
    return found.stdout.strip(), _deployed()


class _Builds:
    """The built functions, layers and Lambda's runtime libraries, with bytecode and without."""

    def __init__(self, built: Build, folder: Path, python: str) -> None:
        self.built = built
        self.functions = built.functions
        self.python = python
        self.runtime = folder / "runtime"
        copytree(artifacts.runtime(folder / "links"), self.runtime, ignore=ignore_patterns("__pycache__"))
        self._plain = folder / "plain"
        for layer in ("DependenciesLayer", "HandoffLayer", "MailsLayer", "StripeLayer"):
            copytree(built.layer(layer), self._plain / layer, ignore=ignore_patterns("__pycache__"))
        self.plain_runtime = copytree(self.runtime, self._plain / "runtime")
        compiling = [python, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
        subprocess.run([*compiling, str(self.runtime)], check=True)

    def layers(self, function: Function, *, bytecode: bool = True) -> tuple[Path, ...]:
        """Return the layers of a function."""
        names = [layer.name for layer in function.layers]
        return tuple(self.built.layer(name) if bytecode else self._plain / name for name in names)

    def case(self, function: Function, code: str, *path: Path) -> Case:
        """Return a case with the environment of a function."""
        return Case(code, path, artifacts.lambda_environment(function), self.python)

    def clients(self, function: Function) -> list[str]:
        """Return the services that a function creates clients for."""
        code = _ASK_FOR_CLIENTS.format(module=function.handler.partition(".")[0])
        path = (function.folder, *self.layers(function), self.runtime)
        *_, services, _ = self.case(function, code, *path).run()
        return list(services)


def _cases(builds: _Builds, clients: Mapping[str, list[str]]) -> Iterator[tuple[str, Case]]:
    for name, function in builds.functions.items():
        case = partial(builds.case, function)
        bare, ours = _CLIENTS.format(services=clients[name]), f"importlib.import_module({name!r})"
        layers, plain = builds.layers(function), builds.layers(function, bytecode=False)
        yield f"{name}: {_BARE}", case(bare, builds.runtime)
        yield f"{name}: {_BUILT}", case(ours, function.folder, *layers, builds.runtime)
        yield f"{name}: {_PLAIN}", case(ours, function.folder, *plain, builds.runtime)
        if name == _API:
            yield f"{name}: {_SESSION}", case(_SESSION_CLIENTS.format(services=clients[name]), builds.runtime)
            yield f"{name}: {_BARE_PLAIN}", case(bare, builds.plain_runtime)
            yield f"{name}: {_ALL_PLAIN}", case(ours, function.folder, *plain, builds.plain_runtime)
            baseline = Path(__file__).parent / "baseline"
            yield f"{name}: {_TUTORIAL}", case("import tutorial_handler", baseline, *layers, builds.runtime)
            yield f"{name}: {_TUTORIAL_PLAIN}", case("import tutorial_handler", baseline, *plain, builds.runtime)
            others = (builds.built.layer(layer) for layer in ("MailsLayer", "StripeLayer"))
            libraries = (*layers, *others, builds.runtime)
            for library, statement in _IMPORTS.items():
                yield f"import: {library}", case(bare + statement, *libraries)


def _bytes(folder: Path) -> dict[str, int]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {
        "all": sum(file.stat().st_size for file in files),
        "bytecode": sum(file.stat().st_size for file in files if file.suffix == ".pyc"),
    }


# --- the section ------------------------------------------------------------------------------------------------------


def section(results: dict[str, Any], folder: Path) -> str:
    """Return the section of the benchmarks page."""
    runs, sizes = results["runs"], results["sizes"]
    _plot(results, folder / "cold-start.png")
    ours = ("DependenciesLayer", "HandoffLayer")
    version, deployed = results["python"], results["deployed"]
    return _TEXT.format(
        python=f"Python {version}, which is deployed"
        if version == deployed
        else f"Python {version}, because {deployed}, which is deployed, was not installed",
        rounds=len(runs[f"{_API}: {_BARE}"]),
        functions=table(_HEAD, _rows(results), texts=2),
        plot=plot("cold-start.png", "Cold starts relative to bare boto3"),
        gates="\n".join(_gates(results)),
        session=_ratio(runs, _API, _SESSION),
        peers=table(["handler", "ratio", "source"], _peers(runs), texts=1),
        plain=_ratio(runs, _API, _PLAIN),
        bytecode=sum(sizes[layer]["bytecode"] for layer in ours) / 2**20,
        layers=sum(sizes[layer]["all"] for layer in ours) / 2**20,
        with_stripe=sum(layer["all"] for layer in sizes.values()) / 2**20,
        all_plain=_median(runs, f"{_API}: {_ALL_PLAIN}", "cpu"),
        bare_plain=_median(runs, f"{_API}: {_BARE_PLAIN}", "cpu"),
        imports=table(["import", "added (ms)", "relative to bare boto3"], _imports(runs)),
    )


_TEXT = """\
## Cold start

Time for a new process to import a built function and create its clients, relative to bare boto3 with the same clients.
Bare boto3 is no limit: `botocore.session` alone takes {session:.2f}, and Handoff reads only a part of botocore's data.
Lambda's own work, such as downloading the code, is left out.

{functions}

{plot}

{gates}

{peers}

The bytecode in the layers makes the difference. Without it the API takes {plain:.2f} times as long as bare boto3,
because Lambda's file system is read-only, so that each cold start compiles the modules again. Bytecode is
{bytecode:.0f} of the {layers:.0f} MB of a function's layers ({with_stripe:.0f} MB with Stripe's). If Lambda's boto3
had no bytecode either, the API would take {all_plain:.0f} ms, and bare boto3 {bare_plain:.0f} ms.

Time that each import adds to bare boto3 with the API's clients:

{imports}

**How it was measured.** Each case ran in a new process ({python}) with the function's folder, its layers and
Lambda's boto3 only. All cases took turns, for {rounds} rounds. Times are medians of processor time, because an import
does not wait once the files are cached. Ratios are medians of the rounds' ratios. Those of elapsed time are a check."""
_HEAD = [
    "function",
    "clients",
    "bare boto3 (ms)",
    "function (ms)",
    "ratio",
    "elapsed",
    "ratio without bytecode",
    "peak memory (MiB)",
]


def _rows(results: Mapping[str, Any]) -> Iterator[list[str]]:
    runs = results["runs"]
    for name, clients in results["clients"].items():
        yield [
            name,
            ", ".join(clients),
            f"{_median(runs, f'{name}: {_BARE}', 'cpu'):.0f}",
            f"{_median(runs, f'{name}: {_BUILT}', 'cpu'):.0f}",
            f"**{_ratio(runs, name, _BUILT):.2f}**",
            f"{_ratio(runs, name, _BUILT, 'wall'):.2f}",
            f"{_ratio(runs, name, _PLAIN):.2f}",
            f"{_median(runs, f'{name}: {_BUILT}', 'peak'):.0f}",
        ]


def _gates(results: Mapping[str, Any]) -> Iterator[str]:
    api, others = GATES.get(results["python"], GATES["3.13"])
    for name in results["clients"]:
        limit, ratio = api if name == _API else others, _ratio(results["runs"], name, _BUILT)
        result = "met" if ratio <= limit else "**missed**"
        yield f"- Gate {result}: {name} takes at most {limit:.2f} times as long as bare boto3: {ratio:.2f} times."


def _peers(runs: Mapping[str, Any]) -> Iterator[list[str]]:
    tutorial = (
        "[as in the libraries' tutorials](bench/baseline/tutorial_handler.py): Logger, Metrics, resolver, pydantic"
    )
    yield ["Handoff's API function, as built", f"{_ratio(runs, _API, _BUILT):.2f}", "this run"]
    yield [f"{tutorial}; with bytecode", f"{_ratio(runs, _API, _TUTORIAL):.2f}", "this run"]
    yield [f"{tutorial}; as SAM builds it", f"{_ratio(runs, _API, _TUTORIAL_PLAIN):.2f}", "this run"]
    for name, ratio in _QUOTED.items():
        yield [name, f"{ratio:.2f}", "an earlier run, 2026-11, Python 3.11, where Handoff took 1.49"]


def _imports(runs: Mapping[str, Any]) -> Iterator[list[str]]:
    bare = runs[f"{_API}: {_BARE}"]
    for name in _IMPORTS:
        pairs = zip(runs[f"import: {name}"], bare, strict=True)
        added = median(taken["cpu"] - limit["cpu"] for taken, limit in pairs)
        yield [name, f"{added:.0f}", f"{100 * added / _median(runs, f'{_API}: {_BARE}', 'cpu'):.0f} %"]


def _median(runs: Mapping[str, Any], case: str, measure: str) -> float:
    return float(median(taken[measure] for taken in runs[case]))


def _ratio(runs: Mapping[str, Any], function: str, case: str, measure: str = "cpu") -> float:
    """Return the median of the rounds' ratios to bare boto3."""
    pairs = zip(runs[f"{function}: {case}"], runs[f"{function}: {_BARE}"], strict=True)
    return float(median(taken[measure] / limit[measure] for taken, limit in pairs))


def _plot(results: Mapping[str, Any], file: Path) -> None:
    names = list(results["clients"])
    figure = Figure(figsize=(8, 4.5), dpi=110, layout="constrained")
    axes = figure.subplots()
    for n, name in enumerate(names):
        cases = [_BUILT, _PLAIN, *([_TUTORIAL] if name == _API else [])]
        for k, case in enumerate(cases):
            ratio = _ratio(results["runs"], name, case)
            bar = axes.bar(n + (k - 0.5) * 0.28, ratio, 0.26, color=_COLORS[case], label=case if name == _API else None)
            axes.bar_label(bar, fmt="%.2f", fontsize=8)
    axes.axhline(1, color="black", linewidth=1)
    api, others = GATES.get(results["python"], GATES["3.13"])
    axes.axhline(api, color="#D55E00", linewidth=1, linestyle="--", label=f"gate for the API: {api}")
    axes.axhline(others, color="#009E73", linewidth=1, linestyle=":", label=f"gate for the others: {others}")
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("import and clients, bare boto3 = 1")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.25)
    axes.legend(fontsize=8, ncols=2, loc="upper center", frameon=False)
    figure.savefig(file)
