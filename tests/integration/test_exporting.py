"""Customers export all that is kept about them."""

import json

from dev.simulated.world import MUG, body


def put(api, name="Ada", email="ada@example.com"):
    assert api.call("PUT", "/me", json.dumps({"name": name, "email": email})).status == 200


def export(api, **query):
    text = "&".join(f"{name}={value}" for name, value in query.items())
    return api.get("/me/export" + (f"?{text}" if text else ""))


def pages(api, limit):
    """Return the orders of all pages, and the number of pages."""
    found, count, query = [], 0, {}
    while True:
        page = export(api, limit=limit, **query).json
        found += page["orders"]
        count += 1
        if "next" not in page:
            return found, count
        query = {"cursor": page["next"]}


def test_an_export_has_everything_that_is_stored(world, api, shipped):
    # GIVEN a customer with a shipped, a placed and a declined order
    placed = api.place(body(), key="placed").json["orderId"]
    declined = api.place(body(token="tok_decline"), key="declined").json["orderId"]
    world.change("CustomersTable", {"userId": "ada"}, loyalty={"points": 7, "cards": {"a", "b"}})
    # WHEN the customer exports the data
    answer = export(api)
    # THEN it has the profile, with what other programs have added
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    profile = answer.json["profile"]
    assert (profile["userId"], profile["name"], profile["email"]) == ("ada", "Ada", "ada@example.com")
    assert profile["loyalty"] == {"points": 7, "cards": ["a", "b"]}
    # AND each order as it is stored, with its shipment
    orders = {order["orderId"]: order for order in answer.json["orders"]}
    assert orders.keys() == {shipped, placed, declined}
    shipment = orders[shipped].pop("shipment")
    assert shipment == world.item("ShipmentsTable", orderId=shipped)
    withheld = {"unfinished", "dueAt", "unfinishedSince", "outbox", "attemptId", "leaseUntil", "paymentToken"}
    for order_id, order in orders.items():
        stored = world.order(order_id)
        assert order == {name: value for name, value in stored.items() if name not in withheld}
    # AND the counts of the limits
    (counts,) = answer.json["counts"]
    assert (counts["orders"], counts["declines"]) == (3, 1)


def test_a_payment_token_is_not_exported(world, api):
    order_id = api.place(body(), key="placed").json["orderId"]
    assert world.order(order_id)["paymentToken"] == "tok_approve"
    assert "tok_approve" not in json.dumps(export(api).json)


def test_an_export_in_pages_has_each_order_once(world, api):
    world.stock(MUG, 20)
    placed = {api.place(body(), key=f"placed-{n}").json["orderId"] for n in range(5)}
    declined = {api.place(body(token="tok_decline"), key=f"no-{n}").json["orderId"] for n in range(3)}
    for limit in (1, 2, 3, 50):
        found, count = pages(api, limit)
        order_ids = [order["orderId"] for order in found]
        assert sorted(order_ids) == sorted(placed | declined), limit
        assert count >= 5 / limit


def test_a_user_without_data_gets_an_empty_export(world):
    answer = export(world.api("nobody"))
    assert answer.status == 200
    assert {**answer.json, "exportedAt": ""} == {"exportedAt": "", "profile": None, "orders": [], "counts": []}


def test_customers_export_and_erase_their_own_data_only(world, api, order_id):
    world.customer("mallory")
    mallory = world.api("mallory")
    cursor = export(api, limit=1).json.get("next") or ""
    assert export(mallory, cursor=cursor).json["orders"] == []
    assert export(mallory).json["orders"] == []
    before = world.item("CustomersTable", userId="ada")
    assert mallory.call("DELETE", "/me").status == 202
    world.until_quiet()
    after = world.item("CustomersTable", userId="ada")
    assert (after["name"], after["email"]) == (before["name"], before["email"])
    assert world.order(order_id)["userId"] == "ada"


def test_another_users_cursor_shows_none_of_that_users_orders(world, api):
    for n in range(2):
        api.place(body(), key=f"placed-{n}")
    cursor = export(api, limit=1).json["next"]
    assert export(world.api("mallory"), cursor=cursor).json["orders"] == []


def test_parameters_of_an_export_are_checked(api):
    for query in ({"limit": 51}, {"limit": 0}, {"cursor": "bm8="}, {"cursor": "e30="}, {"page": 2}):
        answer = export(api, **query)
        assert (answer.status, answer.problem) == (400, "invalid-request"), query
        assert answer.fields == list(query)
