"""The SDK's state machine, run by Node's own test runner, and the npm package as it would be published."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import tallycast
from nodejs import HERE, MODULES, install, node, npm

CLIENT = HERE.parent.parent / "clients" / "browser"


def test_the_state_machine_keeps_to_the_hubs_truth() -> None:
    install()
    done = node("--test", *sorted((HERE / "sdk").glob("*.test.js")))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_npm_package_is_ready_to_publish(tmp_path: Path) -> None:
    """Packed as `npm publish` would, its types made by `prepack`, and judged by publint."""
    install()
    package = tmp_path / "tallycast"
    shutil.copytree(CLIENT, package, ignore=shutil.ignore_patterns("node_modules", "*.d.ts", "*.tgz"))
    packed = npm("pack", "--offline", "--pack-destination", tmp_path, cwd=package)
    assert packed.returncode == 0, packed.stdout + packed.stderr
    (archive,) = tmp_path.glob("*.tgz")
    with tarfile.open(archive) as files:
        assert set(files.getnames()) == {
            f"package/{name}"
            for name in (
                "README.md",
                "package.json",
                "poll.d.ts",
                "poll.js",
                "tallycast.d.ts",
                "tallycast.js",
                "widget.d.ts",
                "widget.js",
            )
        }
        types = files.extractfile("package/tallycast.d.ts")
        assert types is not None
        assert "internals" not in types.read().decode()
    judged = node(MODULES / "publint" / "src" / "cli.js", "--strict", archive)
    assert judged.returncode == 0, judged.stdout + judged.stderr
    assert "All good" in judged.stdout, judged.stdout


def test_the_npm_package_has_the_projects_version() -> None:
    assert json.loads((CLIENT / "package.json").read_text("utf-8"))["version"] == tallycast.__version__
