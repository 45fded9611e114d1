"""Partner: a consumer that exists with PartnerEndpoint only."""

import re

import pytest

from dev.template import WITH_PARTNER, Consumer, Template, source, template_with


def test_without_an_endpoint_there_are_no_partner_resources() -> None:
    assert not [name for name in template_with().resources if name.startswith("Partner")]


def test_an_endpoint_adds_one_consumer_and_nothing_else(template: Template) -> None:
    added = template.resources.keys() - template_with().resources.keys()
    assert added
    assert {name for name in added if not name.startswith("Partners")} == set()


def test_the_partner_gets_at_most_as_many_requests_at_a_time_as_documented(partners: Consumer) -> None:
    # GIVEN that each instance sends one request after another
    assert partners.mapping["ScalingConfig"]["MaximumConcurrency"] == 5


@pytest.fixture
def partners(template: Template) -> Consumer:
    """The consumer of the partner's events."""
    (found,) = [consumer for consumer in template.consumers() if consumer.name == "partners"]
    return found


def test_the_function_gets_the_endpoint_and_the_name_of_its_secret(partners: Consumer) -> None:
    assert partners.variables["PARTNER_ENDPOINT"] == WITH_PARTNER["PartnerEndpoint"]
    assert partners.variables["PARTNER_SECRET_ID"] == WITH_PARTNER["PartnerSecret"]
    assert partners.variables["PARTNER_LOCAL_CA"] == ""


def test_queues_reject_plain_http_unless_the_stack_accepts_it() -> None:
    assert "PartnersDeadLettersPolicy" in template_with(**WITH_PARTNER).resources
    assert "PartnersDeadLettersPolicy" not in template_with(**WITH_PARTNER, RequireTls="false").resources
    assert "PartnersDeadLettersPolicy" not in template_with().resources


@pytest.mark.parametrize(
    ("value", "is_valid"),
    [
        ("", True),
        ("https://a.example", True),
        ("https://a.example/b?c=d&e=%20", True),
        ("https://a.example:8443/b", True),
        ("https://localhost:8443/b", True),
        ("http://a.example", False),
        ("a.example", False),
        ("https:// a", False),
        ("https://user:password@a.example/", False),
        ("https://a.example/#part", False),
        ("https://a.example/ä", False),
        ("https://[::1]/", False),
        ("https://93.184.216.34/", False),  # urllib3 1.26 can't check the certificate of an address
    ],
)
def test_an_endpoint_is_one_https_url(value: str, *, is_valid: bool) -> None:
    assert bool(re.fullmatch(source()["Parameters"]["PartnerEndpoint"]["AllowedPattern"], value)) is is_valid


@pytest.mark.parametrize(
    ("value", "is_valid"),
    [
        ("partner", True),
        ("shop/partner", True),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", False),
        ("arn:aws:secretsmanager:eu-central-1:123456789012:secret:partner-a1b2c3", False),
    ],
)
def test_the_secret_is_given_by_its_name(value: str, *, is_valid: bool) -> None:
    assert bool(re.fullmatch(source()["Parameters"]["PartnerSecret"]["AllowedPattern"], value)) is is_valid


def test_an_endpoint_without_a_secret_is_rejected_before_deployment() -> None:
    rule = source()["Rules"]["PartnerIsComplete"]
    assert rule["RuleCondition"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "PartnerEndpoint"}, ""]}]}
    (assertion,) = rule["Assertions"]
    assert assertion["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "PartnerSecret"}, ""]}]}
    assert "PartnerSecret" in assertion["AssertDescription"]
