"""The wheel as it would be published: built from this tree, installed, and run with nothing of the tree in reach."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hubs import OwnHub, defaults, running
from tallycast.routes import client
from web import bearer

ROOT = Path(__file__).parent.parent
BUILD = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
PACKAGES = [Path(each) for each in BUILD["targets"]["wheel"]["packages"]]
LEFT_OUT = shutil.ignore_patterns("__pycache__", "node_modules", ".*")


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python, without the network."""
    return subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, text=True, check=False)


def build(tree: Path, to: Path, target: str = "wheel") -> subprocess.CompletedProcess[str]:
    """What `python -m build` does, with the hatchling that is installed here."""
    return run("-m", "hatchling", "build", "--target", target, "--directory", to, cwd=tree)


def names(wheel: Path) -> set[str]:
    """The files of a wheel's packages."""
    with zipfile.ZipFile(wheel) as files:
        return {name for name in files.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    to = tmp_path_factory.mktemp("wheel")
    done = build(ROOT, to)
    assert done.returncode == 0, done.stderr
    (wheel,) = to.glob("tallycast-*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip has installed the wheel into."""
    target = tmp_path_factory.mktemp("installed")
    done = run("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", target, wheel, cwd=target)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def beside_it(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are started with `-S` find what is installed and its dependencies, and not this tree."""
    monkeypatch.setenv("PYTHONPATH", f"{installed}:{sysconfig.get_path('platlib')}")


@pytest.fixture
def hub(installed: Path, beside_it: None, tmp_path: Path) -> Iterator[OwnHub]:
    """A hub of the wheel."""

    def command(port: int) -> tuple[str, ...]:
        return (sys.executable, "-S", "-m", "tallycast", "serve", "--host", "127.0.0.1", "--port", str(port))

    with running(tmp_path, command=command, **defaults()) as hub:
        yield hub


def test_a_wheel_holds_every_file_of_its_packages_and_nothing_else(wheel: Path) -> None:
    here = {
        str(Path(package.name) / path.relative_to(ROOT / package))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names(wheel) == here
    for name in ("kinds.toml", "demo/index.html", "store/redis/scripts/apply.lua", "client/widget.js.gz"):
        assert f"tallycast/{name}" in here
    assert {"tallycast/py.typed", "tallycast_client/py.typed"} <= here


def test_what_is_installed_is_found_without_the_tree(installed: Path, beside_it: None, tmp_path: Path) -> None:
    modules = ", ".join(package.name for package in PACKAGES)
    script = f"import {modules}\nfor each in ({modules}): print(each.__path__[0])"
    done = run("-S", "-c", script, cwd=tmp_path)
    assert done.stdout.splitlines() == [str(installed / package.name) for package in PACKAGES], done.stderr


def test_a_hub_of_the_wheel_has_its_kinds_counts_and_serves_the_modules_and_the_demo(hub: OwnHub) -> None:
    with httpx.Client(base_url=hub.http, trust_env=False) as web:
        for name in client.NAMES:
            served = web.get(f"/client/{name}").content
            assert served == gzip.decompress((client.PACKED / f"{name}.gz").read_bytes())
        for path in ("/", "/demo/wall.html", "/demo/film.js"):
            assert web.get(path).status_code == 200, path
        assert "clap" in web.get("/v1/config").json()["kinds"]
        said = {"item": "post:1", "kind": "like", "value": 1}
        assert web.post("/v1/reactions", json=said, headers=bearer(hub, "u:1")).json()["counts"] == {"like": 1}


def test_a_source_distribution_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    done = build(ROOT, tmp_path, "sdist")
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("tallycast-*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(tmp_path, filter="data")
    done = build(tmp_path / archive.name.removesuffix(".tar.gz"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / wheel.name) == names(wheel)


def test_a_tree_that_is_not_packed_makes_no_wheel_and_says_what_to_do(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for folder in ("server", "clients"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=LEFT_OUT)
    for name in ("pyproject.toml", "README.md", "hatch_build.py"):
        shutil.copy(ROOT / name, tree)
    shutil.rmtree(tree / "server" / "tallycast" / "client")
    refused = build(tree, tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.strip() == "poll.js is not packed for the wheel: run `make install-test` first"
    assert list(tmp_path.glob("*.whl")) == []
    editable = build(tree, tmp_path, "wheel:editable")
    assert editable.returncode == 0, editable.stderr
