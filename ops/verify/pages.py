"""Check: web pages of the listed origins may call the API, and no others."""

import httpx

from ops.smoke_order import CheckFailed
from ops.verify.check import Attempt, Check, Situation

_ALLOWED = "access-control-allow-origin"
_OTHER = "https://not-listed.example"
_SENT = {"authorization", "content-type", "idempotency-key", "x-correlation-id"}


def _run(attempt: Attempt) -> str:
    deployment = attempt.situation.deployment
    origin = deployment.parameters["CorsOrigins"].split(",")[0]
    with httpx.Client(base_url=deployment.api_url, timeout=35, trust_env=not deployment.endpoint) as client:

        def send(method: str, path: str, origin: str, **headers: str) -> httpx.Response:
            answer = client.request(method, path, headers={"Origin": origin, **headers})
            attempt.answers.from_api(answer)
            return answer

        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": ",".join(sorted(_SENT))}
        _check_preflight(send("OPTIONS", "/orders", origin, **asked), origin)
        answer = send("GET", "/health", origin)
        if not answer.is_success or answer.headers.get(_ALLOWED) != origin:
            raise CheckFailed(f"GET /health answered {answer.status_code}, and a page of {origin} cannot read it")
        other = send("OPTIONS", "/orders", _OTHER, **asked)
        if _ALLOWED in other.headers:
            raise CheckFailed(f"a page of {_OTHER} may call the API, which CorsOrigins does not list")
        refused = send("GET", "/orders", origin)
    can = "can" if refused.headers.get(_ALLOWED) == origin else "cannot"
    return f"pages of {origin} may; they {can} read the gateway's own {refused.status_code}"


def _check_preflight(answer: httpx.Response, origin: str) -> None:
    if not answer.is_success:
        raise CheckFailed(f"the preflight of a page of {origin} got {answer.status_code}: a browser sends no request")
    allowed = {name.strip().lower() for name in answer.headers.get("access-control-allow-headers", "").split(",")}
    if answer.headers.get(_ALLOWED) != origin or not allowed >= _SENT:
        raise CheckFailed(f"the preflight of a page of {origin} got {answer.status_code}, but does not allow an order")


def _obstacle(situation: Situation) -> str:
    return "" if situation.deployment.parameters.get("CorsOrigins") else "CorsOrigins is empty"


CHECK = Check(
    key="pages",
    name="web pages may call the API",
    does="sends a browser's requests: preflights of a listed and of another origin, and two requests of a page",
    takes="1 s",
    needs="no permissions",
    costs={"http_api_request": 4, "lambda_request": 4, "lambda_gb_second": 0.4},
    run=_run,
    obstacle=_obstacle,
)
