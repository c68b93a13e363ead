"""Intervals, tests and shares over cases that may belong together."""
