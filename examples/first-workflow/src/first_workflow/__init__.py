"""A shop's order service, whose confirmation mail moves from the request to a consumer, step by step."""
