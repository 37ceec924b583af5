"""Options and the common ground of the fault suite."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_hub import FaultHub
from network_world import VOCAB, WEIGHTS, World, contents, shrink, write_repo

from hubloader.auto import source


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--kill-points", type=int, default=30, help="kills of a running download")
    group.addoption("--kill-seed", type=int, default=0, help="of the first of them")
    group.addoption("--machine", type=int, default=200, help="examples of the cache's machine")
    group.addoption("--race-seconds", type=float, default=8.0, help="length of the cache's races")
    group.addoption("--reads", type=int, default=10_000, help="reads under constant pruning")
    group.addoption("--chaos", type=int, default=60, help="random series of network faults")


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A folder that other users may look into; pytest's own are closed to them again and again."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture(autouse=True)
def nothing_known_of_servers() -> None:
    """A port may be one that another test's server had, which failed or asked for a pause."""
    source._HEALTH.clear()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A Hub and an empty cache; at the end the cache is sound and a rerun needs no clean-up."""
    shrink(monkeypatch, divided=False)
    files = contents()
    write_repo(tmp_path / "hub", files)
    with FaultHub(tmp_path / "hub") as hub:
        world = World(hub, tmp_path / "cache", files)
        yield world
        world.check_promises()


@pytest.fixture(params=["regular", "lfs", "ranges"])
def victim(request: pytest.FixtureRequest, world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    """The file that is hit: as one answer of the endpoint, or by a redirect, or in ranges."""
    shrink(monkeypatch, divided=request.param == "ranges")
    return VOCAB if request.param == "regular" else WEIGHTS
