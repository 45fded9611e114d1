"""The request-driven chain of the benchmarks does the same work as Handoff, so that the comparison is fair."""

import json
import os
import subprocess
import sys

from samtranslator.yaml_helper import yaml_parse

from bench.load.rig import gather_chain
from dev.local.stack import ROOT

_ANSWER = """
import json, sys
from pathlib import Path
from types import SimpleNamespace

import boto3
from moto import mock_aws

from ops import catalog

request = json.load(sys.stdin)
with mock_aws():
    dynamodb, mails = boto3.client("dynamodb"), boto3.client("sesv2")
    for table in request["tables"]:
        dynamodb.create_table(**table)
    catalog.load(dynamodb, "ProductsTable", catalog.read(Path(request["catalog"])))
    dynamodb.put_item(TableName="CustomersTable", Item=request["customer"])
    mails.create_email_identity(EmailIdentity="shop@example.com")
    import request_chain
    context = SimpleNamespace(
        function_name="chain", memory_limit_in_mb="1024", invoked_function_arn="arn", aws_request_id="1"
    )
    answer = request_chain.handler(request["event"], context)
    sales = dynamodb.scan(TableName="SalesTable")["Items"]
    sent = boto3.client("ses").get_send_quota()["SentLast24Hours"]
print(json.dumps({"answer": answer, "sales": sales, "mails": sent}))
"""


def test_an_order_is_placed_mailed_and_counted(tmp_path):
    # GIVEN the chain as deployed: its folder, Handoff's layer, and its template's tables and settings
    gather_chain(tmp_path / "deployed")
    resources = yaml_parse((tmp_path / "deployed/template.yaml").read_text())["Resources"]
    variables = resources["ChainFunction"]["Properties"]["Environment"]["Variables"]
    event = json.loads((ROOT / "events/orders.json").read_text())
    user = event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"]
    request = {
        "event": event,
        "tables": [
            {"TableName": name, **resource["Properties"]}
            for name, resource in resources.items()
            if resource["Type"] == "AWS::DynamoDB::Table"
        ],
        "catalog": str(ROOT / "events/catalog.json"),
        "customer": {"userId": {"S": user}, "name": {"S": "Ada"}, "email": {"S": "ada@example.com"}},
    }

    # WHEN an order comes in
    path = (tmp_path / "deployed/request_chain", ROOT / "layers/handoff", ROOT)
    run = subprocess.run(
        [sys.executable, "-c", _ANSWER],
        cwd=tmp_path,
        env={
            **os.environ,
            **{name: _value(value) for name, value in variables.items()},
            "AWS_DEFAULT_REGION": "eu-central-1",
            "PYTHONPATH": ":".join(map(str, path)),
        },
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )

    # THEN it is answered, mailed and counted
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout.splitlines()[-1])
    assert seen["answer"]["statusCode"] == 201, seen["answer"]
    assert seen["mails"] == 1
    assert seen["sales"]


def _value(value):
    """Return a variable's value; tables have their logical ids as names."""
    return value if isinstance(value, str) else value["Ref"]
