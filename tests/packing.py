"""Makes of the browser's modules the small files that a release holds: SDK, elements with the SDK in them, dashboard.

tests/browser/pack.js and pack_dashboard.js join and shorten them with esbuild and terser, and Zopfli packs them.

    PYTHONPATH=tests .venv/bin/python -m packing [--docs]

`make test` runs it, and so must whoever builds a wheel. With --docs it also writes the integrity values into
docs/embed.md, which is to be done once a module's change is done; tests/test_client_files.py tells when they are old.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import zopfli.gzip  # type: ignore[import-untyped]

from nodejs import HERE, LOCK, install, node
from tallycast.routes import client, dashboard

PACK = HERE / "pack.js"
PACK_DASHBOARD = HERE / "pack_dashboard.js"
EMBED = Path(__file__).parent.parent / "docs" / "embed.md"


def minified(name: str) -> bytes:
    """A module as it is served, before it is packed."""
    install()
    done = node(PACK, client.SOURCES, name)
    assert done.returncode == 0, done.stderr
    return done.stdout.encode()


def pack_dashboard() -> None:
    """Renew the dashboard's packed files, where its sources are others."""
    kinds = {kind: dashboard.packed_path(kind) for kind in ("js", "css")}
    for old in client.PACKED.glob("dashboard-*.gz"):
        if old not in kinds.values():
            old.unlink()
    if not all(path.exists() for path in kinds.values()):
        install()
        done = node(PACK_DASHBOARD, dashboard.SOURCES, *dashboard.STYLES)
        assert done.returncode == 0, done.stderr
        made = json.loads(done.stdout)
        for kind, path in kinds.items():
            path.write_bytes(zopfli.gzip.compress(made[kind].encode(), numiterations=15))  # no time in it
    for kind, path in kinds.items():
        print(f"dashboard's {kind}: {path.stat().st_size} bytes")


def main(*, docs: bool) -> None:
    """Renew the packed files, where their sources are newer, and what the docs say of them."""
    text = EMBED.read_text("utf-8")
    client.PACKED.mkdir(exist_ok=True)
    changed_s = max(path.stat().st_mtime for path in (*client.SOURCES.glob("*.js"), PACK, LOCK))
    for name in client.NAMES:
        made = client.PACKED / f"{name}.gz"
        if not made.exists() or made.stat().st_mtime < changed_s:
            made.write_bytes(zopfli.gzip.compress(minified(name), numiterations=100))  # no time in it
        packed = made.read_bytes()
        integrity = client.File(packed).integrity
        row = rf"(?m)^(\| `/client/{client.RELEASE}/{re.escape(name)}` \| `)[^`]*"
        text, rows = re.subn(row, lambda start, value=integrity: start[1] + value, text)  # type: ignore[misc]
        assert rows == 1, f"{EMBED} has no row for {name}"
        print(f"{name}: {len(packed)} bytes, {integrity}")
    pack_dashboard()
    if docs:
        EMBED.write_text(text, "utf-8")


if __name__ == "__main__":
    main(docs="--docs" in sys.argv)
