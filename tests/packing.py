"""Makes of the browser's modules the small files that a release holds: terser makes them short, Zopfli packs them.

    PYTHONPATH=tests .venv/bin/python -m packing [--docs]

`make test` runs it, and so must whoever builds a wheel. With --docs it also writes the integrity values into
docs/embed.md, which is to be done once a module's change is done; tests/test_client_files.py tells when they are old.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import zopfli.gzip  # type: ignore[import-untyped]

from nodejs import MODULES, install, node
from tallycast.routes import client

MINIFY = ("--module", "--ecma", "2022", "--mangle", "--compress", "passes=3,unsafe_arrows")
EMBED = Path(__file__).parent.parent / "docs" / "embed.md"


def minified(name: str) -> bytes:
    """A module as it is served, before it is packed."""
    install()
    done = node(MODULES / "terser" / "bin" / "terser", client.SOURCES / name, *MINIFY)
    assert done.returncode == 0, done.stderr
    return done.stdout.encode()


def main(*, docs: bool) -> None:
    """Renew the packed files, where their sources are newer, and what the docs say of them."""
    text = EMBED.read_text("utf-8")
    client.PACKED.mkdir(exist_ok=True)
    for name in client.NAMES:
        made, source = client.PACKED / f"{name}.gz", client.SOURCES / name
        if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
            made.write_bytes(zopfli.gzip.compress(minified(name), numiterations=100))  # no time in it
        packed = made.read_bytes()
        integrity = client.File(packed).integrity
        row = rf"(?m)^(\| `/client/{client.RELEASE}/{re.escape(name)}` \| `)[^`]*"
        text, rows = re.subn(row, lambda start, value=integrity: start[1] + value, text)  # type: ignore[misc]
        assert rows == 1, f"{EMBED} has no row for {name}"
        print(f"{name}: {len(packed)} bytes, {integrity}")
    if docs:
        EMBED.write_text(text, "utf-8")


if __name__ == "__main__":
    main(docs="--docs" in sys.argv)
