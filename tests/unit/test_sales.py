"""Grouping of sales into transactions."""

from hypothesis import given
from hypothesis import strategies as st

from handoff.aws import ITEMS_PER_WRITE
from shop.sales import SalesStore, order_sale
from tests.support.orders import line, order


def sale(event_id, *skus, day="2026-11-23", sign=1):
    lines = tuple(line(sku, 2, 100) for sku in skus)
    return order_sale(order(lines=lines, total=200 * len(lines)), event_id, day, sign)


def groups(sales):
    return SalesStore(client=None, table="sales", shards=4).groups(sales)


def items(group):
    """Return the number of items of a group's transaction: markers and merged counters."""
    return len(group) + len(set().union(*(sale.counts() for sale in group)))


def test_a_sale_counts_orders_units_and_revenue():
    assert sale("one", "MUG", "TEE").counts() == {
        ("2026-11-23", "sku#MUG"): {"orders": 1, "units": 2, "revenue": 200},
        ("2026-11-23", "sku#TEE"): {"orders": 1, "units": 2, "revenue": 200},
        ("2026-11-23", "all"): {"orders": 1, "units": 4, "revenue": 400},
    }


def test_a_cancellation_counts_the_same_negatively():
    placed, cancelled = sale("one", "MUG").counts(), sale("two", "MUG", sign=-1).counts()

    assert {key: {name: -number for name, number in count.items()} for key, count in placed.items()} == cancelled


def test_sales_of_the_same_products_are_one_group():
    assert len(groups([sale(str(n), "MUG") for n in range(98)])) == 1


def test_sales_that_do_not_fit_start_another_group():
    assert [len(group) for group in groups([sale(str(n), "MUG") for n in range(99)])] == [98, 1]


def test_the_largest_order_fits_into_one_transaction():
    largest = sale("one", *(f"SKU-{n}" for n in range(50)))

    assert items([largest]) == 52
    assert [len(group) for group in groups([largest, largest])] == [2]


def test_no_sales_give_no_groups():
    assert groups([]) == []


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 120), min_size=1, max_size=50, unique=True), st.integers(1, 3)), max_size=100
    )
)
def test_no_group_is_too_large_and_no_sale_is_lost(orders):
    sales = [
        sale(str(n), *(f"SKU-{sku}" for sku in skus), day=f"2026-11-0{day}") for n, (skus, day) in enumerate(orders)
    ]

    grouped = groups(sales)

    assert all(items(group) <= ITEMS_PER_WRITE for group in grouped)
    assert [sale for group in grouped for sale in group] == sales
