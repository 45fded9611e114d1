"""The guard of the local stack: MiniStack without a deployment, and requests as web pages and programs send them."""

import asyncio
import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple

import aiohttp
import psutil
import pytest

from dev.local.stack import LocalStack, running

FRONT_END = "https://shop.example"  # the one origin that the API allows


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with running(free_port()) as stack:
        yield stack


def client(stack: LocalStack, service: str) -> Any:
    return closing(stack.session().client(service, endpoint_url=stack.endpoint))


@pytest.fixture(scope="module")
def apis(stack: LocalStack) -> dict[str, str]:
    """HTTP APIs: with one allowed origin, with all of them, and without CORS."""
    origins = {"shop": [FRONT_END], "open": ["*"], "closed": None}
    with client(stack, "apigatewayv2") as apigateway:
        return {
            name: apigateway.create_api(
                Name=name,
                ProtocolType="HTTP",
                **({"CorsConfiguration": {"AllowOrigins": allowed, "AllowMethods": ["POST"]}} if allowed else {}),
            )["ApiId"]
            for name, allowed in origins.items()
        }


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    text: str


def send(stack: LocalStack, method: str, path: str, headers: dict[str, str], body: str = "") -> Answer:
    """Send a request as it is. A header with several values has "|" between them."""
    with closing(http.client.HTTPConnection("127.0.0.1", stack.port, timeout=120)) as connection:
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, values in headers.items():
            for value in values.split("|"):
                connection.putheader(name, value.format(port=stack.port))
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body.encode())
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read().decode())


FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},  # a sandboxed page, or a local file
    {"Origin": "http://localhost:3000"},  # another server on this machine
    {"Origin": "http://127.0.0.1:{port}", "Host": "localhost:{port}"},  # an own name, but not the one in Host
    {"Origin": "http://127.0.0.1:{port}|http://evil.example"},
    {"Origin": FRONT_END},  # its origin may call the API, and nothing else
    {"Sec-Fetch-Site": "cross-site"},  # an image, a frame or a link: no Origin
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:{port}"},
    {"Host": "evil.example:{port}"},  # DNS rebinding
    {"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}", "Sec-Fetch-Site": "same-origin"},
    {"Host": "127.0.0.1.evil.example:{port}"},
    {"Host": "localhost.evil.example:{port}"},
    {"Host": "0.0.0.0:{port}"},  # reaches loopback on Linux and macOS
    {"Host": "[:{port}"},
    {"Host": ""},
]
OWN = [
    {},
    {"Host": "localhost:{port}"},
    {"Host": "bucket.localhost:{port}"},
    {"Host": "127.0.0.1:9"},  # through the fault proxy
    {"Sec-Fetch-Site": "none"},  # the user typed the address
    {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"},
]
# Simple requests: the pages' own keys, an invalid signature, and no header that needs a preflight.
QUERY = (
    "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=test%2F20261101%2Fus-east-1%2Fsqs%2Faws4_request"
    "&X-Amz-Date=20261101T000000Z&X-Amz-SignedHeaders=host&X-Amz-Signature=0"
)
CREATE = "Action=CreateQueue&Version=2012-11-05&QueueName=planted"


def queues(stack: LocalStack) -> list[str]:
    with client(stack, "sqs") as sqs:
        return [url.rpartition("/")[2] for url in sqs.list_queues().get("QueueUrls", [])]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_requests_of_web_pages_are_rejected(stack: LocalStack, headers: dict[str, str]) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    # WHEN a page sends a form to SQS, reads an address of MiniStack, or asks before it sends more
    answers = [
        send(stack, "POST", "/" + QUERY, form | headers, CREATE),
        send(stack, "GET", f"/{QUERY}&{CREATE}", headers),
        send(stack, "GET", "/_ministack/sqs/messages", headers),
        send(stack, "OPTIONS", "/", headers | {"Access-Control-Request-Method": "PUT"}),
    ]
    # THEN each is rejected, the answer says why, and the page may not read it
    assert [answer.status for answer in answers] == [403] * 4
    assert all(answer.text.startswith("Forbidden: the ") for answer in answers)
    assert not any(name.lower().startswith("access-control") for answer in answers for name in answer.headers)
    # AND nothing has been done
    assert queues(stack) == []


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_requests_of_programs_pass(stack: LocalStack, headers: dict[str, str]) -> None:
    assert send(stack, "GET", "/_ministack/sqs/messages", headers).status == 200


def test_a_form_without_the_marks_of_a_page_has_an_effect(stack: LocalStack) -> None:
    # GIVEN the request that pages are denied
    answer = send(stack, "POST", "/" + QUERY, {"Content-Type": "application/x-www-form-urlencoded"}, CREATE)
    # WHEN a program sends it, THEN it is carried out, so the tests above can fail
    assert (answer.status, queues(stack)) == (200, ["planted"])
    with client(stack, "sqs") as sqs:
        sqs.delete_queue(QueueUrl=f"{stack.endpoint}/000000000000/planted")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/_ministack/reset"),
        ("POST", "/_ministack/reset?init=1"),
        ("POST", "/%5fministack/reset"),
        ("POST", "/_ministack/config"),
        ("POST", "/_ministack/rds/iam-auth"),
        ("POST", "/_localstack/state/reset"),
    ],
)
def test_administrative_addresses_are_closed_to_programs_as_well(stack: LocalStack, method: str, path: str) -> None:
    answer = send(stack, method, path, {})
    assert (answer.status, "the local stack does not serve /_" in answer.text) == (403, True)


