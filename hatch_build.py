"""Lets no wheel be made without the browser modules as they are written now: a hub without them does not start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PackedModules(BuildHookInterface[Any]):
    """An editable install serves the modules as they are written, and needs none packed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a wheel is made. Ends the build with one line where a packed module is missing or too old."""
        if version == "editable":
            return
        root = Path(self.root)
        for source in sorted((root / "clients" / "browser").glob("*.js")):
            packed = root / "server" / "tallycast" / "client" / f"{source.name}.gz"
            if not packed.exists() or packed.stat().st_mtime < source.stat().st_mtime:
                self.app.abort(f"{source.name} is not packed for the wheel: run `make install-test` first")
        pages = root / "server" / "tallycast" / "dashboard"
        sources = [*pages.glob("*.js"), *pages.glob("*.css")]
        made = list((root / "server" / "tallycast" / "client").glob("dashboard-*.gz"))
        if not made or min(path.stat().st_mtime for path in made) < max(path.stat().st_mtime for path in sources):
            self.app.abort("the dashboard is not packed for the wheel: run `make install-test` first")
