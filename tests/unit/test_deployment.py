"""The stacks that import a deployment's bus, as CloudFormation lists them."""

from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError

from ops.stack.deployment import Deployment

NONE = "Export 'handoff-BusName' is not imported by any stack."


@pytest.fixture
def listing():
    """A deployment whose CloudFormation gives these answers to ListImports, one by one, and its requests."""

    def build(*answers):
        session = boto3.Session("none", "none", region_name="eu-central-1")
        requests, left = [], list(answers)

        def answer(params, **_):
            requests.append(params["body"])
            status, parsed = left.pop(0)
            return SimpleNamespace(status_code=status), parsed

        session.events.register("before-call.cloudformation.ListImports", answer)
        return Deployment("handoff", session, "http://127.0.0.1:9"), requests

    return build


def error(code, message):
    return 400, {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {}}


def test_stacks_that_import_the_bus_are_found_by_its_export(listing):
    deployment, requests = listing((200, {"Imports": ["loyalty"], "NextToken": "more"}), (200, {"Imports": ["hotel"]}))

    assert {name: found.stack for name, found in deployment.importers.items()} == {
        "loyalty": "loyalty",
        "hotel": "hotel",
    }
    # AND they are in the same account and place, and listed once
    assert {(found.session, found.endpoint) for found in deployment.importers.values()} == {
        (deployment.session, deployment.endpoint)
    }
    assert [request["ExportName"] for request in requests] == ["handoff-BusName"] * 2


def test_a_bus_that_no_stack_imports_has_no_importers(listing, caplog):
    deployment, _ = listing(error("ValidationError", NONE))

    assert deployment.importers == {}
    assert caplog.records == []


def test_without_permission_to_list_them_there_are_none_and_a_warning(listing, caplog):
    deployment, _ = listing(error("AccessDenied", "not authorized to perform: cloudformation:ListImports"))

    assert deployment.importers == {}
    (record,) = caplog.records
    assert record.getMessage().startswith("Consumers of other stacks are not included: ")
    assert "cloudformation:ListImports" in record.getMessage()


def test_other_errors_are_raised(listing):
    deployment, _ = listing(error("ValidationError", "something else"))

    with pytest.raises(ClientError, match="something else"):
        _ = deployment.importers
