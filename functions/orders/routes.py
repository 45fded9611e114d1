"""All operations of the API, by route: importing a module of routes registers its operations."""

import order_routes
import profile_routes
import refund_routes
import report_routes
import sandbox_routes
import service_routes
import shipment_routes
from operations import OPERATIONS, App, Operation

__all__ = [
    "OPERATIONS",
    "App",
    "Operation",
    "order_routes",
    "profile_routes",
    "refund_routes",
    "report_routes",
    "sandbox_routes",
    "service_routes",
    "shipment_routes",
]
