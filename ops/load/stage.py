"""The customers and products of a load test: created before it, removed after it."""

import secrets
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

from handoff import aws
from handoff.ids import unique
from ops import catalog
from ops.catalog import Entry
from ops.customers import CustomerData, CustomerError
from ops.polling import until
from ops.shop_client import Account, Answer, ShopClient, sign_in, sign_up
from ops.smoke_order import CATALOG_AGE, CheckFailed
from ops.stack.deployment import Deployment

PRODUCTS = 100  # enough that users rarely order the same one at a time
PREFIX = "LOAD-TEST-"
_STOCK = 1_000_000
_AT_A_TIME = 8  # customers
_THROTTLED = (429, 503)
PATIENCE = 60.0  # seconds that a throttled request is repeated for


class Stage:
    """One customer for each user, and products that nothing but load tests orders."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.name = f"handoff-load-{unique()[:8]}"
        self.accounts: dict[int, Account] = {}  # by the customer's number
        self.skus = [f"{PREFIX}{n:03}" for n in range(PRODUCTS)]
        self._password = f"{secrets.token_urlsafe(24)}aA1!"

    def email(self, number: int) -> str:
        """Return a customer's address, at the mailbox simulator of SES, which accepts every mail."""
        return f"success+{self.name}-{number}@simulator.amazonses.com"

    def set_up(self, customers: int) -> None:
        """Create the products and customers; wait until the functions know the products."""
        are_known = self._are_listed()
        self._list_products(listed=True)
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            list(pool.map(self._sign_up, range(customers)))
        if not are_known:
            time.sleep(CATALOG_AGE)

    def _are_listed(self) -> bool:
        table = self.deployment.resource("ProductsTable")
        found = aws.batch_get(self.deployment.dynamodb, table, "sku", self.skus)
        return len(found) == len(self.skus) and all(product["listed"] for product in found.values())

    def _list_products(self, *, listed: bool) -> None:
        entries = [
            Entry.model_validate(
                {"sku": sku, "name": "Load test, not for sale", "unitPrice": 100, "available": _STOCK, "listed": listed}
            )
            for sku in self.skus
        ]
        catalog.load(self.deployment.dynamodb, self.deployment.resource("ProductsTable"), entries)

    def _sign_up(self, number: int) -> None:
        account = self.accounts[number] = sign_up(self.deployment, self.email(number), self._password)
        profile = {"name": "Load Test", "email": self.email(number)}
        with closing(ShopClient(self.deployment.api_url, account.token)) as client:
            answer = until(lambda: client.introduce(profile), is_definite, PATIENCE)
        if answer.status != 200:
            raise CheckFailed(f"PUT /me answered {answer.status} {answer.body}")

    def tokens(self) -> list[str]:
        """Return a new token of each customer: they are valid for an hour."""
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            return list(
                pool.map(lambda n: sign_in(self.deployment, self.email(n), self._password), sorted(self.accounts))
            )

    def cancel(self, orders: dict[str, int]) -> str:
        """Cancel orders, given the customer's number of each; return the answers. A packed one stays as it is."""
        tokens = self.tokens()
        wanted: dict[int, list[str]] = {}
        for order_id, number in orders.items():
            wanted.setdefault(number, []).append(order_id)

        def cancel_all(number: int) -> list[int]:
            with closing(ShopClient(self.deployment.api_url, tokens[number])) as client:
                return [until(partial(client.cancel, order), is_definite, PATIENCE).status for order in wanted[number]]

        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            statuses = Counter(status for found in pool.map(cancel_all, wanted) for status in found)
        return ", ".join(f"{count} answered {status}" for status, count in sorted(statuses.items())) or "none"

    def clear(self) -> str:
        """Delist the products, begin to erase the customers, and delete their users; return what was done.

        Raises
        ------
        CheckFailed
            If a customer is left.
        """
        self._list_products(listed=False)
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            left = [problem for problem in pool.map(self._erase, self.accounts.values()) if problem]
        if left:
            raise CheckFailed(f"{len(left)} customers are left: {left[0]}")
        erased = f"{len(self.accounts)} customers have no user any more; the sweeper erases their data within two hours"
        self.accounts.clear()
        return f"{erased}; the products are delisted"

    def _erase(self, account: Account) -> str:
        data = CustomerData(self.deployment, account.user_id)
        try:
            data.erase()
        except CustomerError as error:
            return f"{account.user_id}: {error}"
        data.delete_user()
        return ""

    def remains(self) -> Iterator[str]:
        """Yield which customers remain, and how to remove them; nothing after `clear`."""
        if not self.accounts:
            return
        erase = f"handoff customers erase USER_ID --delete-user{self.deployment.options}"
        yield f"{len(self.accounts)} customers of this test remain, with {self.email(0)} and so on. Remove one: {erase}"
        for number, account in sorted(self.accounts.items()):
            yield f"  {account.user_id}  {self.email(number)}"


def is_definite(answer: Answer) -> bool:
    """Return whether an answer is not one that asks for another try."""
    return answer.status not in _THROTTLED and not str(answer.body.get("type", "")).endswith(":in-progress")
