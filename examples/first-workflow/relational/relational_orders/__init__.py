"""Orders in a relational database, with an outbox table and a relay."""
