"""The first-workflow example in moto: its steps, its switch, its customers and its mails."""

from dev.simulated import wire
from dev.simulated.world import direct_client
from handoff.attribute_values import to_item
from handoff.clock import now_ms
from ops.compare import compare
from tests.support.example_stack import EXAMPLES, ExampleStack

SOURCE = EXAMPLES / "first-workflow/src"
TABLES = {
    "orders": ["orderId"],
    "products": ["sku"],
    "payments": ["key"],
    "idempotency": ["id"],
    "shadow": ["subject", "writer"],
}
SWITCH = "/first-workflow/mail-by-event"
WITHOUT_CONSUMER = (0, 1)
MAILS_SECONDS = 90  # the function's timeout
STEPS = (0, 1, 2, 3, 5)


class Shop(ExampleStack):
    """The example's functions and tables; ``step`` is the deployed one."""

    def __init__(self, clock, step=0, per_cent=0):
        super().__init__("first_workflow", "shop", TABLES, "orders")
        self.variables |= {"MAIL_FROM": "shop@example.com", "MAIL_BY_EVENT": SWITCH}
        direct_client("sesv2").create_email_identity(EmailIdentity="shop@example.com")
        self.clock = clock
        self.step = step
        self.turn(per_cent)
        self._delivered = 0
        for sku, price in (("MUG", 1250), ("TEE", 1900), ("GOLD", 100_001)):
            self.put("products", {"sku": sku, "name": sku.title(), "unitPrice": price, "available": 1000})

    def deploy(self, step):
        self.step = step
        self.stop()

    def turn(self, per_cent):
        """Set the switch, and wait until all instances read it again."""
        direct_client("ssm").put_parameter(Name=SWITCH, Value=str(per_cent), Type="String", Overwrite=True)
        self.clock.forward(6)

    def place(self, key="1", email="ada@example.com", **quantities):
        request = {"email": email, "key": key, "quantities": quantities or {"MUG": 2}}
        return self.run(f"step_{self.step}.place", request)

    def place_many(self, count, start=0):
        return [self.place(str(start + n)) for n in range(count)]

    def place_patiently(self, key="1"):
        """Place an order as a customer does who repeats the request after a crash or an error."""
        for _ in range(8):
            try:
                answer = self.place(key)
            except wire.Crash:
                continue
            if "orderId" in answer:
                return answer
            self.clock.forward(15)
        raise AssertionError(f"never answered: {answer}")

    def deliver(self, *events, receives=1):
        return self.deliver_to(f"step_{self.step}.mail", events, receives, MAILS_SECONDS)

    def consume(self):
        """Deliver all events that were published since the last time, as often as it takes."""
        waiting = self.published()[self._delivered :]
        self._delivered += len(waiting)
        for receives in range(1, 7):
            if not waiting or self.step in WITHOUT_CONSUMER:
                return
            try:
                failed = {
                    failure["itemIdentifier"]
                    for failure in self.deliver(*waiting, receives=receives)["batchItemFailures"]
                }
            except wire.Crash:
                failed = {str(n) for n in range(len(waiting))}
            waiting = [event for n, event in enumerate(waiting) if str(n) in failed]
            self.clock.forward(6 * MAILS_SECONDS)  # the visibility timeout
        assert not waiting, "dead letters"

    def sweep(self):
        self.overdue()
        return self.run("sweeper", {})

    def settle(self):
        """Let the sweeper and the consumer do what is left."""
        if self.step:
            self.sweep()
        self.consume()

    def mails(self):
        """Return the mails that the mail service accepted, as subject, recipient and text."""
        return [
            (
                call.request["Content"]["Simple"]["Subject"]["Data"],
                call.request["Destination"]["ToAddresses"][0],
                call.request["Content"]["Simple"]["Body"]["Text"]["Data"],
            )
            for call in self.wire.named("sesv2.SendEmail")
            if call.status == 200
        ]

    def mails_of(self, order_id):
        return [mail for mail in self.mails() if order_id in mail[2]]

    def order(self, order_id):
        (found,) = [item for item in self.items("orders") if item["orderId"] == order_id]
        return found

    def stock(self, sku="MUG"):
        return next(item["available"] for item in self.items("products") if item["sku"] == sku)

    def shadow(self, subject, writer, **changes):
        """Change a shadow record; None for all of its attributes removes it."""
        key = {"subject": subject, "writer": writer}
        (found,) = [item for item in self.items("shadow") if item.items() >= key.items()]
        if changes:
            self.put("shadow", found | changes)
        else:
            direct_client("dynamodb").delete_item(TableName="shadow", Key=to_item(key))

    def compare(self, settled_before=None):
        return compare(self.items("shadow"), now_ms() + 1 if settled_before is None else settled_before)
