"""Random orders of customer requests, deliveries, time and faults, compared with a small model.

Hypothesis chooses the steps. A failure prints the shortest program of them that fails, and the seed that finds it
again: `pytest tests/chaos/test_any_order.py --chaos-seed N`.
"""

import json
import logging
import sys
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from unittest.mock import patch

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings, strategies
from hypothesis.internal.conjecture.providers import CONSTANTS_CACHE, Constants, HypothesisProvider
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from moto.moto_api._internal import mock_random

from dev import samples
from dev.simulated import messages, wire
from dev.simulated.clock import standing
from dev.simulated.wire import Crash
from dev.simulated.world import MUG, TEE, World
from handoff import aws
from ops import catalog
from ops.dlq import scan
from shop.model import Customer
from tests.support import invariants, provider_events, reference
from tests.support.experiments import KINDS
from tests.support.merchant import Merchant
from tests.support.reference import OUTAGE, PLACED, PRICES, Reference, Wish
from tests.support.reference_refunds import RefundWish

ROUNDS = {"sample": 6, "full": 70}
PROGRAMS = 25  # of a round
SETTINGS = settings(
    stateful_step_count=40,
    deadline=None,
    database=None,
    derandomize=False,
    report_multiple_bugs=False,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
hypothesis.register_random(mock_random)

EMAILS, ANALYTICS, FULFILLMENT, SETTLEMENT = (
    f"{name}Function" for name in ("Emails", "Analytics", "Fulfillment", "Settlement")
)
FUNCTIONS = (EMAILS, ANALYTICS, FULFILLMENT, SETTLEMENT)
FEEDBACK = "FeedbackFunction"
QUEUED = (*FUNCTIONS, FEEDBACK)
WANTED = {
    EMAILS: {
        *("order_placed", "order_cancelled", "shipment_released"),
        *("order_refunded", "return_requested", "user_profile_updated"),
    },
    ANALYTICS: {"order_placed", "order_cancelled", "order_refunded"},
    FULFILLMENT: {"order_placed"},
    SETTLEMENT: {"shipment_prepared", "order_cancelled", "refund_requested", "payment_event"},
}
FAULTS = {kind.name: kind for kind in KINDS if not kind.name.startswith("crash")}
DEAD = {
    "bus": ("eventbridge.*", None),
    "provider": ("dynamodb.*", World.to_provider),
    "mail": ("sesv2.*", None),
    "SQS": ("sqs.*", None),
}
INTERRUPTIONS = [
    *("again", "cancel", "refund", "sweep", "deliver", "load", "profile", "bounce", "act", "confirm", "report")
]
AVAILABLE = 6  # units of each product, few enough to run out
LONGEST = 48 * 3_600_000  # ms, maximum duration of a program: SQS keeps a message for four days
POLLED = 301  # seconds after which the sweeper asks the provider for its events again
LOOKED_AT = 121  # seconds until a scanned dead letter is visible again
MOST_POISONS = 3
MOST_BOUNCES = 2  # of a program: customers who cannot order keep everything else from happening
MOST_ROUNDS = 60

AT_PROVIDER = {
    "merchant's capture": Merchant.capture,
    "capture in part": lambda merchant, order_id: merchant.capture(order_id, 700),
    "merchant's cancellation": Merchant.cancel,
    "merchant's refund": lambda merchant, order_id: merchant.refund(order_id, 700),
    "dispute": Merchant.dispute,
    "dispute won": lambda merchant, order_id: merchant.decide(order_id, "won"),
    "dispute lost": lambda merchant, order_id: merchant.decide(order_id, "lost"),
}
USERS = strategies.sampled_from([*("ada", "bob") * 3, *reference.USERS])
KEYS = strategies.sampled_from([f"key-{n}" for n in range(1, 7)])
GOODS = [((MUG, 1),), ((MUG, 2),), ((MUG, 1), (TEE, 2)), ((TEE, 3),)]
TOKENS = [
    *["tok_approve"] * 6,
    *("tok_decline", "tok_timeout", "tok_timeout_held", "tok_fail_once", "tok_refund_pending", "tok_refund_fails"),
    *("tok_action", "tok_action", "tok_action", "tok_action_fail", "tok_action_abandon"),
]
WISHES = strategies.builds(
    Wish, strategies.sampled_from(GOODS), strategies.sampled_from(TOKENS), strategies.sampled_from([False, False, True])
)
REFUND_KEYS = strategies.sampled_from([f"refund-{n}" for n in range(1, 5)])
REFUND_WISHES = strategies.one_of(
    strategies.builds(RefundWish, strategies.sampled_from(GOODS), restock=strategies.booleans()),
    strategies.builds(RefundWish, amount=strategies.sampled_from([1, 500, 1250, 4000])),
    strategies.builds(RefundWish, restock=strategies.booleans()),
)
CONSUMERS = strategies.sampled_from(FUNCTIONS)
ANY = strategies.integers(0, 9)  # an index into the existing ones, modulo their number
NTH = strategies.sampled_from([1, 2, 3, 4, 5, 6, 8, 11])

# Events that several rounds must include, with any seed.
SEEN = {
    *("placed", "repeated answer", "payment-declined", "out-of-stock", "key-reused", "try-later"),
    *("no-address", "bounced", "cancelled", "shipped", "refund", "not-captured", "refunded"),
    *("packed", "not-packable", "return", "not-released", "merchant's capture"),
    *("action-required", "acted", "confirmed", "reported", "merchant's cancellation", "capture in part"),
    *(
        "crash",
        "fault",
        "meanwhile",
        "outage",
        "swept",
        "order expired",
        "replay",
        "poison",
        "batch delivered, times 2",
    ),
}
# They need several steps in one order, so that a sample can miss them.
RARE = {"too-many-units", "refund failed", "merchant's refund", "dispute"}


class AnyOrder(RuleBasedStateMachine):
    """One world, and a program of steps in it. ``tried`` counts the events."""

    def __init__(self, stack, tried):
        super().__init__()
        self.before = sys.exception()
        self.tried = tried
        self._exit = ExitStack()
        self.clock = self._exit.enter_context(standing())
        self.started = self.clock.ms
        self.world = World(stack, self.clock)
        self.shop = Reference(self.world, AVAILABLE)
        self.world.sweep()  # from here on, the sweeper asks the provider for all events
        self.requests = []
        self.poisons = set()
        self.bounces = 0
        self.outage = False
        self.deliveries = 0
        self.struck = self.mails_struck = self.interrupted = 0
        self.tried["state machine runs"] += 1

    # --- customers ----------------------------------------------------------------------------------------------------

    @rule(user=USERS, wish=WISHES)
    def place_new(self, user, wish):
        self.place(user, f"new-{len(self.requests)}", wish)

    @rule(user=USERS, key=KEYS, wish=WISHES)
    def place_under(self, user, key, wish):
        self.place(user, key, wish)

    @precondition(lambda self: self.requests)
    @rule(which=ANY)
    def place_again(self, which):
        self.place(*one_of(self.requests, which))

    def place(self, user, key, wish):
        self.requests.append((user, key, wish))
        possible = self.shop.outcomes(user, key, wish)
        api = self.world.api(user, **reference.claims(user))
        answer, possible = self.call(lambda: api.place(wish.body(), key), possible)
        if answer:
            known = len(self.shop.placed)
            outcome = self.shop.answered(user, key, wish, answer, possible)
            self.tried["repeated answer" if outcome == PLACED and len(self.shop.placed) == known else outcome] += 1

    @precondition(lambda self: self.shop.orders)
    @rule(which=ANY, user=strategies.sampled_from(["its owner", "its owner", "its owner", "eve"]))
    def cancel(self, which, user):
        placed = [order for order in self.shop.orders if order["status"] == "PLACED"]
        order = one_of(placed + self.shop.orders, which)
        self.cancel_order(order["orderId"], order["userId"] if user == "its owner" else user)

    @precondition(lambda self: self.shop.orders)
    @rule(which=ANY)
    def cancel_for_shop(self, which):
        """Cancel an order by a program."""
        self.cancel_order(one_of(self.shop.orders, which)["orderId"], None)

    def cancel_order(self, order_id, user):
        possible = self.shop.cancellation_outcomes(user, order_id)
        shop = self.world.program("orders:write")
        cancel = (
            (lambda: self.world.api(user).cancel(order_id)) if user else (lambda: shop.cancel(order_id, "Sold out"))
        )
        answer, possible = self.call(cancel, possible)
        if answer:
            self.tried[self.shop.cancellation_answered(order_id, answer, possible)] += 1

    @precondition(lambda self: self.shop.orders)
    @rule(which=ANY, user=strategies.sampled_from(["its owner", "its owner", "eve"]))
    def return_order(self, which, user):
        order = self.an_order("PREPARED", which)
        user = order["userId"] if user == "its owner" else user
        possible = self.shop.return_outcomes(user, order["orderId"])
        answer, possible = self.call(lambda: self.world.api(user).return_order(order["orderId"]), possible)
        if answer:
            self.tried[self.shop.return_answered(order["orderId"], answer, possible)] += 1

    @rule(user=USERS, which=strategies.sampled_from([1, 2, 3]))
    def change_profile(self, user, which):
        profile = {"name": f"{user.title()} {which}", "email": f"{user}-{which}@example.com"}
        possible = self.shop.profile_outcomes(user)
        answer, possible = self.call(lambda: self.world.api(user).call("PUT", "/me", json.dumps(profile)), possible)
        self.tried[self.shop.profile_answered(user, profile, answer, possible)] += 1

    @precondition(lambda self: self.shop.orders and self.bounces < MOST_BOUNCES)
    @rule(user=USERS)
    def bounce(self, user):
        """Let a mail to a customer bounce, so that the address is flagged until the customer saves one."""
        customer = self.world.item("CustomersTable", userId=user)
        if customer.get("email"):
            report = samples.bounced(Customer(user_id=user, name="", email=customer["email"]))
            self.world.queues.send(FEEDBACK, json.dumps(report))
            self.world.queues.deliver(FEEDBACK)
            self.bounces += 1
            self.tried["bounced"] += 1

    @precondition(lambda self: self.shop.waiting)
    @rule(which=ANY)
    def act(self, which):
        """Let a customer act on the page of the bank."""
        self.tried["acted"] += Merchant(self.world).act(one_of(self.shop.waiting, which))

    @precondition(lambda self: self.shop.orders)
    @rule(which=ANY, user=strategies.sampled_from(["its owner", "its owner", "its owner", "eve"]))
    def confirm(self, which, user):
        order = self.an_order("PENDING", which)
        self.confirm_order(order["orderId"], order["userId"] if user == "its owner" else user)

    def confirm_order(self, order_id, user):
        possible = self.shop.confirmation_outcomes(user, order_id)
        answer, possible = self.call(lambda: self.world.api(user).confirm(order_id), possible)
        if answer:
            outcome = self.shop.confirmation_answered(order_id, answer, possible)
            self.tried["confirmed" if outcome == PLACED else outcome] += 1

    def call(self, request, possible):
        """Make a request; return the answer (None after a crash) and the possible outcomes under the faults."""
        struck, interrupted = self.struck, self.interrupted
        try:
            answer = request()
        except Crash:
            return None, None
        if self.interrupted > interrupted:
            return answer, None
        return answer, possible | OUTAGE if self.struck > struck else possible

    def an_order(self, status, which):
        """Return an order, preferably one with this status."""
        return one_of([order for order in self.shop.orders if order["status"] == status] + self.shop.orders, which)

    # --- the shop's programs, and the provider ------------------------------------------------------------------------

    @precondition(lambda self: self.shop.orders)
    @rule(which=ANY)
    def pack(self, which):
        """Pack an order by hand."""
        order_id = self.an_order("PLACED", which)["orderId"]
        possible = self.shop.packing_outcomes(order_id)
        answer, possible = self.call(lambda: self.world.program("shipments:write").pack(order_id), possible)
        if answer:
            self.tried[self.shop.packing_answered(order_id, answer, possible)] += 1

    @precondition(lambda self: self.shop.orders)
    @rule(which=ANY, key=REFUND_KEYS, wish=REFUND_WISHES)
    def refund(self, which, key, wish):
        self.request_refund(self.an_order("PREPARED", which)["orderId"], key, wish)

    def request_refund(self, order_id, key, wish):
        possible = self.shop.refund_outcomes(order_id, key, wish)
        program = self.world.program("refunds:write")
        answer, possible = self.call(lambda: program.refund(order_id, key, **wish.body()), possible)
        if answer:
            self.tried[self.shop.refund_answered(order_id, key, wish, answer, possible)] += 1

    @precondition(lambda self: self.shop.orders)
    @rule(which=ANY, what=strategies.sampled_from(sorted(AT_PROVIDER)))
    def act_at_provider(self, which, what):
        """Change an order's payment at the provider, past Handoff."""
        order_id = one_of(self.shop.orders, which)["orderId"]
        if AT_PROVIDER[what](Merchant(self.world), order_id):
            self.shop.merchant_acted(order_id)
            self.tried[what] += 1

    @precondition(lambda self: self.shop.orders)
    @rule(which=ANY)
    def report(self, which):
        """Let the provider report that something has happened to a payment, whether it has or not."""
        self.report_payment(one_of(self.shop.orders, which)["orderId"])

    def report_payment(self, order_id):
        provider_events.publish(self.world, order_id, f"evt_{self.tried['reported']}")
        self.tried["reported"] += 1

    # --- operators ----------------------------------------------------------------------------------------------------

    @rule(
        sku=strategies.sampled_from(sorted(PRICES)),
        price=strategies.sampled_from([1250, 2000]),
        units=strategies.sampled_from([0, 0, 1, 5]),
        listed=strategies.sampled_from([True, True, True, True, False]),
    )
    def load_catalog(self, sku, price, units, listed):
        """Set a product's price and listing, and add units."""
        self.deliveries += bool(units)
        delivery = catalog.Delivery(id=f"delivery-{self.deliveries}", units=units) if units else None
        entry = catalog.Entry(sku=sku, name=sku.title(), unitPrice=price, listed=listed, delivery=delivery)
        self.shop.product_changed(sku, price, units, listed)
        client, products = self.world.client("dynamodb"), self.world.table("ProductsTable")
        catalog.load(client, products, [entry])
        catalog.count_deliveries(client, products, self.world.table("IdempotencyTable"), [entry])
        self.tried["stock delivered"] += bool(units)

    @precondition(lambda self: self.poisons or self.struck)
    @rule(function=CONSUMERS, dies=strategies.booleans())
    def redrive(self, function, dies):
        """Redrive dead letters; the process may crash before the first one is deleted."""
        for letter in self.letters(function):
            self.tried["redriven"] += 1
            if dies:
                self.world.queues.send(function, letter.message["Body"])
                return
            self.put_back(function, letter)

    def letters(self, function):
        url = self.world.stack.environment(function)["DEAD_LETTER_QUEUE_URL"]
        return list(scan.dead_letters(self.world.client("sqs"), url, wait=0))

    def put_back(self, function, letter):
        at = self.world.stack.environment(function)
        urls = {"dead_letters_url": at["DEAD_LETTER_QUEUE_URL"], "queue_url": at["QUEUE_URL"]}
        scan.redrive(self.world.client("sqs"), [letter], **urls)

    # --- queues and the bus -------------------------------------------------------------------------------------------

    @precondition(lambda self: self.shop.events_seen or self.poisons)
    @rule(
        function=CONSUMERS,
        most=strategies.sampled_from([1, 3, 10]),
        order=strategies.permutations(range(3)),
        times=strategies.sampled_from([1, 1, 2, 0]),
    )
    def deliver(self, function, most, order, times):
        """Deliver a shuffled batch once, twice (at-least-once delivery), or not until it is visible again."""
        for name in (function, *QUEUED):
            records = self.world.queues.receive(name, most)
            if records:
                shuffled = [record for start in order for record in records[start :: len(order)]]
                for _ in range(times):
                    self.world.queues.hand_over(name, shuffled)
                self.tried[f"batch delivered, times {times}"] += 1
                return

    @precondition(lambda self: self.shop.events_seen)
    @rule(function=CONSUMERS, which=ANY)
    def replay(self, function, which):
        events = [event for event in self.world.events() if event["DetailType"] in WANTED[function]]
        if events:
            self.tried["replay"] += 1
            self.world.queues.send(function, messages.replayed(one_of(events, which)))

    @precondition(lambda self: len(self.poisons) < MOST_POISONS)
    @rule(function=CONSUMERS, kind=strategies.sampled_from(["no JSON", "no event", "not wanted", "about nothing"]))
    def poison(self, function, kind):
        """Send a poison message, which must become a dead letter."""
        unknown = f"ord_{'a' * 24}{'abcdefghij'[len(self.poisons) % 10]}a"
        body = {
            "no JSON": f"poison {len(self.poisons)}",
            "no event": json.dumps({"poison": len(self.poisons)}),
            "not wanted": messages.message("order_changed", unknown, 1),
            "about nothing": messages.message(min(WANTED[function] - {"user_profile_updated"}), unknown, 2),
        }[kind]
        self.poisons.add((function, body))
        self.world.queues.send(function, body)
        self.tried["poison"] += 1

    # --- time ---------------------------------------------------------------------------------------------------------

    @rule(seconds=strategies.sampled_from([1, 25, 25, 60, 60, 300, 600, 3600, 3600, 86_400]))
    def tick(self, seconds):
        if self.clock.ms - self.started + seconds * 1000 < LONGEST:
            self.clock.forward(seconds)

    @rule()
    def sweep(self):
        """Run the sweeper, which may crash or be throttled."""
        self.tried["sweep"] += 1
        with suppress(Crash, *aws.ERRORS):
            report = self.world.sweep()
            self.tried["swept"] += any(report.values())
            self.tried["order expired"] += report["OrdersExpired"]

    @rule()
    def a_minute(self):
        """Run every consumer and the sweeper once."""
        self.clock.forward(60)
        self.sweep()
        for name in QUEUED:
            self.world.queues.deliver(name)

    # --- faults -------------------------------------------------------------------------------------------------------

    @rule(after=strategies.booleans(), nth=NTH)
    def crash_next(self, after, nth):
        """Crash at the nth call from now on."""
        self.world.wire.on("*", self.counted(wire.crash_after if after else wire.crash_before, "crash"), nth=nth)

    @rule(kind=strategies.sampled_from(sorted(FAULTS)), nth=NTH)
    def fail_next(self, kind, nth):
        """Inject this fault into the nth possible call from now on."""
        fault = FAULTS[kind]
        counted = self.counted(fault.fault, "fault")
        self.world.wire.on("*", counted, nth=nth, times=fault.times, where=fault.fits, retries=True)

    @rule(nth=NTH, what=strategies.sampled_from(INTERRUPTIONS), which=ANY)
    def meanwhile(self, nth, what, which):
        """Run another action just before the nth call from now on."""
        self.world.wire.on("*", self.counted(wire.meanwhile(lambda: self.interrupt(what, which)), "meanwhile"), nth=nth)

    def interrupt(self, what, which):
        self.interrupted += 1
        if what == "again" and self.requests:
            self.place(*one_of(self.requests[::-1], which))
        elif what == "cancel":
            orders = self.world.items("OrdersTable")
            if orders:
                order = one_of(orders, which)
                self.cancel_order(order["orderId"], order["userId"])
        elif what == "refund" and self.shop.orders:
            self.request_refund(self.an_order("PREPARED", which)["orderId"], f"refund-{which % 4 + 1}", RefundWish())
        elif what == "sweep":
            self.sweep()
        elif what == "deliver":
            self.world.queues.deliver(one_of(FUNCTIONS, which))
        elif what == "load":
            self.load_catalog(one_of([MUG, TEE], which), one_of([1250, 2000], which // 2), which % 3, which < 9)
        elif what == "profile":
            self.change_profile("ada", which % 3 + 1)
        elif what == "bounce":
            self.bounce(one_of(reference.USERS, which))
        elif what == "act" and self.shop.waiting:
            self.act(which)
        elif what in ("confirm", "report"):
            self.interrupt_by(what, self.world.items("OrdersTable"), which)

    def interrupt_by(self, what, orders, which):
        if orders:
            order = one_of(orders, which)
            if what == "confirm":
                self.confirm_order(order["orderId"], order["userId"])
            else:
                self.report_payment(order["orderId"])

    @precondition(lambda self: not self.outage)
    @rule(what=strategies.sampled_from(sorted(DEAD)))
    def go_down(self, what):
        """Make a service unreachable until it is healed."""
        pattern, where = DEAD[what]
        mine = (lambda call: where(self.world, call)) if where else (lambda call: True)
        self.world.wire.always(pattern, self.counted(wire.cannot_connect, "outage"), mine)
        self.outage = True

    @precondition(lambda self: self.outage)
    @rule()
    def heal(self):
        """Heal all services and cancel planned faults."""
        self.world.wire.heal()
        self.outage = False

    def counted(self, fault, name):
        def strike(call, deliver):
            self.tried[name] += 1
            self.struck += 1
            self.mails_struck += self.world.functions.running[-1] == EMAILS and name in {"crash", "fault"}
            return fault(call, deliver)

        return strike

    # --- verdict ------------------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_wrong(self):
        self.tried["state machine steps"] += 1
        self.shop.check()

    def teardown(self):
        try:
            if sys.exception() is self.before:  # a failed or aborted program is not checked
                self.recover()
                self.judge()
        finally:
            self._exit.close()

    def recover(self):
        """Heal everything, and let time pass until no work is pending."""
        self.world.wire.heal()
        self.clock.forward(LOOKED_AT)
        pause = 60
        for _ in range(MOST_ROUNDS):
            self.sweep()
            self.world.queues.until_quiet()
            letters = [(name, letter) for name in QUEUED for letter in self.letters(name)]
            lost = [(name, letter) for name, letter in letters if (name, letter.message["Body"]) not in self.poisons]
            if not lost and not self.world.unfinished() and self.knows_all():
                return
            for name, letter in lost:
                self.tried["dead letter"] += 1
                self.put_back(name, letter)
            self.clock.forward(pause)
            pause = min(2 * pause, 3600)
        raise AssertionError(f"still unfinished: {self.world.unfinished()}")

    def knows_all(self):
        """Let the sweeper ask the provider for its events; return whether that has led to no more work."""
        self.clock.forward(POLLED)
        events = len(self.world.events())
        self.sweep()
        self.world.queues.until_quiet()
        return len(self.world.events()) == events and not self.world.unfinished()

    def judge(self):
        """Check that only poison messages are left, and that all invariants hold."""
        self.clock.forward(LOOKED_AT)
        letters = {(name, letter.body) for name in QUEUED for letter in self.world.queues.dead_letters(name)}
        assert letters == self.poisons
        invariants.check_all(self.world, self.shop.loaded, self.shop.placed.values(), mail_repeats=self.mails_struck)
        told = {mail["to"] for mail in self.world.mails() if mail["subject"] == "Your e-mail address was changed"}
        assert self.shop.new_addresses <= told
        self.shop.check()
        self.tried["shipped"] += len(self.world.items("ShipmentsTable"))
        for order in self.shop.orders:
            states = Counter(refund["state"] for refund in order.get("refunds", {}).values())
            self.tried["refunded"] += states["refunded"]
            self.tried["refund failed"] += states["failed"]


def one_of(things, which):
    return things[which % len(things)]


@contextmanager
def same_choices_everywhere():
    """Stop Hypothesis from drawing constants of loaded modules: the seed alone decides."""
    CONSTANTS_CACHE.cache.clear()
    with patch.object(HypothesisProvider, "_local_constants", Constants()):
        yield
    CONSTANTS_CACHE.cache.clear()


@pytest.fixture
def silence():
    """Discard log lines, which take a third of the time."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("silence")
@pytest.mark.timeout(3 * 3600)
def test_any_order_of_events(stack, effort, tally):
    tried = Counter()
    for seed in range(effort.seed, effort.seed + ROUNDS[effort.level]):
        machine = hypothesis.seed(seed)(lambda: AnyOrder(stack, tried))
        try:
            with same_choices_everywhere():
                run_state_machine_as_test(machine, settings=settings(SETTINGS, max_examples=PROGRAMS))
        except BaseException as error:
            error.add_note(f"The same again: pytest tests/chaos/test_any_order.py --chaos-seed {seed}")
            raise
    tally.update({name: tried[name] for name in ("state machine runs", "state machine steps")})
    # A single round may miss an event, but several rounds that miss it test nothing.
    wanted = SEEN | RARE if effort.level == "full" else SEEN
    assert not [name for name in wanted if not tried[name]], tried
