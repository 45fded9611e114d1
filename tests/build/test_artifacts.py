"""The built artifacts. The local stack does not notice a missing requirement; these tests do."""

import ast
import importlib.util
import re
import sys
from pathlib import Path

import pytest

from dev import artifacts
from dev.artifacts import Build, Function, Imported
from dev.template import ROOT, source

FUNCTIONS = sorted(folder.name for folder in (ROOT / "functions").iterdir() if list(folder.glob("*.py")))
MEGABYTE = 1024 * 1024
LARGEST = 20 * MEGABYTE  # Lambda allows 250 MB, but each cold start has to fetch and read it
LARGEST_WITH_STRIPE = 50 * MEGABYTE
CALL_THE_PROVIDER = ["orders", "settlement", "sweeper"]
PACKAGES = {"handoff", "shop"}  # of the handoff layer
LAYERS = ["DependenciesLayer", "HandoffLayer", "MailsLayer", "StripeLayer"]
SMALL_DATA = {"endpoint-rule-set-1.json.gz", "partitions.json", "sdk-default-configuration.json"}
FULL_COLLECTION = 2  # the oldest generation of the garbage collector
MAKEFILES = sorted([*ROOT.glob("layers/*/Makefile"), *ROOT.glob("functions/*/Makefile")])
UNCHECKED = 1  # flags of bytecode that Python does not compare with its source: https://peps.python.org/pep-0552/

# Third-party modules that a function may import; Powertools' are listed by utility. Each costs time at each cold start:
# docs/reference/benchmarks.md has the numbers.
_BOTOCORE = {"botocore", "dateutil", "jmespath", "six", "urllib3"}
_PYDANTIC = {"annotated_types", "pydantic", "pydantic_core", "typing_extensions", "typing_inspection"}
_OF_POWERTOOLS = {"", ".exceptions", ".logging", ".metrics", ".package_logger", ".shared", ".tracing", ".warnings"}
_POWERTOOLS = {f"aws_lambda_powertools{name}" for name in (*_OF_POWERTOOLS, ".utilities.jmespath_utils")}
_ALL = _BOTOCORE | _PYDANTIC | _POWERTOOLS
# Modules that are not Python's own, of a consumer and of the others. A function imports up to ten less.
MOST_OF_A_CONSUMER = 255
MOST_MODULES = {"orders": 300, "emails": 325, "sweeper": 270, "payment_events": 240, "partners": 240}
MAY_IMPORT = {  # any other function: `_ALL`
    # Powertools' idempotency imports boto3.
    "emails": _ALL
    | {
        "aws_lambda_powertools.middleware_factory",
        "aws_lambda_powertools.utilities.idempotency",
        "babel",
        "boto3",
        "s3transfer",
    },
    "partners": _ALL | {"standardwebhooks"},
}


def size_of(function: Function) -> int:
    """Return the unpacked size of a function and its layers, in bytes."""
    folders = [function.folder, *function.layers]
    return sum(file.stat().st_size for folder in folders for file in files_of(folder))


def files_of(folder: Path) -> list[Path]:
    """Return all files below a folder."""
    return [file for file in folder.rglob("*") if file.is_file()]


def sources_of(package: Path) -> set[Path]:
    """Return all files of a package except its bytecode."""
    return {file.relative_to(package) for file in files_of(package) if "__pycache__" not in file.parts}


def third_party(module: str) -> str:
    """Return the library of a module; each utility of Powertools counts as one."""
    parts = module.split(".")
    if parts[0] != "aws_lambda_powertools":
        return parts[0]
    return ".".join(parts[: 3 if parts[1:2] == ["utilities"] else 2])


@pytest.fixture(scope="module", params=FUNCTIONS)
def imported(request: pytest.FixtureRequest, built: Build, runtime: Path, bytecode: Path) -> tuple[str, Imported]:
    """Every function, imported as in Lambda: from its folder, its layers and the runtime only."""
    name = request.param
    function = built.functions[name]
    path = [function.folder, *(layer / "python" for layer in function.layers), runtime]
    return name, artifacts.imported(function, path, bytecode)


def test_all_functions_are_built(built: Build) -> None:
    assert sorted(built.functions) == FUNCTIONS


def test_a_function_can_be_imported_with_only_its_layers(imported: tuple[str, Imported]) -> None:
    name, outcome = imported
    assert outcome.error == "", name
    assert outcome.handler_is_callable


def test_importing_a_function_makes_no_network_calls(imported: tuple[str, Imported]) -> None:
    assert imported[1].reached == ()


def test_no_garbage_is_collected_while_a_function_is_imported(imported: tuple[str, Imported]) -> None:
    _, outcome = imported
    # The imports of the standard library before the function's own take no full collection.
    assert FULL_COLLECTION not in outcome.collections
    assert outcome.collects
    assert outcome.frozen > 50_000


