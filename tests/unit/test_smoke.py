"""What `handoff smoke` makes of AWS's answers."""

from types import SimpleNamespace

import boto3
import pytest
from botocore.stub import Stubber

from ops import smoke


def reported(*pages):
    """Whether the sweeper is taken to have reported, by some pages of its log."""
    logs = boto3.client("logs", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(logs) as stub:
        for n, events in enumerate(pages):
            token = {"nextToken": str(n)} if n < len(pages) - 1 else {}
            stub.add_response("filter_log_events", {"events": events, **token})
        deployment = SimpleNamespace(logs=logs, resource={"SweeperLogs": "sweeper"}.__getitem__)
        return smoke._sweeps(deployment, 1, 0.0)


def test_a_page_of_the_sweepers_log_that_is_empty_is_not_its_end():
    assert reported([], [{"message": "UnfinishedAge"}]) == "UnfinishedAge"


def test_a_sweeper_that_says_nothing_is_wrong(monkeypatch):
    monkeypatch.setattr(smoke, "_SWEEPS_WITHIN", 0.0)
    with pytest.raises(smoke.Wrong, match="no UnfinishedAge in 0 s"):
        reported([])
