"""The fault proxy, between a real client and a small server behind it."""

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import httpx
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError

from dev.faults.proxy import CONTROL, FaultProxy, routes, running_proxy
from dev.faults.rules import Call, Faults, Rule


class Upstream(ThreadingHTTPServer):
    """Answers every request with what it has got, and counts them."""

    daemon_threads = True

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Echo)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def operations(self) -> list[str]:
        return [seen["headers"].get("X-Amz-Target", "").partition(".")[2] for seen in self.seen]


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        seen = {"path": self.path, "headers": dict(self.headers), "body": body.decode()}
        self.server.seen.append(seen)  # type: ignore[attr-defined]
        answer = b'{"Item": {"key": {"S": "there"}}, "MessageId": "m-1", "Entries": [], "FailedEntryCount": 0}'
        self.send_response(202 if self.path == "/teapot" else 200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("X-From", "upstream")
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[FaultProxy]:
    with running_proxy(upstream.url, seed=1) as proxy:
        yield proxy


@pytest.fixture
def aws(proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """AWS clients that talk to the proxy as a function's do: by environment variables."""
    for name, value in routes(proxy.url).items():
        monkeypatch.setenv(name, value)
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="eu-central-1")
    once = Config(retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=120)
    clients: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in clients:
            clients[service] = session.client(service, config=once)
        return clients[service]

    yield client
    for made in clients.values():
        made.close()


def get(client: Any, table: str = "orders") -> Any:
    return client.get_item(TableName=table, Key={"key": {"S": "a"}})["Item"]


# --- what passes ------------------------------------------------------------------------------------------------------


def test_without_a_rule_a_request_and_its_answer_pass_as_they_are(proxy: FaultProxy, upstream: Upstream) -> None:
    # WHEN a request with an odd path and a Host of its own is sent
    headers = {"Host": "signed.localhost", "X-Own": "mine", "Authorization": "AWS4-HMAC-SHA256 x"}
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"))
    connection.request("POST", "/a%2Fb/%24default?q=1%202&r", body=b"\x00body", headers=headers)
    answer = connection.getresponse()
    # THEN it arrives with nothing changed and nothing added but what the connection needs
    (seen,) = upstream.seen
    assert (seen["path"], seen["body"]) == ("/a%2Fb/%24default?q=1%202&r", "\x00body")
    assert {name.lower() for name in seen["headers"]} == {
        "host", "x-own", "authorization", "accept-encoding", "content-length",
    }  # fmt: skip
    assert headers.items() <= seen["headers"].items()
    # AND so does the answer
    assert (answer.status, answer.headers["X-From"], len(answer.read())) == (200, "upstream", 91)
    connection.close()


PAGES = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Host": "evil.example"},  # DNS rebinding
]


@pytest.mark.parametrize("headers", PAGES, ids=str)
def test_requests_of_web_pages_are_rejected(proxy: FaultProxy, upstream: Upstream, headers: dict[str, str]) -> None:
    # WHEN a page of another site sends a request to AWS, or a rule, in a form that browsers send without a preflight
    sent = {"Content-Type": "text/plain"} | headers
    with httpx.Client(base_url=proxy.url, headers=sent, trust_env=False) as page:
        answers = [page.post("/", content="{}"), page.get("/health"), page.get(CONTROL)]
        answers.append(page.post(CONTROL, content='{"drop": "after"}'))
    # THEN each is rejected, nothing is passed on, and there is no new rule
    assert [answer.status_code for answer in answers] == [403] * 4
    assert all(answer.text.startswith("Forbidden: the ") for answer in answers)
    assert (upstream.seen, proxy.faults.planned()) == ([], [])


def test_all_four_services_of_the_functions_are_routed_and_recognised(proxy: FaultProxy, aws: Any) -> None:
    get(aws("dynamodb"))
    aws("events").put_events(Entries=[{"Source": "a", "DetailType": "b", "Detail": "{}"}])
    aws("sqs").send_message(QueueUrl="http://127.0.0.1/queue", MessageBody="hello")
    aws("sesv2").send_email(Content={"Raw": {"Data": b"hello"}})

    assert proxy.faults.calls() == {
        "dynamodb.GetItem": 1, "eventbridge.PutEvents": 1, "sqs.SendMessage": 1, "sesv2.SendEmail": 1,
    }  # fmt: skip


def test_what_is_no_call_to_aws_is_named_after_its_request(proxy: FaultProxy) -> None:
    httpx.post(f"{proxy.url}/v1/payment_intents/pi_1/capture")

    assert proxy.faults.calls() == {"POST /v1/payment_intents/pi_1/capture": 1}


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_refused_call_gets_its_error_and_never_arrives(proxy: FaultProxy, aws: Any, upstream: Upstream) -> None:
    refusal = Rule(call="dynamodb.GetItem", refuse="ThrottlingException", status=400)
    with proxy.faults.in_force(refusal), pytest.raises(ClientError) as refused:
        get(aws("dynamodb"))

    assert refused.value.response["Error"]["Code"] == "ThrottlingException"
    assert upstream.seen == []


