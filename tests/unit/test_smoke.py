"""`handoff smoke`: how it reads the sweeper's log."""

from types import SimpleNamespace

import boto3
import pytest
from botocore.stub import Stubber

from ops import smoke


def reported(*pages):
    """Return the result of the sweeper check for pages of its log."""
    logs = boto3.client("logs", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(logs) as stub:
        for n, events in enumerate(pages):
            token = {"nextToken": str(n)} if n < len(pages) - 1 else {}
            stub.add_response("filter_log_events", {"events": events, **token})
        deployment = SimpleNamespace(logs=logs, resource={"SweeperLogs": "sweeper"}.__getitem__)
        return smoke._sweeps(deployment, 1, 0.0)


def test_an_empty_page_of_the_sweepers_log_is_not_its_end():
    assert reported([], [{"message": "UnfinishedAge"}]) == "UnfinishedAge"


def test_a_sweeper_that_logs_nothing_fails(monkeypatch):
    monkeypatch.setattr(smoke, "_SWEEPS_WITHIN", 0.0)
    with pytest.raises(smoke.CheckFailed, match="no UnfinishedAge in 0 s"):
        reported([])
