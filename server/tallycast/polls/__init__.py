"""Polls and quizzes: what one is and may become (rules), and those of a site, open, closed and counted (polls)."""

from tallycast.polls.polls import Polls
from tallycast.polls.rules import Poll

__all__ = ["Poll", "Polls"]
