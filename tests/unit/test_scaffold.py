"""`make consumer`: the names and events that it refuses, and edits that are made all together or not at all."""

import pytest
from click.testing import CliRunner

from dev.commands import main
from dev.scaffold import in_stack, own_stack
from dev.scaffold.edits import Edits, MissingAnchors
from dev.scaffold.request import InvalidRequest, parse
from dev.template import ROOT
from shop.events import EVENTS, DetailType, OrderData

OF_ORDERS = [event.detail_type for event in EVENTS if event.data is OrderData]


UNUSED = "carillon"  # no shop calls a consumer so


def requested(name=UNUSED, on="order_placed"):
    return parse(name, on, new=in_stack.NEW)


@pytest.mark.parametrize(
    "on",
    ["order_placed order_cancelled", "order_placed,order_cancelled", " order_placed ,\torder_cancelled order_placed"],
)
def test_several_events_can_be_named(on):
    assert requested(on=on).detail_types == (DetailType.ORDER_PLACED, DetailType.ORDER_CANCELLED)


def test_the_sources_are_those_of_the_events():
    request = requested(on="order_placed shipment_prepared order_cancelled")
    assert request.sources == ["handoff.orders", "handoff.fulfillment"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is no name"),
        ("Loyalty", "is no name: use one word of lowercase letters and digits"),
        ("loyalty_points", "is no name"),
        ("loyalty-points", "is no name"),
        ("2points", "is no name"),
        ("../points", "is no name"),
        ("a" * 21, "has 21 characters. Use at most 20"),
        ("class", "a word of Python's grammar"),
        ("match", "a word of Python's grammar"),
        ("json", "is the name of a Python module"),
        ("boto3", "is the name of a Python module"),
        ("shop", "is the name of a Python module"),
        ("emails", "functions/emails exists already"),
        ("catalog", "events/catalog.json exists already"),
        ("recovery", "tests/integration/test_recovery.py exists already"),
        ("webhooks", "functions/partners/webhooks.py is a module of that name"),
        ("points", "examples/loyalty/points/points.py is a module of that name"),
        ("products", "template.yaml has a ProductsTable already"),
        ("undelivered", "template.yaml has a UndeliveredQueue already"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(name, reason):
    with pytest.raises(InvalidRequest) as refused:
        requested(name)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("on", "reason"),
    [
        ("", "Name an event, such as ON=order_placed"),
        ("order_shipped", "There is no event order_shipped of an order. Events: order_placed, order_cancelled,"),
        (
            "order_placed user_erased",
            "There is no event user_erased of an order. This command writes consumers of orders'",
        ),
    ],
)
def test_an_unknown_event_is_refused_with_the_known_ones(on, reason):
    with pytest.raises(InvalidRequest) as refused:
        requested(on=on)
    assert reason in str(refused.value)
    assert all(name in str(refused.value) for name in OF_ORDERS)


def test_the_command_refuses_without_a_stack_trace():
    refused = CliRunner().invoke(main, ["consumer", "emails", "--on", "order_placed"])
    assert refused.exit_code == 1
    assert refused.output == "Error: functions/emails exists already. Choose another name, or change that.\n"


@pytest.mark.parametrize("kind", [in_stack, own_stack])
def test_all_places_exist_in_this_repository_for_every_event(kind):
    edits = Edits(ROOT)
    kind.add(requested(on=" ".join(OF_ORDERS)), edits)
    edits.check()
    # AND all new files are named by the command that undoes it
    new = [ROOT / path.format(name=UNUSED) for path in kind.NEW]
    assert edits.created
    assert all({file, *file.parents} & set(new) for file in edits.created)


# --- edits ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def edits(tmp_path):
    (tmp_path / "list.txt").write_text("first\n  last\n")
    (tmp_path / "page.md").write_text("| a |\n|---|\n| 1 |\n\nafter\n")
    return Edits(tmp_path)


def text(edits, name):
    return (edits.root / name).read_text()


def test_text_is_inserted_beside_its_line(edits):
    edits.after("list.txt", "first", lambda line: line.upper())
    edits.before("list.txt", "last", "  between\n")
    edits.before("list.txt", "last", "above\n", above=1)
    edits.append_row("page.md", "| a |", "| 2 |")
    edits.create("new/file.py", "x")
    edits.write(lambda: None, [])
    assert text(edits, "list.txt") == "first\nFIRST\nabove\n  between\n  last\n"
    assert text(edits, "page.md") == "| a |\n|---|\n| 1 |\n| 2 |\n\nafter\n"
    assert text(edits, "new/file.py") == "x"


@pytest.mark.parametrize("content", ["first\n", "last\nfirst\nlast\n"])
def test_nothing_is_written_if_a_place_is_missing_or_ambiguous(edits, content):
    (edits.root / "list.txt").write_text(content)
    edits.create("new.py", "x")
    edits.after("list.txt", "first", lambda line: line)
    edits.before("list.txt", "last", "x\n")
    edits.append_row("page.md", "| b |", "| 2 |")
    with pytest.raises(MissingAnchors) as missing:
        edits.write(lambda: None, [])
    assert f"list.txt: the line 'last', found {content.count('last')} times instead of once" in str(missing.value)
    assert "page.md: the line '| b |', found 0 times" in str(missing.value)
    assert text(edits, "list.txt") == content
    assert not (edits.root / "new.py").exists()


def test_everything_is_restored_if_a_generated_file_fails(edits):
    before = {file: file.read_text() for file in edits.root.iterdir()}
    edits.create("new/file.py", "x")
    edits.after("list.txt", "first", lambda line: line)

    def fail():
        (edits.root / "page.md").write_text("half")
        (edits.root / "sample.json").write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        edits.write(fail, ["page.md", "sample.json"])
    assert {file: file.read_text() for file in edits.root.iterdir()} == before
