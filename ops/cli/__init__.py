"""The commands of `handoff`: options, output and errors."""
