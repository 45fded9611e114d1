"""template.yaml stays short: what resources have in common is written once, and merged in."""

import re
from collections.abc import Iterator

import yaml

from dev.template import ROOT

TEXT = (ROOT / "template.yaml").read_text()
MOST_LINES = 2300
MOST_LINES_OF_A_CONSUMER = 110
LINES_ELSEWHERE = 10  # of a consumer: its entries in the dashboard and other lists
SHOPS_CONSUMERS = 6
_BANNER = re.compile(r"^  # =+\n  # (.+)\n  # =+\n", flags=re.MULTILINE)


def sections() -> dict[str, int]:
    """Return the lines of each section, from its banner to the next, by its title up to the colon."""
    banners = list(_BANNER.finditer(TEXT))
    ends = [banner.start() for banner in banners[1:]] + [TEXT.index("\nOutputs:") + 1]
    return {
        banner[1].partition(":")[0]: TEXT.count("\n", banner.start(), end)
        for banner, end in zip(banners, ends, strict=True)
    }


def consumers() -> dict[str, int]:
    """Return the lines of each consumer's section."""
    return {title: length for title, length in sections().items() if title.startswith("CONSUMER ")}


def test_a_consumer_is_short() -> None:
    assert len(consumers()) >= SHOPS_CONSUMERS
    long = {title: length for title, length in consumers().items() if length > MOST_LINES_OF_A_CONSUMER}
    assert not long, "write in one line what is short, and merge in what other resources have as well"


def test_the_template_is_short() -> None:
    added = (len(consumers()) - SHOPS_CONSUMERS) * (MOST_LINES_OF_A_CONSUMER + LINES_ELSEWHERE)
    assert TEXT.count("\n") < MOST_LINES + added


def test_a_merge_overrides_nothing() -> None:
    # checkov and others read an entry that stands in both maps as a duplicate, and refuse the whole file.
    root = yaml.compose(TEXT, yaml.CSafeLoader)
    assert "<<" in TEXT
    assert sorted(set(_overridden(root))) == []


def test_metadata_is_not_shared() -> None:
    # SAM writes a resource's name into its metadata, so with a shared one resources are lost in `sam build`:
    # https://github.com/aws/aws-sam-cli/issues/5901
    assert not re.findall(r"Metadata: [&*]", TEXT)


def _overridden(node: yaml.Node) -> Iterator[str]:
    if isinstance(node, yaml.MappingNode):
        keys = list(_keys(node))
        yield from (f"{key} (line {node.start_mark.line + 1})" for key in keys if keys.count(key) > 1)
        for _, value in node.value:
            yield from _overridden(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _overridden(item)


def _keys(node: yaml.MappingNode) -> Iterator[str]:
    for key, value in node.value:
        if key.value == "<<":
            yield from _keys(value)
        else:
            yield key.value
