"""Every exit code, and what is shown, on a terminal: as a person at a keyboard meets it."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from hubloader.cache.store import CacheStore
from hubloader.locking.lockfile import format_lock, parse_lock
from hubloader.locking.values import Lock
from hubloader.mirror import MirrorServer
from hubloader.types import RepoId

TINY = "fixtures/bert-tiny-sentiment"
NOWHERE = "http://127.0.0.1:1"
fcntl = pytest.importorskip("fcntl")
pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")


@dataclass(frozen=True)
class Shown:
    code: int
    text: str


Run = Callable[..., Shown]


@pytest.fixture
def hub(fixture_hub: Path) -> Iterator[MirrorServer]:
    with MirrorServer(fixture_hub) as server:
        yield server


@pytest.fixture
def run(hub: MirrorServer, tmp_path: Path) -> Run:
    (tmp_path / "models.toml").write_text(f'[models.sentiment]\nrepo = "{TINY}"\n')

    def call(*arguments: str, size: tuple[int, int] = (24, 100), **environment: str) -> Shown:
        env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-m", "hubloader", *arguments],
            cwd=tmp_path,
            env={**env, **environment},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        shown = b"".join(iter(lambda: read(ours), b""))
        os.close(ours)
        return Shown(process.wait(timeout=300), shown.decode())

    return call


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's end of a terminal
        return b""


def too_large(folder: Path) -> None:
    """A lock whose weights fit on no disk."""
    path = folder / "models.lock"
    (model,) = parse_lock(path.read_text()).models
    files = tuple(replace(f, size=2**60) if f.git_sha1 is None else f for f in model.files)
    path.write_text(format_lock(Lock((replace(model, files=files),))))


def test_a_bar_is_shown_and_the_result_below_it(run: Run) -> None:
    synced = run("sync")
    again = run("sync")
    quiet = run("prefetch", "fixtures/bert-tiny-sharded", "-q")

    assert (synced.code, again.code, quiet.code) == (0, 0, 0)
    assert "Fetching" in synced.text
    assert "fetched config.json" not in synced.text  # that is for logs
    assert "Fetching" not in again.text
    assert "was there" in again.text
    assert "Fetching" not in quiet.text


def test_a_terminal_that_has_no_size_gets_a_bar(run: Run) -> None:
    assert (
        "Fetching" in run("sync", size=(0, 0)).text
    )  # `docker run -t` without a terminal around it


def test_the_variables_of_a_ci_do_not_take_the_bar_from_a_terminal(run: Run) -> None:
    shown = run("sync", GITHUB_ACTIONS="true")

    assert "Fetching" in shown.text
    assert "::group::" not in shown.text


def test_a_document_is_a_line_of_its_own(run: Run) -> None:
    shown = run("lock", "--json")

    lines = [line for line in shown.text.splitlines() if line.startswith("{")]
    assert json.loads(lines[-1])["ok"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["ls"], 0, TINY),
        (["import", "models.toml"], 5, "no tar"),
        (["sync", "--frob"], 2, "--frob"),
        (["info", "no/such"], 3, "no such repository"),
        (["prefetch", "fixtures/bert-tiny-gated"], 4, "gated"),
        (["path", "no/such"], 6, "not in the cache"),
        (["lock", "--check", "-f", "other.toml"], 7, "not locked"),
        (["sync", "-f", "denied.toml"], 9, "licence"),
        (["prefetch", "no/such", "--endpoint", NOWHERE, "--retries", "0"], 75, "no connection"),
    ],
)
def test_an_exit_code_is_the_same_on_a_terminal(
    run: Run, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    assert run("sync").code == 0
    entry = (tmp_path / "models.toml").read_text()
    (tmp_path / "other.toml").write_text(entry)
    (tmp_path / "denied.toml").write_text(f'{entry}[policy]\nlicenses = ["none"]\n')

    shown = run(*arguments)

    assert shown.code == code, shown.text
    assert said in shown.text
    assert ("error: " in shown.text) == (code != 0)
    assert "Traceback" not in shown.text
    assert re.findall(r"\x1b\[[0-9;]*m", shown.text) == []


def test_a_full_disk_a_held_lock_and_a_bad_variable_have_their_codes(
    run: Run, tmp_path: Path
) -> None:
    assert run("lock").code == 0
    (model,) = parse_lock((tmp_path / "models.lock").read_text()).models
    weights = next(file for file in model.files if file.git_sha1 is None)
    store = CacheStore(tmp_path / "home/hub")

    with store.blob_lock(RepoId.parse(TINY), weights.sha256):
        held = run("sync", "--wait-lock", "0.2")
    odd = run("sync", HUBLOADER_JOBS="", HUBLOADER_VERIFY="perhaps")
    too_large(tmp_path)
    full = run("sync", "--frozen")

    assert (held.code, odd.code, full.code) == (10, 2, 8)
    assert str(os.getpid()) in held.text
