"""A customer's personal data: export all of it, or begin its erasure, which the stack's sweeper finishes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handoff.clock import Deadline, now_ms, to_iso
from handoff.errors import TransientError
from handoff.ids import unique
from ops.stack.deployment import Deployment
from ops.text import sentences
from shop import erasing, exporting
from shop.customers import CustomerStore
from shop.errors import OpenOrders, ProfileBusy
from shop.limits import Limits
from shop.order_store import OrderStore
from shop.shipment_store import ShipmentStore

if TYPE_CHECKING:
    from shop.model import Customer

_SECONDS = 300.0  # for the orders of one customer
_PAGE = 100  # orders


class CustomerError(Exception):
    """The data cannot be exported or erased; the text says why and what to do."""


@dataclass(frozen=True)
class Begun:
    """An erasure: the customer's item, and how many orders the sweeper cancels first."""

    customer: "Customer"
    cancelled: int


class CustomerData:
    """The data of one user of a deployment."""

    def __init__(self, deployment: Deployment, user_id: str) -> None:
        client, shards = deployment.dynamodb, int(deployment.parameters["UnfinishedShards"])
        orders, shipments = deployment.resource("OrdersTable"), deployment.resource("ShipmentsTable")
        self._deployment = deployment
        self._user_id = user_id
        self._customers = CustomerStore(client, deployment.resource("CustomersTable"), shards)
        self._shipments = ShipmentStore(client, orders=orders, shipments=shipments)
        self._orders = OrderStore(
            client,
            orders=orders,
            products=deployment.resource("ProductsTable"),
            customers=deployment.resource("CustomersTable"),
            shipments=shipments,
            limits=Limits(deployment.resource("LimitsTable"), orders=0, declines=0),  # nothing is counted here
            rejected_days=int(deployment.parameters["RejectedDays"]),
            shards=shards,
            list_shards=int(deployment.parameters["OrderListShards"]),
        )

    def check(self) -> None:
        """Check that there is data about the user.

        Raises
        ------
        CustomerError
            If there is none.
        """
        if not self._customers.item(self._user_id) and not self._orders.page_of(self._user_id, 1)[0]:
            raise CustomerError(
                f"There is no profile and no order of {self._user_id}. Pass the user's id, not an e-mail address: "
                "the claim sub of the user's tokens, which events have as userId and log lines as user_id."
            )

    def export(self) -> dict[str, Any]:
        """Return all that is kept about the user, as ``GET /me/export`` does, on one page."""
        orders: list[dict[str, Any]] = []
        position: dict[str, str] | None = None
        while True:
            page = exporting.export(
                self._customers, self._orders, self._shipments, self._user_id, limit=_PAGE, after=position
            )
            orders += page.orders
            position = page.next_position
            if position is None:
                now = to_iso(now_ms())
                return {"exportedAt": now, "profile": page.profile, "orders": orders, "counts": page.counts}

    def erase(self) -> Begun:
        """Begin the erasure. Idempotent.

        Raises
        ------
        CustomerError
            If orders are under way, or the customer keeps changing.
        """
        try:
            customer, cancellable = erasing.begin(
                self._customers, self._orders, self._user_id, unique(), Deadline(_SECONDS)
            )
        except OpenOrders as error:
            waits = "; ".join(f"{order_id}: {reason}" for order_id, reason in error.reasons.items())
            raise CustomerError(
                f"Nothing was erased, because orders are under way: {waits}. Try again later."
            ) from error
        except (ProfileBusy, TransientError) as error:
            raise CustomerError(sentences(f"Nothing was erased: {error}", "Run the command again.")) from error
        return Begun(customer, len(cancellable))

    def check_user_pool(self) -> None:
        """Check that the stack has its own user pool.

        Raises
        ------
        CustomerError
            If it has none.
        """
        if "UserPoolId" not in self._deployment.outputs:
            raise CustomerError(
                "Nothing was erased: the stack has no user pool. Run the command without --delete-user, and delete the "
                "user at the issuer of its tokens."
            )

    def delete_user(self) -> bool:
        """Delete the user of the stack's own user pool, so that it gets no more tokens; return whether it existed."""
        pool, cognito = self._deployment.outputs["UserPoolId"], self._deployment.cognito
        try:
            # In a pool without user names, the name of a user is the sub.
            # https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_AdminDeleteUser.html
            cognito.admin_delete_user(UserPoolId=pool, Username=self._user_id)
        except cognito.exceptions.UserNotFoundException:
            return False
        return True
