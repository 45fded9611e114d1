"""The part of botocore's data that functions read: complete for their calls, equal to the whole, and never missed."""

import ast
import importlib.util
import json
from itertools import product
from pathlib import Path

import boto3
import botocore
import pytest
from aws_lambda_powertools.utilities.idempotency.persistence import dynamodb as idempotency
from botocore import xform_name
from botocore.awsrequest import AWSResponse
from botocore.exceptions import OperationNotPageableError
from botocore.loaders import Loader
from botocore.regions import EndpointResolver

from dev.template import ROOT
from handoff import aws, sdk_data

DATA = Path(botocore.__file__).parent / "data"
ACCOUNT = "123456789012"


def load_script():
    spec = importlib.util.spec_from_file_location("prune_botocore", ROOT / "layers/handoff/prune_botocore.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = load_script()
SERVICES = sorted(SCRIPT.OPERATIONS)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The part, as the layer's build writes it."""
    folder = tmp_path_factory.mktemp("data")
    SCRIPT.main(DATA, folder)
    return folder


@pytest.fixture
def part(written, monkeypatch):
    """The part, in the place where functions find it."""
    monkeypatch.setattr(sdk_data, "FOLDER", str(written))
    for name, value in {"REGION": "eu-central-1", "DEFAULT_REGION": "eu-central-1", "ACCOUNT_ID": ACCOUNT}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "none")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    sdk_data._services.cache_clear()
    sdk_data.session.cache_clear()
    sdk_data._pruned_session.cache_clear()
    return written


def sent_by(client, call):
    """Return the host, the target and the body of a client's request, and answer it with an empty document."""
    requests = []

    def answer(request, **_):
        requests.append(request)
        return AWSResponse(request.url, 200, {}, Raw())

    client.meta.events.register_first("before-send", answer)
    call(client)
    (request,) = requests
    return request.url, request.headers.get("x-amz-target"), request.body


class Raw:
    """An empty document as urllib3 hands it out."""

    def stream(self, **_):
        yield b"{}"


def operation_names(service):
    return {xform_name(name) for name in full_model(service)["operations"]}


def full_model(service):
    return Loader(include_default_search_paths=True).load_service_model(service, "service-2")


