"""Which conditions are large: their tables are written and read in parts."""

HELD = 1 << 18
"""Restarts whose tables are made at once. Of more, figures and comparisons are of the first so many.

Restarts do not know of each other, so that the first ones are a random sample of all.
"""
