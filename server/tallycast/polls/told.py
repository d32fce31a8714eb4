"""A poll as it is told: to everybody, as far as it is for them, and to administrators. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tallycast.polls.rules import Poll
from tallycast.store.base import Snapshot
from tallycast.veils import version


def public(poll: Poll, snapshot: Snapshot, mine: Mapping[str, int] | None, now_s: float) -> dict[str, Any]:
    """GET /v1/polls/{id}, for somebody who says `mine` of its item, None for nobody in particular."""
    shown = poll.veil.shows(mine)
    told = _told(poll, snapshot, now_s) | {
        "v": version(snapshot) if shown else snapshot.v,
        "counts": poll.votes(snapshot.counts) if shown else None,
    }
    if mine is not None:
        told["mine"] = poll.chosen(mine)
    if poll.answers and poll.closed_at is not None:
        told["answers"] = poll.answers
    return told


def full(poll: Poll, snapshot: Snapshot, now_s: float) -> dict[str, Any]:
    """What administrators are told: how it stands, and the right answers, at any time."""
    votes = poll.votes(snapshot.counts)
    return _told(poll, snapshot, now_s) | {
        "created_at": poll.created_at,
        "answers": poll.answers,
        "counts": votes,
        "votes": sum(votes),
    }


def _told(poll: Poll, snapshot: Snapshot, now_s: float) -> dict[str, Any]:
    return {
        "id": poll.id,
        "item": poll.item,
        "question": poll.question,
        "options": poll.options,
        "choice": poll.choice,
        "results": poll.results,
        "quiz": bool(poll.answers),
        "opens_at": poll.opens_at,
        "closes_at": poll.closes_at,
        "closed_at": poll.closed_at,
        "state": poll.state(now_s),
        "now": now_s,
        "v": snapshot.v,
    }
