"""Pages of another site with the elements in them, and the hub that has the site on its list."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext

from embedding import Embed, OpenEmbed, Site, serving
from hubs import OwnHub
from window import NewPerson, Start


@pytest.fixture
def site() -> Iterator[Site]:
    """A site whose pages hold what `site.body` says, and at first four reactions to post:1."""
    site = Site()
    with serving(site.server):
        yield site


@pytest.fixture
def hub(start: Start, site: Site) -> OwnHub:
    """A hub whose list has the site, and to which its pages speak."""
    hub = start(origins=site.origin, reactions_per_second=0)
    site.hub = hub.http
    return hub


@pytest_asyncio.fixture(loop_scope="session")
async def embed(site: Site, start: Start, person: NewPerson) -> AsyncIterator[OpenEmbed]:
    """Opens the site's page: `await embed()` as a new person, `await embed(context)` as one who is there.

    When the test ends, and the hub still runs, no page may have seen an error, a line from Tallycast in the console
    that the test has not taken away, a violation of the policy, or a shift of its layout.
    """
    opened: list[Embed] = []

    async def embed(context: BrowserContext | None = None, **options: object) -> Embed:
        opened.append(await Embed.open(context or await person(**options), site))
        return opened[-1]

    yield embed
    for each in opened:
        assert each.errors == []
        assert each.warnings == []
        assert await each.watched("violations") == []
        assert await each.watched("shifts") == []