def calls_in(file):
    """Return the names of all methods that a file calls, and those of its paginators."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr
            if node.func.attr == "get_paginator":
                yield node.args[0].value


# --- complete ---------------------------------------------------------------------------------------------------------


def test_every_operation_that_a_function_calls_is_in_the_part():
    # GIVEN all code that runs in functions, with Powertools' idempotency, which calls DynamoDB itself
    folders = [ROOT / "functions", ROOT / "layers/handoff/handoff", ROOT / "layers/handoff/shop"]
    files = [file for folder in folders for file in folder.rglob("*.py")] + [Path(idempotency.__file__)]
    called = {name for file in files for name in calls_in(file)}
    # THEN what is an operation of one of these services is in the part
    pruned = {service: {xform_name(name) for name in names} for service, names in SCRIPT.OPERATIONS.items()}
    everything = set().union(*pruned.values())
    used = {service: called & operation_names(service) for service in SERVICES}
    assert not set().union(*used.values()) - everything
    assert all(used[service] & pruned[service] for service in SERVICES)


def test_every_service_that_a_function_has_a_client_of_is_in_the_part():
    files = [*(ROOT / "functions").rglob("*.py"), *(ROOT / "layers/handoff").rglob("*.py")]
    calls = [node for file in files for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    clients = [call for call in calls if ast.unparse(call.func) == "aws.client"]
    assert {call.args[0].value for call in clients} == set(SERVICES)


# --- equal ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", SERVICES)
def test_a_pruned_operation_is_the_same_but_for_its_documentation(written, service):
    (file,) = (written / service).glob("*/service-2.json")
    pruned, full = json.loads(file.read_text()), SCRIPT._without_documentation(full_model(service))
    assert set(pruned["operations"]) == SCRIPT.OPERATIONS[service]
    for part in ("operations", "shapes"):
        assert {name: full[part][name] for name in pruned[part]} == pruned[part]
    assert set(SCRIPT._shapes_in([pruned["operations"], pruned["shapes"]])) <= set(pruned["shapes"])
    errors = {name for name, shape in full["shapes"].items() if shape.get("exception")}
    assert errors <= set(pruned["shapes"])


@pytest.mark.parametrize("service", SERVICES)
def test_endpoints_are_equal_in_all_partitions_and_regions(written, service):
    prefix = full_model(service)["metadata"]["endpointPrefix"]
    full, part = json.loads((DATA / "endpoints.json").read_text()), json.loads((written / "endpoints.json").read_text())
    regions = [region for partition in full["partitions"] for region in partition["regions"]]
    assert len(regions) > 40

    def endpoint(data, region, fips, dualstack):
        try:
            resolver = EndpointResolver(data)
            return resolver.construct_endpoint(prefix, region, use_fips_endpoint=fips, use_dualstack_endpoint=dualstack)
        except botocore.exceptions.EndpointVariantError as error:
            return str(error)

    for region, fips, dualstack in product([*regions, "eu-new-1"], (False, True), (False, True)):
        assert endpoint(full, region, fips, dualstack) == endpoint(part, region, fips, dualstack)


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("dynamodb", lambda client: client.get_item(TableName="orders", Key={"orderId": {"S": "a"}})),
        ("events", lambda client: client.put_events(Entries=[{"Source": "a", "DetailType": "b", "Detail": "{}"}])),
        ("secretsmanager", lambda client: client.get_secret_value(SecretId="a")),
        ("sesv2", lambda client: client.send_email(Content={"Simple": {"Subject": {"Data": "a"}, "Body": {}}})),
        ("sqs", lambda client: client.send_message(QueueUrl="https://q.example/1/a", MessageBody="a")),
    ],
)
@pytest.mark.parametrize("region", ["eu-central-1", "us-gov-west-1", "cn-north-1"])
@pytest.mark.parametrize("variant", ["", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"])
def test_a_request_is_the_same_with_the_part(part, monkeypatch, service, call, region, variant):
    # GIVEN a region of each partition, and an account with an endpoint of its own in DynamoDB
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    if variant:
        monkeypatch.setenv(variant, "true")
    # WHEN a client with the part and a usual one send the same request
    pruned, usual = aws.client(service), boto3.client(service)
    assert pruned.meta.service_model.operation_names != usual.meta.service_model.operation_names
    # THEN both send it to the same host
    assert sent_by(pruned, call) == sent_by(usual, call)


def test_a_call_checks_no_parameters_and_describes_no_machine(part):
    client, wrong = aws.client("dynamodb"), {"TableName": "orders", "Key": {"orderId": {"S": 1}}}
    agents = []
    client.meta.events.register("request-created", lambda request, **_: agents.append(request.headers["User-Agent"]))

    _, _, body = sent_by(client, lambda client: client.get_item(**wrong))

    assert json.loads(body) == wrong
    assert agents == [f"Handoff Botocore/{botocore.__version__}"]


def test_a_usual_client_checks_parameters(part, monkeypatch):
    monkeypatch.setenv("BOTOCORE_DATA", "full")
    with pytest.raises(botocore.exceptions.ParamValidationError):
        aws.client("dynamodb").get_item(TableName="orders", Key={"orderId": {"S": 1}})


# --- never missed -----------------------------------------------------------------------------------------------------


def test_an_operation_outside_of_the_part_is_called_with_a_usual_client(part):
    client = aws.client("dynamodb")
    assert "ListTables" not in client.meta.service_model.operation_names
    answers = []

    def usual(service, config, original=sdk_data._full_client):
        made = original(service, config)
        answers.append(made.meta.config.retries)
        made.meta.events.register_first("before-send", lambda request, **_: AWSResponse(request.url, 200, {}, Raw()))
        return made

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sdk_data, "_full_client", usual)
        assert client.list_tables()["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert list(client.get_paginator("list_tables").paginate())
        assert client.can_paginate("list_tables")
        client.get_waiter("table_exists").wait  # noqa: B018
    # One usual client, with the same settings, serves all of them.
    assert answers == [client.meta.config.retries]


def test_the_part_has_its_own_paginators_and_refuses_unknown_names(part, monkeypatch):
    client = aws.client("dynamodb")
    monkeypatch.setattr(sdk_data, "_full_client", lambda *_: pytest.fail("a usual client was made"))
    assert client.can_paginate("query")
    assert client.get_paginator("query")
    with pytest.raises(OperationNotPageableError):
        client.get_paginator("get_item")
    with pytest.raises(AttributeError):
        client._private  # noqa: B018


def test_an_unknown_operation_is_an_error(part):
    with pytest.raises(AttributeError):
        aws.client("dynamodb").get_items()


@pytest.mark.parametrize("service", ["ssm", "s3"])
def test_a_service_outside_of_the_part_has_a_usual_client(part, service):
    assert (
        aws.client(service).meta.service_model.operation_names
        == boto3.client(service).meta.service_model.operation_names
    )


def test_a_setting_takes_the_part_away(part, monkeypatch):
    monkeypatch.setenv("BOTOCORE_DATA", "full")
    assert "ListTables" in aws.client("dynamodb").meta.service_model.operation_names


def test_outside_of_lambda_there_is_no_part():
    assert not Path(sdk_data.FOLDER).exists()
    assert sdk_data._services(sdk_data.FOLDER) == set()
