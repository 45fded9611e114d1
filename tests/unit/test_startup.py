"""The garbage collector in a cold start: off while a function is imported, then on without what was imported."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from samtranslator.yaml_helper import yaml_parse

from dev.template import ROOT

FIRST, LAST = "from handoff.startup import ready", "ready()"
TEXTS = ROOT / "dev/scaffold/texts"
TEMPLATES = [ROOT / "template.yaml", *sorted((ROOT / "examples").glob("*/template.yaml"))]


def modules_of(template):
    """Return the files of the modules with the handlers of a template's functions."""
    resources = yaml_parse(template.read_text())["Resources"].values()
    for function in (found["Properties"] for found in resources if found["Type"] == "AWS::Serverless::Function"):
        handler = function["Handler"]
        name = handler.get("Fn::Sub") if isinstance(handler, dict) else handler
        pattern = name.removesuffix(".handler").replace("${Step}", "*").replace(".", "/") + ".py"
        yield from sorted((template.parent / function["CodeUri"]).glob(pattern))


MODULES = [
    *(module for template in TEMPLATES for module in modules_of(template)),
    *sorted(TEXTS.glob("*function.py.txt")),
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(ROOT)))
def test_the_collector_is_off_during_all_imports_of_a_function(module):
    text = module.read_text().replace("%%{", "").replace("%%", "").replace("}_TABLE", "_TABLE")
    statements = [ast.unparse(statement) for statement in ast.parse(text).body[1:]]  # without the docstring
    assert statements[0] == FIRST
    assert statements[-1] == LAST
    assert statements.count(LAST) == 1


def test_the_modules_are_those_of_all_functions_and_the_scaffold():
    assert len(MODULES) > 20
    assert {module.parent.name for module in MODULES} >= {"orders", "points", "bookings", "step_0", "step_5", "texts"}


def test_imported_objects_are_left_out_of_collections_once():
    # GIVEN a process of its own, as in Lambda
    steps = """
        import gc
        from handoff import startup
        print(gc.isenabled())
        kept = [[n] for n in range(10_000)]
        startup.ready()
        print(gc.isenabled(), gc.get_freeze_count() > 10_000)
        frozen, later = gc.get_freeze_count(), [[n] for n in range(10_000)]
        startup.ready()
        print(gc.isenabled(), gc.get_freeze_count() > frozen)
    """
    code = "\n".join(line.strip() for line in steps.splitlines())
    path = Path(ROOT / "layers/handoff")
    # WHEN a function is ready, and another one in the same process, as in tests
    done = subprocess.run([sys.executable, "-c", code], cwd=path, capture_output=True, text=True, check=True)
    # THEN the collector runs, and the second call keeps nothing
    assert done.stdout.splitlines() == ["False", "True True", "True False"]
