"""How to reach a running local stack. `make run` starts one."""

import os

import boto3
import httpx

DEFAULT_PORT = 4566
REGION = "us-east-1"


class LocalEndpoint:
    """MiniStack's port on loopback, and sessions for it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"
        _bypass_proxies()

    def session(self) -> boto3.Session:
        """Return a boto3 session for this stack; its clients need ``endpoint_url=self.endpoint``."""
        return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)  # noqa: S106

    def is_up(self) -> bool:
        """Return whether it answers."""
        try:
            return httpx.get(f"{self.endpoint}/_ministack/health", timeout=2).is_success
        except httpx.HTTPError:
            return False


def _bypass_proxies() -> None:
    """Let this process and its child processes reach loopback without an HTTP proxy."""
    hosts = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")).split(",")
    hosts += [host for host in ("127.0.0.1", "localhost") if host not in hosts]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, hosts))
