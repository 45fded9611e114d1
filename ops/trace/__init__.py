"""The history of one order: its record, its log lines and its dead letters."""
