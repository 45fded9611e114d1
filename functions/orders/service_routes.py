"""Operations about the shop and the API itself: catalog, description, health."""

from typing import Any

import catalog_requests
import http_responses
import parameters
import response_schemas
from handoff.clock import Deadline
from http_responses import Response
from operations import App, Event, Operation
from shop.placing import DEADLINE


@Operation(
    "GET /catalog",
    response_schemas.Catalog,
    parameters=(*catalog_requests.PAGE_PARAMETERS, parameters.IF_NONE_MATCH_PARAMETER),
    problems=("invalid-request",),
    links={"next": {"operationId": "getCatalog", "parameters": {"cursor": "$response.body#/next"}}},
    is_public=True,
    is_cacheable=True,
)
def get_catalog(app: App, event: Event) -> Response:
    """List the products on sale.

    Needs no token. In pages, which follow no order of their own; within a page, products are sorted by sku. A page may
    have fewer products than `limit`; the last page has no `next`. Caches may keep the response as `cache-control` says,
    which is a minute at most.
    """
    query, known = catalog_requests.page(event), parameters.known_versions(event)
    page = app.shop.catalog.page(query.limit, query.after, Deadline(DEADLINE))
    return http_responses.catalog(page, app.shop.currency, known=known)


@Operation("GET /openapi.json", dict[str, Any])
def get_open_api(app: App, event: Event) -> Response:
    """Get this document.

    The API's description in OpenAPI 3.1.
    """
    return http_responses.description()


@Operation("GET /health", response_schemas.Health, is_public=True)
def get_health(app: App, event: Event) -> Response:
    """Check that the API responds.

    Needs no token. Calls no other service.
    """
    return http_responses.health(app.payment_provider)
