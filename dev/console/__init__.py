"""The operator's console with sample orders and fault switches, for the local stack."""
