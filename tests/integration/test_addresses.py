"""Shipping addresses: optional fields, countries without postal codes, and the countries that the shop ships to."""

import pytest

from dev.simulated.world import ADDRESS, World, body

MORE = {
    "company": "Analytical Engines Ltd.",
    "street2": "Floor 3",
    "region": "Greater London",
    "phone": "+44 (20) 7946-0958",
    "vatId": "GB123456789",
}
DUBAI = {"name": "Ada Lovelace", "street": "Villa 3, Al Wasl Road", "city": "Dubai", "country": "AE"}


@pytest.fixture
def shipping_to(stack, clock):
    """Return a deployment that ships to some countries only, with the data of the world."""

    def deployment(countries):
        world = World(stack, clock, settings={"SHIPS_TO": countries})
        world.stock()
        world.customer()
        return world

    return deployment


def shown(api, answer):
    return api.get(answer.headers["location"]).json["shippingAddress"]


def test_an_address_has_only_the_fields_that_were_sent(world, api):
    answer = api.place(body())

    assert answer.json["shippingAddress"] == shown(api, answer) == ADDRESS
    assert world.order(answer.json["orderId"])["shippingAddress"] == ADDRESS


def test_the_optional_fields_of_an_address_are_kept_and_shown(api):
    answer = api.place(body(shippingAddress=ADDRESS | MORE))

    assert answer.status == 201
    assert answer.json["shippingAddress"] == shown(api, answer) == ADDRESS | MORE


def test_an_optional_field_may_be_null(api):
    answer = api.place(body(shippingAddress=ADDRESS | dict.fromkeys(MORE)))

    assert (answer.status, answer.json["shippingAddress"]) == (201, ADDRESS)


@pytest.mark.parametrize("without", [{}, {"postalCode": None}])
def test_a_country_without_postal_codes_can_be_shipped_to(api, without):
    answer = api.place(body(shippingAddress=DUBAI | without))

    assert answer.status == 201
    assert answer.json["shippingAddress"] == shown(api, answer) == DUBAI | {"postalCode": ""}


def test_every_optional_field_makes_another_order(api):
    api.place(body(shippingAddress=ADDRESS))

    answers = [api.place(body(shippingAddress=ADDRESS | {name: MORE[name]})) for name in MORE]

    assert [answer.status for answer in answers] == [422] * len(MORE)


def test_the_reason_names_the_countries_that_the_shop_ships_to(shipping_to):
    api = shipping_to("DE,FR").api()

    answer = api.place(body())

    assert (answer.status, answer.problem, answer.fields) == (400, "invalid-request", ["shippingAddress.country"])
    assert answer.json["errors"][0]["message"] == "The shop does not ship to GB, only to DE, FR."
    assert api.place(body(shippingAddress=ADDRESS | {"country": "FR"})).status == 201


def test_a_repeat_gets_its_order_although_the_shop_no_longer_ships_there(world, api, stack, clock):
    # GIVEN an order that was placed before its country was removed from the list
    first = api.place(body())
    world.functions.settings = {"SHIPS_TO": "DE"}
    world.functions.stop("OrdersFunction")

    # THEN its key gets it, and a new order is refused
    assert (api.place(body()).status, api.place(body()).json) == (201, first.json)
    assert api.place(body(), key="key-2").status == 400


def test_an_address_of_an_earlier_release_is_shown_in_visible_lines(world, api):
    answer = api.place(body())
    stored = ADDRESS | {"name": "Ada \u202eecalevoL", "street": "12  Engine Way", "city": "\u200b"}
    world.change("OrdersTable", {"orderId": answer.json["orderId"]}, shippingAddress=stored)

    assert shown(api, answer) == stored | {"name": "Ada ecalevoL", "city": ""}


def test_an_order_of_an_earlier_release_with_an_unknown_country_is_shown(world, api):
    answer = api.place(body())
    world.change("OrdersTable", {"orderId": answer.json["orderId"]}, shippingAddress=ADDRESS | {"country": "UK"})

    assert shown(api, answer)["country"] == "UK"
