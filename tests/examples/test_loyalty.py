"""The loyalty example in moto: points for each euro of an order that it looks up, given once."""

import base64
import importlib
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml

from dev.simulated import clients, wire
from dev.simulated.functions import Context
from dev.simulated.messages import envelope
from dev.simulated.world import direct_client, mocked, shared_wire
from handoff.attribute_values import from_item
from handoff.clock import now_ms
from handoff.consumer import RESERVE, BatchFailed

SOURCE = Path(__file__).parents[2] / "examples/loyalty/points"
TEMPLATE = yaml.load((SOURCE.parent / "template.yaml").read_text(), yaml.BaseLoader)["Resources"]
TIMEOUT = int(TEMPLATE["PointsFunction"]["Properties"]["Timeout"])
CLIENT = {"clientId": "points", "clientSecret": "geheim"}


class Api(ThreadingHTTPServer):
    """Handoff's API and the token endpoint: orders by id, and the requests to them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.orders: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.tokens = 0  # issued
        self.refused: set[str] = set()  # tokens that are no longer valid
        self.secret = "geheim"  # the client's present one
        self.status = 0  # of all answers of the API, if it is not 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def place(self, order_id: str, user: str = "ada", total: int = 1250, sequence: int = 1) -> None:
        self.orders[order_id] = {"orderId": order_id, "userId": user, "total": total, "sequence": sequence}


class _Handler(BaseHTTPRequestHandler):
    server: Api

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.asked.append(f"POST {self.path} {body}")
        given = base64.b64decode(self.headers["authorization"].removeprefix("Basic ")).decode()
        if given != f"points:{self.server.secret}":
            self._answer(400, {"error": "invalid_client"})
            return
        self.server.tokens += 1
        self._answer(200, {"access_token": f"token-{self.server.tokens}", "expires_in": 3600})

    def do_GET(self) -> None:
        token = self.headers["authorization"].removeprefix("Bearer ")
        self.server.asked.append(f"GET {self.path} {token}")
        order = self.server.orders.get(self.path.rpartition("/")[2])
        if token in self.server.refused:
            self._answer(401, {"message": "Unauthorized"})
        elif self.server.status:
            self._answer(self.server.status, {})
        else:
            self._answer(200 if order else 404, order or {})

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *args: object) -> None:
        pass


class Loyalty:
    """The example's function, table and queues, with faults on the wire between them, and the API."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.wire = shared_wire()
        self.wire.reset()
        direct_client("dynamodb").create_table(
            TableName="points",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        direct_client("secretsmanager").create_secret(Name="points-client", SecretString=json.dumps(CLIENT))
        sqs = direct_client("sqs")
        self.environment = {
            name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("QUEUE_URL", "DEAD_LETTER_QUEUE_URL")
        } | {"API_URL": api.url, "TOKEN_URL": f"{api.url}/oauth2/token", "CLIENT_SECRET_ID": "points-client"}
        self._points = None

    def deliver(
        self, *events: dict[str, Any], receives: int = 1, new_process: bool = True, seconds: int = TIMEOUT
    ) -> Any:
        """Deliver events in one batch, to a new process or to the last one; ``seconds`` until its timeout."""
        records = [
            {
                "messageId": str(n),
                "receiptHandle": "handle",
                "body": json.dumps(event),
                "attributes": {"ApproximateReceiveCount": str(receives)},
                "eventSource": "aws:sqs",
            }
            for n, event in enumerate(events)
        ]
        with patch.dict(os.environ, self.environment):
            if new_process or self._points is None:
                for name in ("points", "order_lookup"):
                    sys.modules.pop(name, None)
                with clients.kept():
                    self._points = importlib.import_module("points")
            return self._points.handler({"Records": records}, Context("points", now_ms() + 1000 * seconds, now_ms))

    def points(self) -> dict[str, int]:
        items = [from_item(item) for item in direct_client("dynamodb").scan(TableName="points")["Items"]]
        return {item["id"]: item["points"] for item in items if "points" in item}

    def reasons(self) -> list[str]:
        """Return the reasons of all dead letters."""
        received = direct_client("sqs").receive_message(
            QueueUrl=self.environment["DEAD_LETTER_QUEUE_URL"], MessageAttributeNames=["All"], MaxNumberOfMessages=10
        )
        return [letter["MessageAttributes"]["reason"]["StringValue"] for letter in received.get("Messages", [])]


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as api:
        threading.Thread(target=api.serve_forever, args=(0.01,), daemon=True).start()
        yield api
        api.shutdown()


@pytest.fixture
def loyalty(monkeypatch: pytest.MonkeyPatch, api: Api) -> Iterator[Loyalty]:
    monkeypatch.syspath_prepend(str(SOURCE))
    with patch.dict(os.environ, {"POINTS_TABLE": "points", "MAX_RECEIVES": "6"}), mocked():
        yield Loyalty(api)


RETRIED = {"batchItemFailures": [{"itemIdentifier": "0"}]}


def test_each_order_gives_its_user_a_point_for_each_euro(loyalty: Loyalty) -> None:
    # GIVEN orders of which the events say ids only
    for order_id, user, total in (("ord_1", "ada", 1250), ("ord_2", "ada", 99), ("ord_3", "bob", 100)):
        loyalty.api.place(order_id, user, total)

    placed = [envelope("order_placed", order_id, 1) for order_id in ("ord_1", "ord_2", "ord_3")]
    assert loyalty.deliver(*placed) == {"batchItemFailures": []}

    assert loyalty.points() == {"user#ada": 12, "user#bob": 1}


def test_an_event_that_comes_again_gives_no_more_points(loyalty: Loyalty) -> None:
    loyalty.api.place("ord_1")
    placed = envelope("order_placed", "ord_1", 1)

    for _ in range(2):
        assert loyalty.deliver(placed, placed) == {"batchItemFailures": []}

    assert loyalty.points() == {"user#ada": 12}


def test_a_retry_after_a_lost_answer_gives_no_more_points(loyalty: Loyalty) -> None:
    loyalty.api.place("ord_1")
    loyalty.wire.on("dynamodb.TransactWriteItems", wire.lose_response_and_token)

    loyalty.deliver(envelope("order_placed", "ord_1", 1))

    assert loyalty.points() == {"user#ada": 12}


def test_of_the_order_nothing_but_the_points_is_kept(loyalty: Loyalty) -> None:
    loyalty.api.place("ord_1")
    loyalty.api.orders["ord_1"]["shippingAddress"] = {"name": "Ada Lovelace"}

    loyalty.deliver(envelope("order_placed", "ord_1", 1))

    kept = json.dumps(direct_client("dynamodb").scan(TableName="points")["Items"])
    assert "Lovelace" not in kept
    assert "1250" not in kept


# --- the order --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sequence", [0, None])
def test_an_order_that_is_missing_or_older_than_the_event_is_looked_up_later(
    loyalty: Loyalty, sequence: int | None
) -> None:
    if sequence is not None:
        loyalty.api.place("ord_1", sequence=sequence)
    other = envelope("order_placed", "ord_2", 1)
    loyalty.api.place("ord_2")

    assert loyalty.deliver(envelope("order_placed", "ord_1", 1), other) == RETRIED
    assert loyalty.points() == {"user#ada": 12}

    loyalty.api.place("ord_1", "bob")
    loyalty.deliver(envelope("order_placed", "ord_1", 1))
    assert loyalty.points() == {"user#ada": 12, "user#bob": 12}


def test_an_order_that_is_never_found_becomes_a_dead_letter_that_says_so(loyalty: Loyalty) -> None:
    loyalty.deliver(envelope("order_placed", "ord_1", 1), receives=6)
    assert loyalty.reasons() == ["order ord_1 is missing"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_api_that_fails_is_asked_again_later(loyalty: Loyalty, status: int) -> None:
    loyalty.api.status = status
    with pytest.raises(BatchFailed):
        loyalty.deliver(envelope("order_placed", "ord_1", 1))

    loyalty.api.status = 0
    loyalty.api.place("ord_1")
    loyalty.deliver(envelope("order_placed", "ord_1", 1), receives=2)
    assert loyalty.points() == {"user#ada": 12}


def test_an_api_that_cannot_be_reached_leaves_a_reason(loyalty: Loyalty) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        loyalty.environment["API_URL"] = f"http://127.0.0.1:{probe.getsockname()[1]}"
    loyalty.deliver(envelope("order_placed", "ord_1", 1), receives=6)
    assert loyalty.reasons() == ["ApiUnavailable"]


# --- the token --------------------------------------------------------------------------------------------------------


def test_one_token_serves_all_orders_until_it_expires(loyalty: Loyalty, clock: Any) -> None:
    for n in range(3):
        loyalty.api.place(f"ord_{n}")
        loyalty.deliver(envelope("order_placed", f"ord_{n}", 1), new_process=False)
    assert loyalty.api.tokens == 1
    assert loyalty.api.asked[0] == "POST /oauth2/token grant_type=client_credentials&scope=handoff%2Forders%3Aread"

    clock.forward(3_600)
    loyalty.api.place("ord_9")
    loyalty.deliver(envelope("order_placed", "ord_9", 1), new_process=False)
    assert loyalty.api.tokens == 2


def test_a_token_that_is_refused_is_renewed_at_once(loyalty: Loyalty) -> None:
    loyalty.api.place("ord_1")
    loyalty.api.refused = {"token-1"}

    assert loyalty.deliver(envelope("order_placed", "ord_1", 1)) == {"batchItemFailures": []}

    assert (loyalty.api.tokens, loyalty.points()) == (2, {"user#ada": 12})


def test_a_changed_secret_is_read_with_the_next_token(loyalty: Loyalty) -> None:
    loyalty.api.place("ord_1")
    loyalty.api.secret = "neu"
    with pytest.raises(BatchFailed):
        loyalty.deliver(envelope("order_placed", "ord_1", 1), new_process=False)

    secret = json.dumps(CLIENT | {"clientSecret": "neu"})
    direct_client("secretsmanager").put_secret_value(SecretId="points-client", SecretString=secret)
    loyalty.deliver(envelope("order_placed", "ord_1", 1), new_process=False)

    assert loyalty.points() == {"user#ada": 12}


def test_a_program_without_the_scope_is_no_matter_of_retries(loyalty: Loyalty) -> None:
    loyalty.api.status = 403

    assert loyalty.deliver(envelope("order_placed", "ord_1", 1)) == {"batchItemFailures": []}

    assert loyalty.reasons() == ["the program's token lacks the scope orders:read"]


# --- time -------------------------------------------------------------------------------------------------------------


def test_the_rest_of_a_batch_is_handed_back_if_slow_calls_could_outlast_the_function(loyalty: Loyalty) -> None:
    for order_id in ("ord_1", "ord_2"):
        loyalty.api.place(order_id)
    placed = [envelope("order_placed", order_id, 1) for order_id in ("ord_1", "ord_2")]

    answer = loyalty.deliver(*placed, seconds=TIMEOUT // 2)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert loyalty.deliver(*placed) == {"batchItemFailures": []}
    assert loyalty.points() == {"user#ada": 24}


def test_the_function_has_time_for_the_slowest_event(loyalty: Loyalty) -> None:
    loyalty.deliver({})
    longest = sys.modules["order_lookup"].LONGEST + sys.modules["points"]._SECONDS
    assert longest + RESERVE < TIMEOUT
    assert int(TEMPLATE["PointsQueue"]["Properties"]["VisibilityTimeout"]) == 6 * TIMEOUT


# --- dead letters -----------------------------------------------------------------------------------------------------


def test_an_event_without_a_user_becomes_a_dead_letter_and_its_neighbor_is_handled(loyalty: Loyalty) -> None:
    poison = envelope("order_placed", "ord_1", 1)
    del poison["detail"]["data"]["userId"]
    loyalty.api.place("ord_2")

    assert loyalty.deliver(poison, envelope("order_placed", "ord_2", 1)) == {"batchItemFailures": []}

    assert loyalty.reasons() == ["not an event: detail.data.userId"]
    assert loyalty.points() == {"user#ada": 12}


def test_a_failure_is_retried_and_the_last_one_becomes_a_dead_letter(loyalty: Loyalty) -> None:
    loyalty.api.place("ord_1")
    loyalty.wire.always("dynamodb.TransactWriteItems", wire.refuse("AccessDeniedException", 400))
    placed, other = envelope("order_placed", "ord_1", 1), {"detail-type": "unknown"}

    assert loyalty.deliver(placed, other) == RETRIED
    assert len(loyalty.reasons()) == 1

    assert loyalty.deliver(placed, receives=6) == {"batchItemFailures": []}
    assert loyalty.reasons() == ["TransactWriteItems: AccessDeniedException"]
