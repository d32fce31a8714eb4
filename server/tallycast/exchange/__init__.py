"""Counts and values out of a store, and into one: NDJSON and CSV, a piece at a time."""
