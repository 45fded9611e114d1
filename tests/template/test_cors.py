"""Web pages of other origins, and the API's own domain."""

import re

import pytest

from dev.template import Template, source, template_with
from ops.stack.template import Properties

PAGES = "https://shop.example,http://localhost:3000"


@pytest.fixture(scope="module")
def open_to_pages() -> Template:
    return template_with(CorsOrigins=PAGES)


def cors(template: Template) -> Properties:
    found: Properties = template.resources["Api"]["Properties"]["CorsConfiguration"]
    return found


def keys(template: Template) -> set[str]:
    return {route["RouteKey"] for route in template.of_type("AWS::ApiGatewayV2::Route").values()}


def test_no_page_may_call_the_api_by_default(template: Template) -> None:
    assert "CorsConfiguration" not in template.resources["Api"]["Properties"]
    assert "OPTIONS /{proxy+}" not in keys(template)


def test_only_the_listed_origins_may_call_the_api(open_to_pages: Template) -> None:
    assert cors(open_to_pages)["AllowOrigins"] == ["https://shop.example", "http://localhost:3000"]
    # AND no cookies go with the requests: the API knows tokens only
    assert "AllowCredentials" not in cors(open_to_pages)


def test_pages_may_send_and_read_what_the_api_knows(open_to_pages: Template) -> None:
    assert cors(open_to_pages)["AllowHeaders"] == [
        "authorization",
        "content-type",
        "idempotency-key",
        "x-correlation-id",
    ]
    assert cors(open_to_pages)["ExposeHeaders"] == ["location", "retry-after", "x-correlation-id"]


def test_pages_may_use_the_methods_of_all_routes(open_to_pages: Template) -> None:
    methods = {key.split()[0] for key in keys(open_to_pages)} - {"$default", "OPTIONS"}
    assert methods <= set(cors(open_to_pages)["AllowMethods"]) <= methods | {"DELETE"}


def test_preflights_need_no_token_and_do_not_reach_the_default_route(open_to_pages: Template) -> None:
    """$default would answer them with 404, and a browser then sends no request."""
    route = open_to_pages.resources["PreflightRoute"]["Properties"]
    assert (route["RouteKey"], route["AuthorizationType"]) == ("OPTIONS /{proxy+}", "NONE")
    # AND they can't use up the executions that orders need
    stage = open_to_pages.resources["ApiStage"]["Properties"]
    assert stage["RouteSettings"]["OPTIONS /{proxy+}"] == stage["RouteSettings"]["GET /catalog"]
    # AND the stage, whose settings name the route, is created after it
    assert stage["StageVariables"] == {"preflightRoute": "${PreflightRoute}"}


@pytest.mark.parametrize(
    ("origins", "is_valid"),
    [
        ("", True),
        ("https://shop.example", True),
        ("https://shop.example:8443,https://www.shop.example", True),
        ("http://localhost:3000,http://127.0.0.1:8081", True),
        ("*", False),
        ("null", False),
        ("https://*.shop.example", False),
        ("https://shop.example/", False),
        ("https://shop.example, https://www.shop.example", False),
        ("https://Shop.example", False),  # browsers send lower case
        ("http://shop.example", False),  # a network in between could change the page
        ("shop.example", False),
    ],
)
def test_origins_are_as_browsers_send_them(origins: str, is_valid: bool) -> None:
    assert bool(re.fullmatch(source()["Parameters"]["CorsOrigins"]["AllowedPattern"], origins)) is is_valid


def test_a_certificate_adds_the_custom_domain() -> None:
    arn = "arn:aws:acm:eu-central-1:123456789012:certificate/0b9b4c1e"
    template = template_with(ApiDomain="api.shop.example", ApiCertificate=arn)
    (domain,) = template.of_type("AWS::ApiGatewayV2::DomainName").values()
    assert domain["DomainName"] == "api.shop.example"
    assert domain["DomainNameConfigurations"] == [
        {"CertificateArn": arn, "EndpointType": "REGIONAL", "SecurityPolicy": "TLS_1_2"}
    ]
    (mapping,) = template.of_type("AWS::ApiGatewayV2::ApiMapping").values()
    assert mapping == {"ApiId": "${Api}", "DomainName": "${CustomDomain}", "Stage": "${ApiStage}"}
    assert template.outputs["ApiUrl"]["Value"] == "https://api.shop.example"
    assert template.outputs["ApiDomainTarget"]["Value"] == "${CustomDomain.RegionalDomainName}"
    # AND the API's own address stays: the host name works only once it is an alias of the output
    assert "DisableExecuteApiEndpoint" not in template.resources["Api"]["Properties"]


def test_a_domain_without_a_certificate_is_not_created_here() -> None:
    template = template_with(ApiDomain="api.shop.example")
    assert not {"CustomDomain", "CustomDomainMapping"} & template.resources.keys()
    assert "ApiDomainTarget" not in template.outputs
