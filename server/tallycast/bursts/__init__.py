"""Bursts: newcomers from few networks who swell one item's counts. How it decides: docs/bursts.md."""

from tallycast.bursts.bursts import Bursts

__all__ = ["Bursts"]
