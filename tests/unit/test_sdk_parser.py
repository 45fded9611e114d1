"""DynamoDB's answers, parsed with botocore's own parser and with the fast one."""

import base64
import json

import pytest
from botocore.awsrequest import AWSResponse
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st

from handoff import sdk_data

SCALARS = st.one_of(
    st.fixed_dictionaries({"S": st.text()}),
    st.fixed_dictionaries({"N": st.integers().map(str)}),
    st.fixed_dictionaries({"BOOL": st.booleans()}),
    st.just({"NULL": True}),
    st.fixed_dictionaries({"B": st.binary().map(lambda content: base64.b64encode(content).decode())}),
    st.fixed_dictionaries({"SS": st.lists(st.text(), min_size=1)}),
    st.fixed_dictionaries({"NS": st.lists(st.integers().map(str), min_size=1)}),
    st.fixed_dictionaries({"BS": st.lists(st.sampled_from(["", "YQ==", "AAEC"]), min_size=1)}),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.fixed_dictionaries({"L": st.lists(inner)}) | st.fixed_dictionaries({"M": st.dictionaries(st.text(), inner)})
    ),
    max_leaves=15,
)
KEYS = {"region_name": "eu-central-1", "aws_access_key_id": "a", "aws_secret_access_key": "b"}


class Raw:
    """A document as urllib3 hands it out."""

    def __init__(self, text):
        self.text = text

    def stream(self):
        return [self.text.encode()]


@pytest.fixture(scope="module")
def clients():
    """A client of DynamoDB with botocore's own parser, and one with the fast one."""
    return [session.create_client("dynamodb", **KEYS) for session in (Session(), sdk_data.new_session())]


def parsed(client, call, document, status=200):
    def answer(request, **_):
        return AWSResponse(request.url, status, {}, Raw(json.dumps(document)))

    client.meta.events.register_first("before-send", answer)
    try:
        return call(client)
    finally:
        client.meta.events.unregister("before-send", answer)


@given(item=st.dictionaries(st.text(), VALUES, max_size=5))
def test_items_are_parsed_as_botocore_parses_them(clients, item):
    for call, document in (
        (lambda client: client.get_item(TableName="t", Key={"id": {"S": "1"}}), {"Item": item}),
        (
            lambda client: client.batch_get_item(RequestItems={"t": {"Keys": [{"id": {"S": "1"}}]}}),
            {"Responses": {"t": [item, item]}, "UnprocessedKeys": {"t": {"Keys": [{"id": {"S": "1"}}]}}},
        ),
        (
            lambda client: client.query(TableName="t", KeyConditionExpression="id = :id"),
            {"Items": [item], "Count": 1, "LastEvaluatedKey": item},
        ),
    ):
        own, fast = (parsed(client, call, document) for client in clients)
        assert fast == own


def test_the_item_of_a_failed_condition_is_parsed(clients):
    code = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"
    document = {"__type": code, "message": "no", "Item": {"data": {"B": "YQ=="}}}
    found = []
    for client in clients:
        with pytest.raises(client.exceptions.ConditionalCheckFailedException) as failed:
            parsed(client, lambda one: one.put_item(TableName="t", Item={"id": {"S": "1"}}), document, 400)
        found.append(failed.value.response["Item"])
    assert found == [{"data": {"B": b"a"}}] * 2


def test_the_fast_parser_is_used(clients, monkeypatch):
    # A value of no known type shows which parser was used: botocore's leaves it out.
    own, fast = (
        parsed(client, lambda one: one.get_item(TableName="t", Key={"id": {"S": "1"}}), {"Item": {"a": {"X": "1"}}})
        for client in clients
    )
    assert (own["Item"], fast["Item"]) == ({"a": {}}, {"a": {"X": "1"}})