def test_ses_is_refused_in_its_own_way(proxy: FaultProxy, aws: Any) -> None:
    client = aws("sesv2")
    proxy.faults.add(Rule(call="sesv2.SendEmail", refuse="TooManyRequestsException", status=429))

    with pytest.raises(client.exceptions.TooManyRequestsException):
        client.send_email(Content={"Raw": {"Data": b"hello"}})


def test_a_call_can_be_answered_in_the_others_stead(proxy: FaultProxy, aws: Any, upstream: Upstream) -> None:
    failed = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException", "ErrorMessage": "later"}]}
    proxy.faults.add(Rule(call="eventbridge.*", answer=failed))

    answer = aws("events").put_events(Entries=[{"Source": "a", "DetailType": "b", "Detail": "{}"}])

    assert answer["FailedEntryCount"] == 1
    assert upstream.seen == []


@pytest.mark.parametrize(("drop", "arrived"), [("before", []), ("after", ["GetItem"])])
def test_a_dropped_call_gets_no_answer(
    proxy: FaultProxy, aws: Any, upstream: Upstream, drop: Any, arrived: list[str]
) -> None:
    proxy.faults.add(Rule(call="dynamodb.*", drop=drop))

    with pytest.raises(ConnectionClosedError):
        get(aws("dynamodb"))

    assert upstream.operations() == arrived


def test_a_delayed_call_holds_up_no_other(proxy: FaultProxy, aws: Any) -> None:
    # GIVEN that calls for one table take seconds
    proxy.faults.add(Rule(table="slow*", delay=2_000))
    done: list[str] = []

    def read(table: str) -> None:
        get(aws("dynamodb"), table)
        done.append(table)

    # WHEN that table is asked first, and others after it
    aws("dynamodb")
    with ThreadPoolExecutor(5) as threads:
        threads.submit(read, "slow-table")
        while not proxy.faults.calls():
            time.sleep(0.01)
        for _ in range(4):
            threads.submit(read, "quick")
    # THEN the others are answered first, and it is answered, too
    assert done == ["quick"] * 4 + ["slow-table"]


def test_a_caller_can_be_killed_in_the_middle_of_a_call(proxy: FaultProxy, upstream: Upstream) -> None:
    proxy.faults.add(Rule(drop="after", kill=True))

    code = f"import urllib.request as u; u.urlopen(u.Request('{proxy.url}/thing', b'x'))"
    caller = subprocess.Popen([sys.executable, "-c", code])

    assert caller.wait(timeout=120) == -9
    assert proxy.killed == [caller.pid]
    assert [seen["path"] for seen in upstream.seen] == ["/thing"]


def test_a_connection_to_another_server_from_the_same_port_is_not_killed(proxy: FaultProxy, upstream: Upstream) -> None:
    # GIVEN a process that is connected to another server from the port of the caller
    code = """
import socket, sys
caller = socket.socket()
caller.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
caller.bind(("127.0.0.1", int(sys.argv[1])))
caller.connect(("127.0.0.1", int(sys.argv[2])))
caller.sendall(b"POST /thing HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nContent-Length: 0\\r\\n\\r\\n")
print(caller.getsockname()[1], flush=True)
caller.recv(1)
sys.stdin.read()
"""

    def connect(port: int, server: str) -> "subprocess.Popen[bytes]":
        to = server.rpartition(":")[2]
        command = [sys.executable, "-c", code, str(port), to]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    with connect(0, upstream.url) as other:
        assert other.stdin
        assert other.stdout
        port = int(other.stdout.readline())
        # WHEN the caller is killed
        proxy.faults.add(Rule(drop="after", kill=True))
        with connect(port, proxy.url) as caller:
            assert caller.wait(timeout=120) == -9
        # THEN it alone is
        assert proxy.killed == [caller.pid]
        other.stdin.close()
        assert other.wait(timeout=120) == 0


def test_an_upstream_that_is_gone_is_a_broken_connection(aws: Any, proxy: FaultProxy, upstream: Upstream) -> None:
    upstream.shutdown()
    upstream.server_close()

    with pytest.raises((ConnectionClosedError, EndpointConnectionError)):
        get(aws("dynamodb"))


# --- which calls ------------------------------------------------------------------------------------------------------


def transaction(*steps: dict[str, Any]) -> Call:
    body = json.dumps({"TransactItems": steps}).encode()
    return Call("POST", "/", "DynamoDB_20120810.TransactWriteItems", body)


