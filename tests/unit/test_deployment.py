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


@pytest.fixture
def stack():
    """Return a deployment with these resources."""

    def build(*names):
        kinds = {"Queue": "AWS::SQS::Queue", "Rule": "AWS::Events::Rule", "Function": "AWS::Lambda::Function"}
        found = {
            name: {"LogicalResourceId": name, "ResourceType": kind}
            for name in names
            for end, kind in kinds.items()
            if name.endswith(end)
        }
        deployment = Deployment("handoff", boto3.Session("none", "none", region_name="eu-central-1"))
        deployment.__dict__["_resources"] = found
        return deployment

    return build


def consumer(name):
    return [f"{name}{kind}" for kind in ("Function", "Rule", "Queue")]


def test_consumers_are_found_by_the_names_of_their_resources(stack):
    names = ["Loyalty", "Feedback", "Settlement", "Emails", "Bonus", "Analytics"]
    # GIVEN also a queue without a function, a queue without a rule, and a rule and a function without a queue
    others = ["UndeliveredQueue", "JobsQueue", "JobsFunction", "LostQueue", "LostRule", "AuditRule", "SweeperFunction"]
    deployment = stack(*others, *(resource for name in names for resource in consumer(name)))
    # THEN Handoff's own come first, in the order in which they handle an order, and the others by name
    assert deployment.queued == ("emails", "analytics", "settlement", "feedback", "bonus", "loyalty")
    # AND feedback gets events of SES only
    assert deployment.consumers == ("emails", "analytics", "settlement", "bonus", "loyalty")


def test_a_partner_is_a_consumer_where_there_is_one(stack):
    assert stack(*consumer("Emails")).consumers == ("emails",)
    assert stack(*consumer("Partners"), *consumer("Emails")).consumers == ("emails", "partners")
