"""The fields that log lines leave out."""

import json
from io import StringIO

import pytest

from bench.meter import output_to
from handoff.telemetry import logger


@pytest.mark.parametrize(("level", "has_all"), [("info", False), ("warning", True), ("error", True)])
def test_a_line_of_normal_operation_leaves_out_what_others_say(level, has_all):
    facts = {"cold_start": True, "function_memory_size": 256, "function_arn": "arn:aws:lambda:eu-west-1:1:function:x"}
    output = StringIO()
    with output_to(output):
        getattr(logger, level)("event handled", extra={**facts, "function_name": "x", "outcome": "done"})

    line = json.loads(output.getvalue())
    assert (line["message"], line["function_name"], line["outcome"]) == ("event handled", "x", "done")
    assert [name in line for name in (*facts, "location")] == [has_all] * 4
