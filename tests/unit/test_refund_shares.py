"""The attribution of refunds to the sales of products."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop.model import OrderStep, RefundState, Status
from shop.refund_shares import apportion, refund_shares
from shop.sales import sales_of
from tests.support.orders import ORDER_ID, line, order

MUG, TEE = "MUG-01", "TEE-02"
LINES = (line(MUG, 2, 1250), line(TEE, 1, 2000))


def refunded(*refunds, lines=LINES, status=Status.PREPARED):
    """Return an order with one refund a day, each as `refund` returns it."""
    history = [
        OrderStep(sequence=n, status=step, at=f"2026-11-01T10:00:0{n}.000Z", transition_id=f"t{n}")
        for n, step in enumerate(["PENDING", "PLACED", status])
    ]
    found = {}
    for n, (amount, units, restock, state) in enumerate(refunds, start=3):
        at = f"2026-11-{n:02}T10:00:00.000Z"
        found[f"r{n}"] = {
            "refundId": f"r{n}",
            "amount": amount,
            "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in units.items()],
            "reason": "broken",
            "restock": restock,
            "requestHash": "hash",
            "requestedAt": at,
            "state": state,
            "completedAt": at,
            "sequence": n,
        }
        history.append(
            OrderStep(sequence=n, status=status, at=at, transition_id=f"t{n}", refund_id=f"r{n}", refund=state)
        )
    return order(
        status,
        lines=lines,
        total=sum(one.quantity * one.unit_price for one in lines),
        placed_at=history[1].at,
        history=history,
        sequence=len(history) - 1,
        refunds=found,
    )


def refund(amount, *, restock=False, state=RefundState.REFUNDED, **units):
    """Return the amount, units by sku (given as MUG=1), restock and state of a refund."""
    names = {"MUG": MUG, "TEE": TEE}
    return amount, {names[name]: quantity for name, quantity in units.items()}, restock, state


def revenues(*refunds, **values):
    return [dict(share.revenue) for share in refund_shares(refunded(*refunds, **values))]


def rows(*refunds):
    """Return the last refund's counts as (orders, units, revenue) by entry."""
    return {
        entry: (count["orders"], count["units"], count["revenue"])
        for (_day, entry), count in sales_of(refunded(*refunds))[-1].counts().items()
    }


# --- revenue ----------------------------------------------------------------------------------------------------------


def test_a_refund_of_lines_belongs_to_their_products():
    assert revenues(refund(1250, MUG=1), refund(2000, TEE=1)) == [{MUG: 1250}, {TEE: 2000}]


def test_an_amount_is_divided_in_proportion_to_the_products_revenue():
    assert revenues(refund(450)) == [{MUG: 250, TEE: 200}]


def test_a_rounded_amount_is_divided_without_a_rest():
    # The mugs are 25/45 of the order and the tee is 20/45: the larger remainder gets what rounding leaves.
    assert revenues(refund(1), refund(1), refund(1)) == [{MUG: 1}, {MUG: 1}, {MUG: 1}]
    assert revenues(refund(10)) == [{MUG: 6, TEE: 4}]


def test_an_amount_is_divided_by_what_earlier_refunds_have_left():
    assert revenues(refund(2500, MUG=2), refund(500)) == [{MUG: 2500}, {TEE: 500}]


def test_a_product_gives_no_more_than_is_left_of_it():
    # GIVEN a discount on everything, of which the tee bore 200
    # WHEN the tee comes back at its full price
    # THEN 200 of it come from the other product
    assert revenues(refund(450), refund(2000, TEE=1)) == [{MUG: 250, TEE: 200}, {MUG: 200, TEE: 1800}]


def test_a_refund_of_all_that_is_left_leaves_nothing_of_any_product():
    assert revenues(refund(450), refund(4050, MUG=2, TEE=1)) == [{MUG: 250, TEE: 200}, {MUG: 2250, TEE: 1800}]


def test_less_than_the_lines_are_worth_is_divided_among_these_lines():
    free = (line(MUG, 2, 1250), line(TEE, 1, 2000), line("GIFT", 1, 0))

    assert revenues(refund(900, MUG=2, TEE=1), lines=free) == [{MUG: 500, TEE: 400}]


def test_a_free_product_gives_nothing():
    gift = (line(MUG, 1, 100), line("GIFT", 1, 0))

    assert revenues(refund(100), lines=gift) == [{MUG: 100}]


@pytest.mark.parametrize("state", [RefundState.DUE, RefundState.PENDING, RefundState.FAILED])
def test_a_refund_that_is_not_completed_takes_nothing(state):
    assert revenues(refund(2000, state=state, TEE=1), refund(450)) == [{MUG: 250, TEE: 200}]


