"""The browser modules are type-checked by tsc, strictly, from their JSDoc."""

from __future__ import annotations

from pathlib import Path

from nodejs import HERE, install, node

CHECKED = (HERE.parent.parent / "clients" / "browser", HERE.parent.parent / "server" / "tallycast" / "demo")


def test_the_browser_modules_have_no_type_errors() -> None:
    install()
    done = node(HERE / "node_modules" / "typescript" / "bin" / "tsc", "--project", HERE, "--listFiles")
    assert done.returncode == 0, done.stdout + done.stderr
    checked = {Path(line) for line in done.stdout.splitlines()}
    assert {module for folder in CHECKED for module in folder.glob("*.js")} <= checked


def test_the_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (HERE / "package-lock.json").read_text("utf-8")
