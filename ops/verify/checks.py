"""All checks, in the order in which they run: waits overlap, and the API is quiet during the idle minutes."""

from ops.verify import alarms, burst, canary, logs, metrics, orders, own_key, pages, poison, replaying

CHECKS = (
    orders.ORDER,
    poison.CHECK,
    alarms.CHECK,
    logs.AUDIT,
    logs.QUERIES,
    own_key.CHECK,
    pages.CHECK,
    orders.IDLE,
    orders.PACKING,
    metrics.CHECK,
    replaying.CHECK,
    burst.CHECK,
    canary.CHECK,
)
