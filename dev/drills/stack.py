"""The local stack of a drill: behind a fault proxy, with customers, set up to recover in seconds."""

import contextlib
from collections import Counter
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from dev.demo import orders as demo
from dev.demo.orders import Progress
from dev.faults.proxy import FaultProxy, routes
from dev.faults.rules import Rule
from dev.invariants import Mail, Snapshot, Violation
from dev.local.consumers import limit_concurrency
from dev.local.stack import LocalStack, running
from ops import catalog
from ops.shop_client import Account, ShopClient, sign_up
from ops.stack import observe
from ops.stack.deployment import Deployment

WORKERS = 2  # per consumer, the minimum that SQS accepts
_CUSTOMERS = 3
_RETRY_AFTER = 10  # seconds after which a failed message is visible again


@dataclass
class DrillStack:
    """A local stack behind a fault proxy, its customers, and the state that spans its restarts."""

    port: int
    proxy: FaultProxy
    state: Path
    deployment: Deployment = field(init=False)
    accounts: list[Account] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)  # ids of orders answered with 201
    known: Counter[Violation] = field(default_factory=Counter)
    interrupted_mails: int = 0  # upper bound of the mails whose process died while it sent them
    _earlier_mails: list[Mail] = field(default_factory=list)
    _running: ExitStack = field(default_factory=ExitStack)

    def start(self) -> LocalStack:
        """Start the stack, with the state in which it was stopped."""
        return self._running.enter_context(running(self.port, variables=routes(self.proxy.url), state=self.state))

    def stop(self) -> None:
        """Stop the stack. Its state is kept on disk, except for the mails, which are kept here."""
        if self.accounts:
            self._earlier_mails += map(demo.mail_summary, observe.mails(f"http://127.0.0.1:{self.port}"))
        self._running.close()

    def deploy(self, progress: Progress) -> None:
        """Build, deploy to a fresh stack, load the catalog and sign customers up."""
        stack = self.start()
        progress("sam build")
        stack.build()
        progress("sam deploy")
        self.deployment = Deployment(stack.deploy(), stack.session(), stack.endpoint)
        products = catalog.read(demo.EVENTS / "catalog.json")
        catalog.load(self.deployment.dynamodb, self.deployment.resource("ProductsTable"), products)
        for n in range(_CUSTOMERS):
            email = f"customer-{n}@example.com"
            account = sign_up(self.deployment, email)
            with self.client(account) as client:
                client.introduce({"name": f"Customer {n}", "email": email})
            self.accounts.append(account)

    def shorten_retries(self) -> None:
        """Make failed messages visible again after seconds, instead of minutes to hours.

        Consumers back off with ChangeMessageVisibility. The proxy answers those calls without passing them on.
        """
        for name in self.deployment.consumers:
            self.deployment.sqs.set_queue_attributes(
                QueueUrl=self.deployment.queue_url(name), Attributes={"VisibilityTimeout": str(_RETRY_AFTER)}
            )
        self.proxy.faults.add(Rule(call="sqs.ChangeMessageVisibility", answer={}))

    def limit_consumers(self) -> None:
        """Limit the consumers' concurrency, so that two cores are enough for them and the API."""
        for name in self.deployment.consumers:
            limit_concurrency(self.deployment, name, WORKERS)

    def client(self, account: Account) -> AbstractContextManager[ShopClient]:
        """Return a connection for one customer."""
        return contextlib.closing(ShopClient(self.deployment.api_url, account.token))

    def snapshot(self) -> Snapshot:
        """Read the tables, queues and mails, with the mails from before a restart."""
        now = demo.take_snapshot(self.deployment)
        return replace(now, mails=[*self._earlier_mails, *now.mails])
