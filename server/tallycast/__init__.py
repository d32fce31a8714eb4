"""Tallycast: a push server for reaction counts that are exact and live."""

__version__ = "0.1.0"
