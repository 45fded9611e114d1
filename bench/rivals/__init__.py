"""The same order built in other ways: as a durable function, with a relay from DynamoDB Streams, and computed.

`make rivals` runs them and writes docs/reference/rivals.md. Durable functions run on AWS's local test runner.
"""