# --- units and orders -------------------------------------------------------------------------------------------------


def test_units_that_come_back_are_subtracted():
    assert rows(refund(1250, restock=True, MUG=1)) == {f"sku#{MUG}": (0, -1, -1250), "all": (0, -1, -1250)}


def test_units_that_stay_with_the_customer_are_still_sold():
    assert rows(refund(1250, MUG=1)) == {f"sku#{MUG}": (0, 0, -1250), "all": (0, 0, -1250)}


def test_a_products_order_is_subtracted_when_its_last_unit_comes_back():
    first, second = refund(1250, restock=True, MUG=1), refund(1250, restock=True, MUG=1)

    assert rows(first)[f"sku#{MUG}"] == (0, -1, -1250)
    assert rows(first, second)[f"sku#{MUG}"] == (-1, -1, -1250)
    assert rows(first, second)["all"] == (0, -1, -1250)


def test_the_order_is_subtracted_when_its_last_unit_comes_back():
    mugs, tee = refund(2500, restock=True, MUG=2), refund(2000, restock=True, TEE=1)

    assert rows(mugs)["all"] == (0, -2, -2500)
    assert rows(mugs, tee)["all"] == (-1, -1, -2000)
    assert rows(mugs, tee, refund(0))["all"] == (0, 0, 0)


def test_an_order_of_which_a_unit_stayed_with_the_customer_is_still_an_order():
    assert rows(refund(2500, MUG=2), refund(2000, restock=True, TEE=1))["all"] == (0, -1, -2000)


# --- sales ------------------------------------------------------------------------------------------------------------


def test_a_refund_counts_on_its_own_day_under_its_own_event():
    placed, first, second = sales_of(refunded(refund(450), refund(450)))

    assert (placed.day, first.day, second.day) == ("2026-11-01", "2026-11-03", "2026-11-04")
    assert (first.event_id, second.event_id) == (f"{ORDER_ID}-3", f"{ORDER_ID}-4")


def test_the_refund_of_a_cancelled_order_counts_nothing():
    # GIVEN an order whose void found the money captured
    sales = sales_of(refunded(refund(4500), status=Status.CANCELLED))

    # THEN the cancellation alone has subtracted it
    assert [sale.whole["revenue"] for sale in sales] == [4500, -4500]


@st.composite
def histories(draw):
    """Return an order, and refunds that together return all its money and units."""
    prices = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5_000)), min_size=1, max_size=6))
    lines = tuple(line(f"SKU-{n}", quantity, price) for n, (quantity, price) in enumerate(prices))
    left, units = sum(one.quantity * one.unit_price for one in lines), {one.sku: one.quantity for one in lines}
    refunds = []
    for _ in range(draw(st.integers(0, 6))):
        some = {sku: draw(st.integers(0, count)) for sku, count in units.items()}
        some = {sku: count for sku, count in some.items() if count} if draw(st.booleans()) else {}
        worth = sum(count * one.unit_price for one in lines for sku, count in some.items() if sku == one.sku)
        if worth > left:
            continue
        amount = worth if some else draw(st.integers(0, left))
        refunds.append((amount, some, True, RefundState.REFUNDED))
        left -= amount
        units = {sku: count - some.get(sku, 0) for sku, count in units.items()}
    last = {sku: count for sku, count in units.items() if count}
    return refunded(*refunds, (left, last, True, RefundState.REFUNDED), lines=lines)


@given(histories())
def test_after_a_full_refund_everything_adds_up_to_zero_and_never_below(order):
    sums = Counter()
    for sale in sales_of(order):
        counts = {entry: count for (_day, entry), count in sale.counts().items()}
        products = [count for entry, count in counts.items() if entry != "all"]
        for name in ("units", "revenue"):
            assert sum(count[name] for count in products) == counts["all"][name]
        for entry, count in counts.items():
            for name in ("orders", "units", "revenue"):
                sums[entry, name] += count[name]
                assert sums[entry, name] >= 0
    assert set(sums.values()) == {0}


@given(histories(), st.data())
def test_the_share_of_a_refund_never_changes_afterwards(order, data):
    kept = data.draw(st.integers(2, len(order.history)))
    earlier = order.model_copy(update={"history": order.history[:kept]})

    sales = sales_of(order)

    assert sales_of(earlier) == sales[: len(sales_of(earlier))]


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 10**6), min_size=1), st.data())
def test_an_apportioned_amount_has_no_rest_and_exceeds_no_weight(weights, data):
    amount = data.draw(st.integers(0, sum(weights.values())))

    shares = apportion(amount, weights)

    assert sum(shares.values()) == amount
    assert all(0 <= shares[name] <= weight for name, weight in weights.items())
