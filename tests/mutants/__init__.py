"""Tests of the tests: remove one mechanism at a time and check that a test fails."""
