"""Being signed in to the dashboard: sessions, and the share links that let others look."""

from tallycast.sessions.links import Link, Links, dump_link, load_link
from tallycast.sessions.sessions import Session, Sessions

__all__ = ["Link", "Links", "Session", "Sessions", "dump_link", "load_link"]