def test_the_api_can_be_called_from_the_origins_that_it_allows(stack: LocalStack, apis: dict[str, str]) -> None:
    page = {"Origin": FRONT_END, "Sec-Fetch-Site": "cross-site"}
    asked = page | {"Access-Control-Request-Method": "POST"}

    def statuses(api: str, headers: dict[str, str]) -> list[int]:
        path = f"/_aws/execute-api/{apis[api]}/$default/orders"
        host = {"Host": f"{apis[api]}.execute-api.localhost:{stack.port}"}
        return [
            send(stack, "OPTIONS", path, headers | {"Access-Control-Request-Method": "POST"}).status,
            send(stack, "POST", path, headers).status,
            send(stack, "POST", "/orders", headers | host).status,
        ]

    # WHEN a page of the allowed origin calls the API, THEN it answers: these APIs have no routes
    assert statuses("shop", page) == [204, 404, 404]
    answer = send(stack, "OPTIONS", f"/_aws/execute-api/{apis['shop']}/$default/orders", asked)
    assert answer.headers["Access-Control-Allow-Origin"] == FRONT_END
    # AND a page of any other origin is rejected, unless the API allows all
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert statuses("shop", headers) == [403, 403, 403]
    assert statuses("open", {"Origin": "https://evil.example"}) == [204, 404, 404]
    # AND so is every page by an API without CORS, or one that does not exist
    assert statuses("closed", page) == [403, 403, 403]
    apis["none"] = "deadbeef"
    assert statuses("none", page) == [403, 403, 403]
    # AND the API's own host name opens nothing else
    host = {"Host": f"evil.example:{stack.port}"}
    assert send(stack, "POST", f"/_aws/execute-api/{apis['shop']}/$default/orders", page | host).status == 403


@pytest.fixture(scope="module")
def created(stack: LocalStack) -> str:
    """The path of an API that CloudFormation has created, whose one route needs a token."""
    cors = {"AllowOrigins": [FRONT_END], "AllowMethods": ["GET"], "AllowHeaders": ["authorization"]}
    api = {"Name": "created", "ProtocolType": "HTTP", "CorsConfiguration": {**cors, "ExposeHeaders": ["location"]}}
    route = {"ApiId": {"Ref": "Api"}, "RouteKey": "GET /orders", "AuthorizationType": "JWT"}
    resources = {
        "Api": {"Type": "AWS::ApiGatewayV2::Api", "Properties": api},
        "Route": {"Type": "AWS::ApiGatewayV2::Route", "Properties": route},
    }
    with client(stack, "cloudformation") as cloudformation:
        cloudformation.create_stack(StackName="cors", TemplateBody=json.dumps({"Resources": resources}))
        cloudformation.get_waiter("stack_create_complete").wait(StackName="cors", WaiterConfig={"Delay": 1})
        found = cloudformation.describe_stack_resource(StackName="cors", LogicalResourceId="Api")
    return f"/_aws/execute-api/{found['StackResourceDetail']['PhysicalResourceId']}/$default/orders"


def test_the_cors_configuration_of_a_template_is_applied(stack: LocalStack, created: str) -> None:
    page = {"Origin": FRONT_END, "Sec-Fetch-Site": "cross-site"}
    answer = send(stack, "OPTIONS", created, page | {"Access-Control-Request-Method": "GET"})
    assert answer.status == 204
    assert answer.headers.get_all("Access-Control-Allow-Origin") == [FRONT_END]
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization"
    # AND a page of any other origin is rejected
    assert send(stack, "OPTIONS", created, {"Origin": "https://evil.example"}).status == 403


def test_a_page_can_read_why_the_gateway_itself_refuses_a_request(stack: LocalStack, created: str) -> None:
    answer = send(stack, "GET", created, {"Origin": FRONT_END, "Sec-Fetch-Site": "cross-site"})
    assert answer.status == 401
    assert answer.headers.get_all("Access-Control-Allow-Origin") == [FRONT_END]
    assert answer.headers.get_all("Access-Control-Expose-Headers") == ["location"]
    # AND a program's answer has no such headers
    assert "Access-Control-Allow-Origin" not in send(stack, "GET", created, {}).headers


def test_pages_cannot_open_websockets(stack: LocalStack) -> None:
    # GIVEN a WebSocket API, to which programs may connect
    with client(stack, "apigatewayv2") as apigateway:
        made = apigateway.create_api(Name="chat", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.a")
        apigateway.create_stage(ApiId=made["ApiId"], StageName="live")
    path = f"/_aws/execute-api/{made['ApiId']}/live"
    assert asyncio.run(handshake(stack, path, {})) == 101
    # WHEN a page connects, which browsers permit to any address, THEN it is rejected
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        assert asyncio.run(handshake(stack, path, headers)) == 403


async def handshake(stack: LocalStack, path: str, headers: dict[str, str]) -> int:
    async with aiohttp.ClientSession() as session:
        try:
            async with session.ws_connect(stack.endpoint + path, headers=headers):
                return 101
        except aiohttp.WSServerHandshakeError as error:
            return error.status


def test_ministack_listens_on_no_other_port(stack: LocalStack) -> None:
    """Another port would lead around the guard."""
    listening = {
        (found.laddr.ip, found.laddr.port)
        for process in _family(stack)
        for found in process.net_connections("tcp")
        if found.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", stack.port)}


def _family(stack: LocalStack) -> list[psutil.Process]:
    main = psutil.Process(stack.ministack.pid)
    return [main, *main.children(recursive=True)]
