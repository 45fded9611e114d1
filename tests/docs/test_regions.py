"""The regions in the how-to guide, compared with CloudFormation's list of resource types in each region."""

import re
from importlib.resources import files

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from dev.template import ROOT, WITH_PARTNER, WITH_STRIPE, template_with

PAGE = (ROOT / "docs/how-to/deploy.md").read_text()
# cfn-lint assumes that regions of isolated and sovereign partitions have everything.
UNKNOWN = ("us-iso", "eu-iso", "eusc-")
EVERYTHING = {**WITH_PARTNER, **WITH_STRIPE, "OwnKey": "true", "Canary": "true", "AlarmEmail": "a@example.com"}


def known_regions() -> set[str]:
    """Return the regions that cfn-lint has lists of."""
    lists = (path.name for path in (files("cfnlint") / "data/schemas/providers").iterdir())
    return {name.removesuffix(".json") for name in lists if re.fullmatch(r"[a-z]+(-[a-z]+)+-\d\.json", name)}


def has_all(region: str, parameters: dict[str, str]) -> bool:
    """Whether a region has every resource type of the template with these parameters."""
    wanted = {resource["Type"] for resource in template_with(**parameters).resources.values()}
    return wanted <= set(PROVIDER_SCHEMA_MANAGER.get_resource_types(region))


def listed(row: str) -> set[str]:
    """Return the regions in one row of the page's table."""
    (found,) = re.findall(rf"^\| {row}[^|]*\| (.*) \|$", PAGE, re.MULTILINE)
    return set(re.findall(r"`([\w-]+)`", found))


def test_the_page_sorts_every_region_by_what_works_there() -> None:
    regions = {region for region in known_regions() if not region.startswith(UNKNOWN)}
    complete = {region for region in regions if has_all(region, EVERYTHING)}
    assert {"us-east-1", "eu-central-1"} <= complete
    assert listed("everything") == complete
    assert listed("nothing") == regions - complete


def test_the_page_names_what_regions_lack() -> None:
    assert "`AWS::SES::ConfigurationSet`" in PAGE