def test_a_function_reads_only_a_part_of_the_runtimes_data(
    imported: tuple[str, Imported], built: Build, runtime: Path
) -> None:
    _, outcome = imported
    documents = [file for file in outcome.opened if file.name.endswith((".json", ".json.gz"))]
    of_the_runtime = {file.name for file in documents if not file.is_relative_to(built.folder)}
    assert of_the_runtime <= {*SMALL_DATA, "service-2.sdk-extras.json"}
    assert of_the_runtime >= SMALL_DATA
    assert {"service-2.json", "endpoints.json"} <= {file.name for file in documents if file.name not in of_the_runtime}
    # botocore's own search lists the folders of its 400 services.
    assert len([folder for folder in outcome.listed if folder.is_relative_to(runtime / "botocore/data")]) < 50


def test_a_function_imports_few_modules(imported: tuple[str, Imported], built: Build, runtime: Path) -> None:
    name, outcome = imported
    files = [Path(file) for _, file in outcome.files]
    found = [file for file in files if file.is_relative_to(built.folder) or file.is_relative_to(runtime)]
    assert len(found) <= MOST_MODULES.get(name, MOST_OF_A_CONSUMER)


def test_libraries_come_from_layers_and_botocore_from_the_runtime(
    imported: tuple[str, Imported], built: Build, runtime: Path
) -> None:
    _, outcome = imported
    for package in PACKAGES:
        assert outcome.file(package).is_relative_to(built.layer("HandoffLayer"))
    for module in ("pydantic", "pydantic_core", "aws_lambda_powertools", "typing_extensions", "jmespath"):
        assert outcome.file(module).is_relative_to(built.layer("DependenciesLayer"))
    assert outcome.file("botocore").is_relative_to(runtime)


def test_a_function_imports_exactly_the_allowed_libraries(
    imported: tuple[str, Imported], built: Build, runtime: Path
) -> None:
    name, outcome = imported
    brought = (built.layer("DependenciesLayer"), built.layer("MailsLayer"), runtime)
    found = {module for module, file in outcome.files if any(Path(file).is_relative_to(folder) for folder in brought)}
    assert {third_party(module) for module in found} - {"aws_lambda_powertools.utilities"} == MAY_IMPORT.get(name, _ALL)


@pytest.mark.parametrize("name", CALL_THE_PROVIDER)
def test_stripes_library_is_imported_with_stripe(built: Build, runtime: Path, bytecode: Path, name: str) -> None:
    function = built.with_stripe(name)
    path = [function.folder, *(layer / "python" for layer in function.layers), runtime]
    outcome = artifacts.imported(function, path, bytecode)
    assert outcome.error == ""
    assert outcome.file("stripe").is_relative_to(built.layer("StripeLayer"))
    assert outcome.reached == ()


@pytest.mark.parametrize("missing", ["dependencies", "handoff", "runtime"])
def test_a_missing_layer_is_noticed(built: Build, runtime: Path, bytecode: Path, missing: str) -> None:
    # GIVEN an interpreter that lacks one of the folders that a function needs
    layers = {"dependencies": built.layer("DependenciesLayer"), "handoff": built.layer("HandoffLayer")}
    parts = layers | {"runtime": runtime}
    del parts[missing]
    # WHEN the function is imported
    function = built.functions["orders"]
    outcome = artifacts.imported(function, [function.folder, *parts.values()], bytecode)
    # THEN the import fails: no package of this project replaces the missing ones
    assert outcome.error.startswith("ModuleNotFoundError")


def test_the_dependencies_layer_has_no_boto3(built: Build) -> None:
    brought = {file.name for file in built.layer("DependenciesLayer").iterdir()}
    assert "pydantic" in brought
    assert not brought & {"boto3", "botocore", "s3transfer", "urllib3", "dateutil"}


def test_layers_contain_no_tests(built: Build) -> None:
    files = [file.relative_to(built.folder) for layer in LAYERS for file in files_of(built.layer(layer))]
    assert len(files) > 100
    assert not [file for file in files if {"tests", "test"} & set(file.parts)]


@pytest.mark.parametrize("built_here", [*(f"{layer}/python" for layer in LAYERS), "OrdersFunction"])
def test_a_build_has_unchecked_bytecode_of_all_its_modules(built: Build, built_here: str) -> None:
    # GIVEN a layer or a function that was built for this very Python
    modules = list((built.folder / built_here).rglob("*.py"))
    assert modules
    # THEN each module is compiled for this Python, and Python won't compare it with its source
    for module in modules:
        compiled = module.parent / "__pycache__" / f"{module.stem}.{sys.implementation.cache_tag}.pyc"
        header = compiled.read_bytes()[:8]
        assert header == importlib.util.MAGIC_NUMBER + UNCHECKED.to_bytes(4, "little")


def test_a_layer_has_no_bytecode_if_its_python_is_not_installed(tmp_path: Path) -> None:
    # WHEN a layer is built for a Python that does not exist
    makefile = ["make", "-C", ROOT / "layers/handoff", "build-HandoffLayer", f"ARTIFACTS_DIR={tmp_path}"]
    artifacts.run([*makefile, "PYTHON_VERSION=3.99"], tmp_path, artifacts.clean_environment())
    # THEN it has its modules, and no bytecode
    assert all((tmp_path / f"python/{package}/__init__.py").is_file() for package in PACKAGES)
    assert not list(tmp_path.rglob("*.pyc"))


