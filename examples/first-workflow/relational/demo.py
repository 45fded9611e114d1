"""Orders in a relational database: place some, and relay their events to a bus.

    python demo.py place --orders 3
    python demo.py relay --bus handoff-bus

Without anything to install, the database is a SQLite file. Another one is named by its SQLAlchemy URL:
``--database postgresql+psycopg://user@host/shop``. The bus is found by the AWS environment, and AWS_ENDPOINT_URL.
"""

import argparse
import uuid

from relational_orders.placing import place
from relational_orders.relay import Relay
from relational_orders.tables import Base, OutboxRow
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session

from handoff import bus


def main() -> None:
    """Run one of the two commands."""
    parser = argparse.ArgumentParser(description="Place orders in a database, or relay their events.")
    parser.add_argument("--database", default="sqlite:///shop.db", help="SQLAlchemy URL (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("place").add_argument("--orders", type=int, default=3)
    relaying = commands.add_parser("relay")
    relaying.add_argument("--bus", required=True, help="name of the EventBridge bus")
    given = parser.parse_args()

    engine = create_engine(given.database)
    Base.metadata.create_all(engine)
    if given.command == "place":
        with Session(engine) as session, session.begin():
            for _ in range(given.orders):
                place(session, "ada@example.com", key=str(uuid.uuid4()), total=1250)
    else:
        relay = Relay(engine, bus.connect_patiently(given.bus))
        print(f"{sum(iter(relay.run_once, 0))} events published")  # noqa: T201
    with Session(engine) as session:
        print(f"{session.scalar(select(func.count()).select_from(OutboxRow))} events in the outbox")  # noqa: T201


if __name__ == "__main__":
    main()
