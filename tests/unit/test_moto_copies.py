"""What `dev.simulated.moto_copies` replaces in moto gives the answers that moto gives."""

import pytest
from botocore.awsrequest import AWSPreparedRequest, HeadersDict
from moto.core.request import normalize_request
from moto.dynamodb.comparisons import create_condition_expression_parser
from moto.dynamodb.exceptions import ItemSizeTooLarge
from moto.dynamodb.models.dynamo_type import DynamoType, Item, LimitedSizeDict

from dev.simulated import moto_copies

CONDITIONS = [
    "attribute_not_exists(#a) OR #a = :one",
    "#a BETWEEN :one AND :two AND NOT (size(b) > :two)",
    "(#a IN (:one, :two) OR begins_with(d, :text)) AND attribute_exists(b[0])",
]
ITEM = Item(DynamoType({"S": "key"}), None, {"a": {"N": "1"}, "b": {"L": [{"S": "x"}]}})


def evaluated(condition, name, one):
    """Return all that moto reads from a parsed condition."""
    values = {":one": {"N": one}, ":two": {"N": "5"}, ":text": {"S": "te"}}
    parser = create_condition_expression_parser(condition, {"#a": name}, values)
    holds = parser.parse().expr(ITEM)
    return holds, parser.expr_attr_names_found, parser.expr_attr_values_found


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_holds_with_other_names_and_values_as_in_moto(condition):
    arguments = [(condition, name, one) for name in ("a", "none") for one in ("1", "9")]
    expected = [evaluated(*each) for each in arguments]
    assert len({holds for holds, *_ in expected}) == 2
    with moto_copies.avoided():
        assert [evaluated(*each) for each in arguments * 2] == expected * 2


def test_a_condition_without_its_value_is_an_error_the_second_time_too():
    with moto_copies.avoided():
        create_condition_expression_parser("a = :one", None, {":one": {"N": "1"}}).parse()
        with pytest.raises(Exception, match=":one"):
            create_condition_expression_parser("a = :one", None, {":two": {"N": "1"}}).parse()


def sizes():
    """Return how many attributes an item takes, and how many of a larger size after one is removed."""
    held = LimitedSizeDict()
    counts = []
    for size in (1_000, 50_000):
        for number in range(1_000):
            try:
                held[f"{size} {number}"] = DynamoType({"S": "x" * size})
            except ItemSizeTooLarge:
                break
        counts.append(len(held))
        for name in list(held)[:100]:
            del held[name]
    return counts


def test_an_item_takes_as_many_bytes_as_in_moto():
    expected = sizes()
    assert max(expected) < 1_000
    with moto_copies.avoided():
        assert sizes() == expected


def read(url, body, method="POST"):
    """Return all that moto reads of a request."""
    headers = {"X-Amz-Target": "DynamoDB_20120810.GetItem", "Content-Type": "application/x-amz-json-1.0", "A": b"b"}
    request = normalize_request(AWSPreparedRequest(method, url, HeadersDict(headers), body, False))
    form = dict(request.form)
    attributes = (request.raw_url, request.url, request.path, request.host, request.method, request.query_string)
    return sorted(request.headers.items()), attributes, request.content_type, form, request.get_data()


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("https://dynamodb.us-east-1.amazonaws.com/", b'{"a": "\xc3\xa9"}'),
        ("https://sqs.us-east-1.amazonaws.com/", b""),
        ("https://email.us-east-1.amazonaws.com/v2/email/outbound-emails", b"{}"),
        ("https://dynamodb.us-east-1.amazonaws.com/?a=b", "text"),
    ],
)
def test_moto_reads_a_request_as_it_was_sent(url, body):
    expected = read(url, body)
    with moto_copies.avoided():
        assert read(url, body) == expected