def test_the_layer_holds_both_packages_and_nothing_else(built: Build) -> None:
    assert {file.name for file in built.layer("HandoffLayer").iterdir()} == PACKAGES


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_a_package_is_built_unchanged(built: Build, package: str) -> None:
    original, copy = ROOT / "layers/handoff" / package, built.layer("HandoffLayer") / package
    files = sources_of(original)
    assert len(files) > 10
    assert sources_of(copy) == files
    assert all((copy / file).read_bytes() == (original / file).read_bytes() for file in files)


def test_a_function_with_its_layers_is_small(built: Build) -> None:
    for function in built.functions.values():
        assert size_of(function) < LARGEST


@pytest.mark.parametrize("name", CALL_THE_PROVIDER)
def test_a_function_with_stripes_library_is_small_enough(built: Build, name: str) -> None:
    assert size_of(built.with_stripe(name)) < LARGEST_WITH_STRIPE


def test_a_functions_folder_has_no_unused_files(built: Build) -> None:
    for name, function in built.functions.items():
        # GIVEN the folder that is uploaded unchanged
        there = {file for file in files_of(function.folder) if "__pycache__" not in file.parts}
        # THEN the handler's module imports all modules, directly or indirectly
        reached: set[Path] = set()
        waiting = [function.folder / f"{name}.py"]
        while waiting:
            file = waiting.pop()
            reached.add(file)
            local = {function.folder / f"{module}.py" for module in modules_of(file)}
            waiting += [other for other in local if other.is_file() and other not in reached]
        # AND every other file is named by a module that reads it
        read = {
            file
            for file in there
            if file.suffix != ".py" and any(file.name in module.read_text() for module in reached)
        }
        assert there == reached | read


def test_module_names_are_unique_and_hide_no_other_module(built: Build) -> None:
    modules = [file.stem for function in built.functions.values() for file in function.folder.glob("*.py")]
    assert len(set(modules)) == len(modules)
    brought = {file.stem for layer in ("DependenciesLayer", "HandoffLayer") for file in built.layer(layer).iterdir()}
    assert not set(modules) & (sys.stdlib_module_names | brought | {Path(name).stem for name in artifacts.RUNTIME})


def test_deployed_and_tested_versions_are_the_same() -> None:
    # GIVEN the versions that the layers lock
    layers = ("dependencies", "mails", "stripe")
    deployed = {k: v for name in layers for k, v in locked(ROOT / f"layers/{name}/requirements.txt").items()}
    # THEN the tests run with the same versions
    tested = locked(ROOT / "requirements/dev.txt")
    assert {"pydantic", "aws-lambda-powertools", "babel", "stripe"} <= deployed.keys()
    assert {name: tested.get(name) for name in deployed} == deployed


@pytest.mark.parametrize("layer", ["dependencies", "mails", "stripe"])
def test_every_requirement_of_a_layer_is_pinned_by_hash(layer: str) -> None:
    text = (ROOT / f"layers/{layer}/requirements.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert lines
    assert all(re.match(r"[\w.-]+==\S+( ; .*?)?\s+--hash=sha256:", line) for line in lines)


@pytest.mark.parametrize("makefile", MAKEFILES, ids=lambda file: file.parent.name)
def test_a_builds_defaults_match_the_template(makefile: Path) -> None:
    # GIVEN the defaults of the Makefile and of the template
    makefile_text = makefile.read_text()
    declared = dict(re.findall(r"^(PYTHON_\w+) \?= (\S+)$", makefile_text, re.MULTILINE))
    parameters = source()["Parameters"]
    machine = {"arm64": "aarch64", "x86_64": "x86_64"}[parameters["Architecture"]["Default"]]
    # THEN both are for the same Python on the same architecture
    assert f"python{declared['PYTHON_VERSION']}" == parameters["Runtime"]["Default"]
    assert declared.get("PYTHON_PLATFORM", f"{machine}-manylinux2014") == f"{machine}-manylinux2014"


def test_the_layer_can_be_built_for_production_on_any_machine(tmp_path: Path) -> None:
    # WHEN it is built with the defaults, on any machine
    makefile = ["make", "-C", ROOT / "layers/dependencies", "build-DependenciesLayer", f"ARTIFACTS_DIR={tmp_path}"]
    artifacts.run(makefile, tmp_path, artifacts.clean_environment())
    # THEN its native code is for the defaults
    (native,) = (tmp_path / "python/pydantic_core").glob("*.so")
    assert native.name == "_pydantic_core.cpython-313-aarch64-linux-gnu.so"
    # AND so is its bytecode, if this machine has that Python
    assert all(".cpython-313." in file.name for file in tmp_path.rglob("*.pyc"))


def modules_of(file: Path) -> set[str]:
    """Return the names of the modules that a file imports."""
    tree = ast.walk(ast.parse(file.read_text()))
    nodes = [node for node in tree if isinstance(node, ast.Import | ast.ImportFrom)]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


def locked(file: Path) -> dict[str, str]:
    """Return the versions that a requirements file pins."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", file.read_text(), re.MULTILINE))
