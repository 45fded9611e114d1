"""Which requests servers on this machine accept: the rule that the local stack, its proxy and the console share."""

import pytest

from ops.browser_guard import is_loopback, rejection

OWN = {"Host": "127.0.0.1:4566"}
LINK = OWN | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
SHOP = "https://shop.example"


def why(headers, **allowed):
    return rejection(headers.items(), is_loopback, **allowed)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://127.0.0.1:4566"},
        {"Origin": "https://127.0.0.1:4566"},  # behind a tunnel with TLS
        {"Host": "LOCALHOST", "Origin": "HTTP://localhost"},
        {"Host": "[::1]:80", "Sec-Fetch-Site": "same-origin"},
        {"Host": "0a1b2c3d.execute-api.localhost:4566"},
        {"Host": "127.8.9.10"},
        {"Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
def test_requests_of_programs_and_of_the_own_page_pass(headers):
    assert why(OWN | headers) is None


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "localhost.evil.example", "notlocalhost", "0.0.0.0", "10.0.0.1", "[::]", "[", "::1", "a b"],
)
def test_a_host_that_is_not_loopback_is_rejected(host):
    assert "is not a name of this server" in why({"Host": host})
    assert "is not a name of this server" in why({"Host": host, "Origin": f"http://{host}"})


def test_a_request_has_exactly_one_host():
    assert "Host header (none)" in why({})
    assert "is not a name" in rejection([("host", "localhost"), ("Host", "localhost")], is_loopback)


@pytest.mark.parametrize("origin", ["null", "", "http://evil.example", "http://127.0.0.1", "http://localhost:4566"])
def test_another_origin_is_rejected(origin):
    assert "web page of another origin" in why(OWN | {"Origin": origin})


def test_a_request_has_at_most_one_origin():
    twice = [*OWN.items(), ("Origin", SHOP), ("origin", SHOP)]
    assert rejection(twice, is_loopback, allows_origin=lambda _: True)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "anything"])
def test_a_request_of_another_site_is_rejected(site):
    assert "Sec-Fetch-Site" in why(OWN | {"Sec-Fetch-Site": site})
    assert "Sec-Fetch-Site" in why(OWN | {"Sec-Fetch-Site": site, "Origin": "http://127.0.0.1:4566"})


def test_an_allowed_origin_passes_under_an_own_name_only():
    page = {"Origin": SHOP, "Sec-Fetch-Site": "cross-site"}
    allowed = {"allows_origin": {SHOP}.__contains__}
    assert why(OWN | page, **allowed) is None
    assert why(OWN | page | {"Host": "evil.example"}, **allowed)
    assert why(OWN | page | {"Origin": "https://shop.example.evil.example"}, **allowed)
    # A request without an origin could be any page's.
    assert why(OWN | {"Sec-Fetch-Site": "cross-site"}, **allowed)


def test_links_pass_only_if_they_are_allowed_and_open_a_page():
    assert why(LINK)
    assert why(LINK, allows_links=True) is None
    for other in ({"Sec-Fetch-Dest": "iframe"}, {"Sec-Fetch-Mode": "no-cors"}, {"Origin": "null"}):
        assert why(LINK | other, allows_links=True)
    assert why(LINK | {"Host": "evil.example"}, allows_links=True)
