"""What happens at the provider without Handoff: a merchant's clicks in its dashboard, customers' actions, disputes."""

from typing import Any, Literal

from dev.simulated.world import World
from handoff.clock import to_iso
from shop import ids
from shop.payments.sandbox import Sandbox
from tests.support.stripe_server import StripeServer

_NEVER_HELD = {"action", "action_failed"}


class Merchant:
    """Acts on the ledger of the world's provider. Each action returns whether the provider has allowed it.

    The sandbox lists what a merchant or a bank did among the events that `Payments.happened` returns.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._stripe = world.stripe if isinstance(world.stripe, StripeServer) else None

    def act(self, order_id: str) -> bool:
        """Do what the customer does on the page of the bank. The sandbox's token decides how it ends."""
        if self._stripe:
            return self._stripe.act(order_id)
        ledger = Sandbox(self._world.client("dynamodb"), self._world.table("SandboxTable"))
        return ledger.act(str(self._hold(order_id).get("secret", "none"))) is not None

    def capture(self, order_id: str, amount: int | None = None) -> bool:
        """Capture an order's hold, or a part of it."""
        if self._stripe:
            return self._stripe.capture_in_dashboard(order_id, amount)
        captured = {} if amount is None else {"captured": amount}
        return self._move(order_id, {"held"}, "capture", **captured) and bool(self._enter(order_id, "capture"))

    def cancel(self, order_id: str) -> bool:
        """Cancel an order's hold, or its payment that waits for the customer."""
        if self._stripe:
            return self._stripe.cancel_in_dashboard(order_id)
        return self._move(order_id, {"held", *_NEVER_HELD}, "void") and bool(self._enter(order_id, "void"))

    def refund(self, order_id: str, amount: int) -> bool:
        """Refund a part of an order's captured amount."""
        if self._stripe:
            return self._stripe.refund_in_dashboard(order_id, amount)
        hold = self._hold(order_id)
        refunded = int(hold.get("refunded", 0)) + amount
        if hold.get("state") != "capture" or refunded > hold.get("captured", hold["amount"]):
            return False
        keys = set(hold.get("refundKeys", ()))
        entered = {"amount": amount, "state": "refunded", "currency": hold["currency"], "hold": hold["key"]}
        key = self._enter(order_id, "refund", number=len(keys), by="merchant", **entered)
        self._change(order_id, refunded=refunded, refundKeys={*keys, key})
        return True

    def return_refund(self, order_id: str) -> bool:
        """Return an order's latest refund, as the customer's bank can."""
        if self._stripe:
            return self._stripe.fail_refund(order_id)
        entries = [self._world.item("SandboxTable", key=key) for key in self._hold(order_id).get("refundKeys", ())]
        done = sorted((entry for entry in entries if entry["state"] == "refunded"), key=lambda entry: str(entry["at"]))
        if not done:
            return False
        self._world.change("SandboxTable", {"key": done[-1]["key"]}, state="failed")
        self._change(order_id, refunded=self._hold(order_id)["refunded"] - done[-1]["amount"])
        return True

    def dispute(self, order_id: str) -> bool:
        """Dispute an order's captured payment, as the customer's bank does."""
        if self._stripe:
            return self._stripe.dispute(order_id)
        hold = self._hold(order_id)
        amount = hold.get("captured", hold.get("amount"))
        dispute = {"reference": f"{order_id}:dispute", "amount": amount, "state": "open"}
        return self._move(order_id, {"capture"}, "disputed", dispute=dispute)

    def decide(self, order_id: str, state: Literal["won", "lost"]) -> bool:
        """Decide an open dispute. If the merchant has won, the payment is captured as before."""
        if self._stripe:
            return self._stripe.decide_dispute(order_id, state)
        dispute = self._hold(order_id).get("dispute", {})
        if dispute.get("state") != "open":
            return False
        return self._move(
            order_id, {"disputed"}, "capture" if state == "won" else "disputed", dispute={**dispute, "state": state}
        )

    def _move(self, order_id: str, before: set[str], after: str, **values: Any) -> bool:
        moved = self._hold(order_id).get("state") in before
        if moved:
            self._change(order_id, state=after, **values)
        return moved

    def _enter(self, order_id: str, kind: str, *, number: int = 0, **values: Any) -> str:
        key = f"{order_id}:merchant-{kind}-{number}"
        entry = {"key": key, "kind": kind, "orderId": order_id, "at": to_iso(self._world.clock.ms)}
        self._world.put("SandboxTable", entry | values)
        return key

    def _hold(self, order_id: str) -> dict[str, Any]:
        return self._world.item("SandboxTable", key=ids.payment_key(order_id, "authorise"))

    def _change(self, order_id: str, **values: Any) -> None:
        reference = ids.payment_key(order_id, "authorise")
        self._world.change("SandboxTable", {"key": reference}, **values)
        happened = self._world.item("SandboxTable", key="events").get("happened", [])
        event = {"id": f"sandbox-{len(happened)}", "reference": reference, "at": self._world.clock.ms}
        self._world.put("SandboxTable", {"key": "events", "kind": "events", "happened": [*happened, event]})
