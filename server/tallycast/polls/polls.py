"""A site's polls: which votes are taken, who sees how they stand, and that each is closed once.

Each hub refuses votes from `closes_at` on by its own clock. What it took before is counted: it has TAKEN_S to get from
there to the store, after which even that is refused. At SETTLED_S after `closes_at` every hub tries to write that the
poll has closed, and the store lets one of them: from then on the numbers are final, and everybody may see them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from tallycast.audit import Audit
from tallycast.errors import Refused, Unavailable
from tallycast.hub import Hub
from tallycast.identity import Actor
from tallycast.intake import Intake
from tallycast.kinds import POLL, Reaction
from tallycast.mirrors import Mirrors
from tallycast.polls import rules
from tallycast.polls.rules import Poll
from tallycast.store.moderation import Moderation
from tallycast.store.records import ANY
from tallycast.veils import Veil

log = logging.getLogger("tallycast.polls")

SPACE = "polls"
MOST_POLLS = 10_000
TAKEN_S = 0.5
SETTLED_S = 1.0
SHUT_S = 60.0  # how long late votes may lie about: far longer than any batch waits
LOOK_S = 1.0  # between two looks at the clock, which may jump
MOST_TRIES = 8  # to change a poll that others change at the same time


class Polls:
    """The polls of a site, as one of its hubs has them. `clock_s` gives Unix time in seconds."""

    def __init__(
        self,
        mirrors: Mirrors,
        hub: Hub,
        intake: Intake,
        audit: Audit,
        moderation: Moderation,
        *,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._mirror = mirrors.of(SPACE, rules.load, Poll.dump)
        self._hub = hub
        self._intake = intake
        self._audit = audit
        self._moderation = moderation
        self._now_s = clock_s
        self._name = secrets.token_hex(8)  # of this hub among those that want to close a poll
        self._known: dict[str, Poll] = {}  # as this hub's viewers were last told of them
        self._unnoted: list[Poll] = []  # that this hub has closed, which the audit log does not have yet
        self._moved = asyncio.Event()
        self._mirror.watch(self._take)

    # Votes

    def check(self, actor: Actor, reaction: Reaction, address: str) -> None:
        """Let a vote pass if its poll takes it. A service.Guard."""
        poll = self._mirror.get(reaction.item[5:])
        if poll is None:
            if not self._mirror.loaded:
                raise Unavailable("this hub does not know its polls yet")
            raise Refused("unknown_kind", f"there is no poll {reaction.item[5:]}: an administrator makes them")
        rules.check_vote(poll, reaction.kind, self._now_s())

    # The polls

    @property
    def polls(self) -> Mapping[str, Poll]:
        """All polls by id, as this hub knows them: at most a second old."""
        return self._mirror

    def now_s(self) -> float:
        """This hub's clock, by which it opens and closes them."""
        return self._now_s()

    async def refresh(self) -> None:
        """Hear at once of what other hubs have done. Raises Unavailable."""
        await self._mirror.refresh()

    async def find(self, id: str) -> Poll:
        """The poll of that id, made at whichever hub. Raises Refused (`not_found`), Unavailable."""
        if id not in self._mirror:
            await self._mirror.refresh()
        poll = self._mirror.get(id)
        if poll is None:
            raise Refused("not_found", f"there is no poll {id[:64]!r}")
        return poll

    def make(self, wish: Mapping[str, Any], id: str) -> Poll:
        """A poll of these fields, not yet kept. Raises Refused as rules.make()."""
        return rules.make(id, wish, self._now_s())

    async def create(self, poll: Poll) -> None:
        """Keep a new poll. Raises Refused (`conflict` where one of its id, or votes for one, or too many are there)."""
        await self._mirror.refresh()
        if len(self._mirror) >= MOST_POLLS:
            raise Refused("conflict", f"there are {MOST_POLLS} polls: delete some that nobody needs any more")
        if await self._counts(poll):
            raise Refused("conflict", f"there are votes of an earlier poll {poll.id}: choose another id")
        if not await self._mirror.put(poll.id, poll, None):
            raise Refused("conflict", f"there is a poll {poll.id}: choose another id")

    async def change(self, id: str, wish: Mapping[str, Any]) -> Poll:
        """The poll as changed. Raises Refused: what rules.change() has, `not_found`, Unavailable."""

        async def changed(poll: Poll) -> Poll:
            return rules.change(poll, wish, self._now_s(), voted=bool(await self._counts(poll)))

        return await self._rewrite(id, changed)

    async def close(self, id: str) -> Poll:
        """The poll, which closes once all hubs must have heard of it. Raises Refused (`not_found`), Unavailable."""

        async def changed(poll: Poll) -> Poll:
            return rules.close(poll, self._now_s())

        return await self._rewrite(id, changed)

    async def delete(self, id: str) -> None:
        """Take a poll away with all its votes. Raises Refused (`not_found`), Unavailable."""
        poll = await self.find(id)
        await self._mirror.delete(id, ANY)
        if poll.state(self._now_s()) == "open":
            await asyncio.sleep(rules.NOTICE_S)  # until all hubs have heard of it, and take no more votes
        self._hub.note(await self._moderation.delete(poll.item))
        self._hub.flush()

    async def _rewrite(self, id: str, changed: Callable[[Poll], Any]) -> Poll:
        for _ in range(MOST_TRIES):
            await self._mirror.refresh()
            poll = await self.find(id)
            after: Poll = await changed(poll)
            if after == poll or await self._mirror.put(id, after, poll):
                return after
        raise Unavailable(f"poll {id} is being changed by others")

    async def _counts(self, poll: Poll) -> Mapping[str, int]:
        ((snapshot, _),) = await self._hub.read([poll.item], None)
        return snapshot.counts

    # What goes on

    async def run(self) -> None:
        """Close what is due, until cancelled."""
        trouble = ""
        while True:
            try:
                await self._work()
                trouble = ""
            except Unavailable as unavailable:
                if not trouble:
                    log.warning("polls wait: %s", unavailable.message)
                trouble = unavailable.message
            except Exception:
                log.exception("closing polls failed")
            self._moved.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), self._rest_s())

    async def _work(self) -> None:
        """Shut what is to be shut now, and close what is to be closed."""
        now_s = self._now_s()
        ending = [poll for poll in self._mirror.values() if poll.closes_at <= now_s]
        self._intake.shut = {p.item for p in ending if p.closes_at + TAKEN_S <= now_s < p.closes_at + SHUT_S}
        for poll in ending:
            if poll.closed_at is None and poll.closes_at + SETTLED_S <= now_s:
                await self._close(poll, now_s)
        while self._unnoted:
            poll = self._unnoted[0]
            votes = poll.votes(await self._counts(poll))
            await self._audit.note("hub", "poll.closed", {"poll": poll.id, "votes": votes})
            self._unnoted.remove(poll)

    async def _close(self, poll: Poll, now_s: float) -> None:
        # False: another hub was first, or the poll goes on. Either way the mirror has it now.
        await self._mirror.put(poll.id, poll._replace(closed_at=now_s, closer=self._name), poll)

    def _rest_s(self) -> float:
        """How long there is nothing to do."""
        now_s = self._now_s()
        dues = [
            poll.closes_at + after_s
            for poll in self._mirror.values()
            if poll.closed_at is None and poll.closes_at + SETTLED_S > now_s
            for after_s in (TAKEN_S, SETTLED_S)
        ]
        return max(min([LOOK_S, *(due_s - now_s for due_s in dues if due_s > now_s)]), 0.01)

    def _take(self) -> None:
        """The mirror has changed: show of each poll what may be seen of it now."""
        known, self._known = self._known, dict(self._mirror)
        for id in known.keys() | self._known.keys():
            poll = self._known.get(id)
            if poll == known.get(id):
                continue
            self._hub.cover(POLL + id, Veil.HIDDEN if poll is None else poll.veil)
            if poll is not None and poll.closer == self._name:
                log.info("poll %s has closed", id)
                self._unnoted.append(poll)
        self._moved.set()
