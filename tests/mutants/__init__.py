"""Tests the tests: takes one mechanism away at a time, and looks whether a test goes red."""
