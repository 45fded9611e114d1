"""The guard of the deployed stack: web pages are rejected, and no port leads around it."""

from typing import Any

import httpx
import psutil
import pytest

from dev.local.stack import LocalStack
from ops.shop_client import ShopClient
from ops.stack.deployment import Deployment
from tests.e2e.support import place

PAGES = [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}]

PATIENT: Any = {"trust_env": False, "timeout": 120}  # seconds, on a busy machine


@pytest.mark.parametrize("headers", PAGES, ids=str)
def test_web_pages_can_use_neither_the_api_nor_aws(deployment: Deployment, headers: dict[str, str]) -> None:
    catalog, aws = f"{deployment.api_url}/catalog", f"{deployment.endpoint}/"
    # GIVEN requests that need no token or are not signed
    assert httpx.get(catalog, **PATIENT).status_code == 200
    # WHEN a web page sends them, THEN they are rejected: the template allows no origin
    assert httpx.get(catalog, headers=headers, **PATIENT).status_code == 403
    assert httpx.options(catalog, headers=headers, **PATIENT).status_code == 403
    assert httpx.post(aws, headers=headers, data={"Action": "ListQueues"}, **PATIENT).status_code == 403


def test_functions_open_no_other_port(local_stack: LocalStack, deployment: Deployment, client: ShopClient) -> None:
    # GIVEN processes of functions
    assert place(client).status == 201
    assert local_stack.ministack
    main = psutil.Process(local_stack.ministack.pid)
    workers = main.children(recursive=True)
    assert workers
    # WHEN their listening sockets are counted, THEN there is only the guarded one
    listening = [
        found.laddr
        for process in (main, *workers)
        for found in process.net_connections("tcp")
        if found.status == psutil.CONN_LISTEN
    ]
    assert listening == [("127.0.0.1", local_stack.port)]
