"""The shop: orders, customers, payments and sales, built on handoff."""
