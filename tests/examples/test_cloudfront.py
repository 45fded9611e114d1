"""The examples of CloudFront, WAF and mutual TLS in front of the API, as far as a template shows it."""

import json
from pathlib import Path

import yaml

from bodies import MAX_BODY_BYTES
from dev.contracts.openapi import FILE as OPENAPI

EXAMPLES = Path(__file__).parents[2] / "examples"
# Intrinsic functions become plain lists and strings.
EDGE = yaml.load((EXAMPLES / "cloudfront/template.yaml").read_text(), yaml.BaseLoader)
MUTUAL_TLS = yaml.load((EXAMPLES / "mutual-tls/template.yaml").read_text(), yaml.BaseLoader)
DISTRIBUTION = EDGE["Resources"]["Distribution"]["Properties"]["DistributionConfig"]
RULES = {rule["Name"]: rule for rule in EDGE["Resources"]["WebAcl"]["Properties"]["Rules"]}
WAF_BODY_LIMIT = 8 * 1024  # https://docs.aws.amazon.com/waf/latest/developerguide/aws-managed-rule-groups-baseline.html


def test_only_answers_that_the_api_calls_cacheable_are_kept():
    paths = json.loads(OPENAPI.read_text())["paths"].items()
    cacheable = {path for path, methods in paths if "304" in methods.get("get", {"responses": {}})["responses"]}
    assert {behavior["PathPattern"] for behavior in DISTRIBUTION["CacheBehaviors"]} == cacheable == {"/catalog"}
    assert DISTRIBUTION["DefaultCacheBehavior"]["CachePolicyId"] == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"


def test_the_catalog_is_kept_no_longer_than_the_api_says():
    policy = EDGE["Resources"]["CatalogCache"]["Properties"]["CachePolicyConfig"]
    # Above a minimum of 0, CloudFront ignores a shorter max-age; the default applies to answers without one
    assert (policy["MinTTL"], policy["DefaultTTL"]) == ("0", "0")
    assert {error["ErrorCachingMinTTL"] for error in DISTRIBUTION["CustomErrorResponses"]} == {"0"}


def test_the_catalog_is_kept_for_each_origin_of_a_page():
    headers = EDGE["Resources"]["CatalogCache"]["Properties"]["CachePolicyConfig"][
        "ParametersInCacheKeyAndForwardedToOrigin"
    ]["HeadersConfig"]
    assert headers["HeaderBehavior"] == "whitelist"
    assert headers["Headers"] == ["Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"]
    # AND every behavior lets preflights through
    behaviors = [DISTRIBUTION["DefaultCacheBehavior"], *DISTRIBUTION["CacheBehaviors"]]
    assert all("OPTIONS" in behavior["AllowedMethods"] for behavior in behaviors)


def test_each_page_of_the_catalog_is_kept_apart():
    parameters = json.loads(OPENAPI.read_text())["paths"]["/catalog"]["get"]["parameters"]
    key = EDGE["Resources"]["CatalogCache"]["Properties"]["CachePolicyConfig"][
        "ParametersInCacheKeyAndForwardedToOrigin"
    ]
    kept = key["QueryStringsConfig"]
    assert kept["QueryStringBehavior"] == "whitelist"
    assert set(kept["QueryStrings"]) == {parameter["name"] for parameter in parameters if parameter["in"] == "query"}


def test_every_method_and_the_token_reach_the_api():
    behavior = DISTRIBUTION["DefaultCacheBehavior"]
    methods = {method.upper() for path in json.loads(OPENAPI.read_text())["paths"].values() for method in path}
    assert methods <= set(behavior["AllowedMethods"])
    assert behavior["OriginRequestPolicyId"] == "b689b0a8-53d0-40ab-baf2-68738e2966ac"  # all headers but Host


def test_nothing_travels_without_encryption():
    behaviors = [DISTRIBUTION["DefaultCacheBehavior"], *DISTRIBUTION["CacheBehaviors"]]
    assert {behavior["ViewerProtocolPolicy"] for behavior in behaviors} == {"https-only"}
    assert DISTRIBUTION["Origins"][0]["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"


def test_the_web_acl_limits_each_client_and_accepts_a_large_order():
    assert DISTRIBUTION["WebACLId"] == "WebAcl.Arn"
    limit = RULES["requests-per-client"]["Statement"]["RateBasedStatement"]
    assert limit == {"Limit": "RequestsPerClient", "AggregateKeyType": "IP"}
    # GIVEN orders that are larger than the managed rule's limit
    assert MAX_BODY_BYTES > WAF_BODY_LIMIT
    # THEN that rule only counts
    overrides = RULES["common"]["Statement"]["ManagedRuleGroupStatement"]["RuleActionOverrides"]
    assert {"Name": "SizeRestrictions_BODY", "ActionToUse": {"Count": {}}} in overrides


def test_mutual_tls_is_required_by_the_domain_and_answered_by_cloudfront():
    origin = DISTRIBUTION["Origins"][0]["CustomOriginConfig"]
    certificate = ["UsesMutualTls", {"ClientCertificateArn": "ClientCertificate"}, "AWS::NoValue"]
    assert origin["OriginMtlsConfig"] == certificate
    domain = MUTUAL_TLS["Resources"]["DomainName"]["Properties"]
    assert domain["MutualTlsAuthentication"] == {
        "TruststoreUri": "Truststore",
        "TruststoreVersion": "TruststoreVersion",
    }
    assert "Default" not in MUTUAL_TLS["Parameters"]["Truststore"]
