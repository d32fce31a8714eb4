"""/v1/admin/polls: polls made, listed, changed, closed and deleted. What may be changed when: polls/rules.py."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, get_args

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tallycast.access import Admin
from tallycast.errors import Refused
from tallycast.kinds import POLL
from tallycast.polls import Poll, Polls, told
from tallycast.polls.rules import FIELDS, State
from tallycast.routes.admin.requests import admin_of, fields, json_body, moment, nothing, once, reply, whole

STATES = get_args(State)


async def listed(request: Request) -> Response:
    """GET /v1/admin/polls: those that the key is good for, the newest first."""
    admin = await admin_of(request, "read")
    limit = whole(request, "limit", default=100, low=1, high=100)
    state, after = request.query_params.get("state"), request.query_params.get("after", "")
    if state is not None and state not in STATES:
        raise Refused("bad_request", f"state is one of {', '.join(STATES)}")
    polls = _polls(request)
    await polls.refresh()
    now_s = polls.now_s()
    its = [poll for poll in polls.polls.values() if poll.item.startswith(admin.prefix)]
    its.sort(key=lambda poll: (poll.created_at, poll.id), reverse=True)
    ids = [poll.id for poll in its]
    if after and after not in ids:
        raise Refused("bad_request", "after is the id of a poll, the last one of the page before")
    rest = its[ids.index(after) + 1 :] if after else its
    wanted = [poll for poll in rest if state in (None, poll.state(now_s))]
    page = wanted[:limit]
    return reply({"polls": await _told(request, page), "cursor": page[-1].id if len(wanted) > limit else ""})


async def make(request: Request) -> Response:
    """POST /v1/admin/polls: 201 with the poll."""
    admin = await admin_of(request, "write")
    body = await json_body(request)
    fields(body, "id", *FIELDS)
    wish = _wish(body)
    id = wish.pop("id") if "id" in wish else _drawn(admin)
    if not isinstance(id, str):
        raise Refused("bad_request", "id must be a text")
    polls = _polls(request)

    async def created() -> Response:
        poll = polls.make(wish, id)
        request.app.state.site.access.permit(admin, "write", poll.item)
        await _note(request, admin.who, "poll.create", poll, question=poll.question)
        await polls.create(poll)
        return reply((await _told(request, [poll]))[0], 201)

    return await once(request, admin, created)


async def one(request: Request) -> Response:
    """GET /v1/admin/polls/{id}"""
    await admin_of(request, "read", _item(request))
    polls = _polls(request)
    await polls.refresh()
    return await _answer(request, await polls.find(_id(request)))


async def change(request: Request) -> Response:
    """PATCH /v1/admin/polls/{id}"""
    admin = await admin_of(request, "write", _item(request))
    body = await json_body(request)
    fields(body, *FIELDS)
    wish = _wish(body)
    polls = _polls(request)
    await _note(request, admin.who, "poll.change", await polls.find(_id(request)), **wish)
    return await _answer(request, await polls.change(_id(request), wish))


async def close(request: Request) -> Response:
    """POST /v1/admin/polls/{id}/close"""
    admin = await admin_of(request, "write", _item(request))
    polls = _polls(request)
    await _note(request, admin.who, "poll.close", await polls.find(_id(request)))
    return await _answer(request, await polls.close(_id(request)))


async def delete(request: Request) -> Response:
    """DELETE /v1/admin/polls/{id}: with all votes."""
    admin = await admin_of(request, "moderate", _item(request))
    polls = _polls(request)
    await _note(request, admin.who, "poll.delete", await polls.find(_id(request)))
    await polls.delete(_id(request))
    return nothing()


def _polls(request: Request) -> Polls:
    polls: Polls = request.app.state.site.polls
    return polls


def _id(request: Request) -> str:
    return str(request.path_params["id"])


def _item(request: Request) -> str:
    return POLL + _id(request)


def _wish(body: dict[str, Any]) -> dict[str, Any]:
    """The fields of the body, times as Unix seconds. Raises Refused (`bad_request`)."""
    wish = dict(body)
    for name in ("opens_at", "closes_at"):
        if name in wish:
            wish[name] = moment(wish[name])
    return wish


def _drawn(admin: Admin) -> str:
    """A new id that the key is good for, where it is good for polls."""
    return admin.prefix.removeprefix(POLL) * admin.prefix.startswith(POLL) + secrets.token_hex(5)


async def _note(request: Request, who: str, act: str, poll: Poll, **more: object) -> None:
    await request.app.state.site.audit.note(who, act, {"poll": poll.id, **more})


async def _answer(request: Request, poll: Poll) -> Response:
    return reply((await _told(request, [poll]))[0])


async def _told(request: Request, polls: Sequence[Poll]) -> list[dict[str, Any]]:
    views = await request.app.state.service.hub.read([poll.item for poll in polls], None)
    now_s = _polls(request).now_s()
    return [told.full(poll, view.snapshot, now_s) for poll, view in zip(polls, views, strict=True)]


routes: list[BaseRoute] = [
    Route("/v1/admin/polls", listed),
    Route("/v1/admin/polls", make, methods=["POST"]),
    Route("/v1/admin/polls/{id}", one),
    Route("/v1/admin/polls/{id}", change, methods=["PATCH"]),
    Route("/v1/admin/polls/{id}", delete, methods=["DELETE"]),
    Route("/v1/admin/polls/{id}/close", close, methods=["POST"]),
]