RESERVE = transaction({"Put": {"TableName": "the-orders"}}, {"Update": {"TableName": "the-products"}})
COUNT = transaction({"Put": {"TableName": "the-sales"}}, {"Update": {"TableName": "the-sales"}})
PAY = Call("POST", "/", "DynamoDB_20120810.PutItem", b'{"TableName": "the-sandbox"}')
READ = Call("POST", "/", "DynamoDB_20120810.BatchGetItem", b'{"RequestItems": {"the-orders": {"Keys": []}}}')
SEND = Call("POST", "/", "AmazonSQS.SendMessage", b'{"QueueUrl": "the-orders"}')


@pytest.mark.parametrize(
    ("rule", "struck"),
    [
        (Rule(), [RESERVE, COUNT, PAY, READ, SEND]),
        (Rule(call="sqs.*"), [SEND]),
        (Rule(table="*sandbox"), [PAY]),
        (Rule(table="*orders"), [RESERVE, READ]),
        (Rule(call="dynamodb.TransactWriteItems", table="the-products"), [RESERVE]),
        (Rule(puts="the-products"), []),
        (Rule(puts="the-orders"), [RESERVE]),
        (Rule(puts="the-s*"), [COUNT, PAY]),
    ],
    ids=["any", "one service", "a table", "another table", "a table in it", "only updated", "put", "put anywhere"],
)
def test_a_rule_is_about_the_calls_that_it_names(rule: Rule, struck: list[Call]) -> None:
    faults = Faults()
    faults.add(rule)

    assert [call for call in (RESERVE, COUNT, PAY, READ, SEND) if faults.strike(call)] == struck


def test_the_first_rule_that_strikes_decides() -> None:
    faults = Faults()
    first = faults.add(Rule(call="dynamodb.PutItem", refuse="First", times=2))
    second = faults.add(Rule(refuse="Second"))

    assert [getattr(faults.strike(PAY), "refuse", None) for _ in range(3)] == ["First", "First", "Second"]
    assert (first.struck, second.struck) == (2, 1)


def test_a_share_is_struck_at_random_and_repeatably() -> None:
    def struck(seed: int) -> list[bool]:
        faults = Faults(seed)
        planned = faults.add(Rule(share=0.06))
        found = [faults.strike(PAY) is not None for _ in range(2000)]
        assert planned.matched == 2000
        assert planned.struck == sum(found)
        return found

    assert struck(1) == struck(1) != struck(2)
    assert 0.04 < sum(struck(1)) / 2000 < 0.08


def test_healed_everything_passes_again() -> None:
    faults = Faults()
    faults.add(Rule(refuse="Broken"))
    with faults.in_force(Rule(call="sqs.*", refuse="Broken")):
        faults.heal()
        assert faults.strike(PAY) is None
    assert faults.calls() == {"dynamodb.PutItem": 1}


@pytest.mark.parametrize("wrong", [{"refuse": "A", "drop": "after"}, {"kill": True}, {"share": 0}, {"dealy": 5}])
def test_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Rule(**wrong)


# --- steering it over HTTP --------------------------------------------------------------------------------------------


@pytest.fixture
def process(upstream: Upstream) -> Iterator[str]:
    """The address of a proxy in a process of its own."""
    command = [sys.executable, "-m", "dev", "fault-proxy", "--upstream", upstream.url]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert started.stdout
    yield started.stdout.readline().strip()
    psutil.Process(started.pid).terminate()
    assert started.wait(timeout=120) == 0
    started.stdout.close()


def test_a_proxy_of_its_own_is_steered_over_http(process: str, upstream: Upstream) -> None:
    with httpx.Client(base_url=process) as http:
        # WHEN a rule is put in force
        made = http.post("/_faults", json={"call": "GET /thing", "refuse": "Gone", "status": 410})
        assert made.status_code == 201
        # THEN it strikes, and is counted
        assert http.get("/thing").json()["__type"] == "Gone"
        assert http.get("/other").status_code == 200
        assert http.get("/_faults").json() == {
            "rules": [
                {
                    "number": 1,
                    "rule": {"call": "GET /thing", "refuse": "Gone", "status": 410},
                    "matched": 1,
                    "struck": 1,
                }
            ],
            "calls": {"GET /thing": 1, "GET /other": 1},
            "killed": [],
        }
        # AND ended, everything passes
        assert http.delete("/_faults/1").json()["struck"] == 1
        assert http.delete("/_faults/1").status_code == 404
        assert http.get("/thing").status_code == 200
        http.post("/_faults", json={"refuse": "Gone"})
        assert http.delete("/_faults").status_code == 204
        assert http.get("/thing").status_code == 200
    assert len(upstream.seen) == 3


def test_a_wrong_rule_is_refused_over_http_by_its_field(proxy: FaultProxy) -> None:
    answer = httpx.post(f"{proxy.url}/_faults", json={"share": 7})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["loc"] == ["share"]
