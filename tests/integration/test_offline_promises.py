"""A cached tokenizer loads offline with no internet socket opened and nothing written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hubloader.mirror import MirrorServer

NAME = "distilbert-base-uncased-finetuned-sst-2-english"
LOAD = f"""
from hubloader import AutoTokenizer
print(AutoTokenizer.from_pretrained({NAME!r})("very happy")["input_ids"])
"""
IDS = "[101, 2200, 3407, 102]"
# Reports every socket and every change of the file system that the interpreter makes.
AUDIT = """
import json, os, sys
seen = []
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.chmod",
           "os.chown", "os.truncate", "os.utime", "shutil.move", "tempfile.mkstemp"}
def watch(event, arguments):
    if event == "socket.__new__":
        seen.append(["socket", str(arguments[1])])
    elif event in ("socket.connect", "socket.getaddrinfo"):
        seen.append([event])
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES:
        seen.append(["write", str(arguments[0])])
    elif event in CHANGES:
        seen.append([event, str(arguments[0])])
sys.addaudithook(watch)
"""
REPORT = "\nprint(json.dumps(seen))"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A cache that one online load filled."""
    home = tmp_path_factory.mktemp("prefetched")
    root = Path(request.config.rootpath) / "cache_fixtures" / "hub"
    with MirrorServer(root) as hub:
        run(LOAD, {"HF_HOME": str(home), "HF_ENDPOINT": hub.url})
    return home


def run(code: str, env: dict[str, str], *prefix: str) -> str:
    base = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUBLOADER_"))}
    ran = subprocess.run(
        [*prefix, sys.executable, "-B", "-W", "error", "-c", code],
        env={**base, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def offline(home: Path) -> dict[str, str]:
    return {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}


def snapshot_of(home: Path) -> dict[str, tuple[int, int]]:
    states = ((path, path.lstat()) for path in sorted(home.rglob("*")))
    return {str(path): (state.st_mtime_ns, state.st_size) for path, state in states}


def test_the_interpreter_opens_no_socket_and_writes_nothing(cache: Path):
    before = snapshot_of(cache)

    ids, seen = run(AUDIT + LOAD + REPORT, offline(cache)).splitlines()

    assert ids == IDS
    assert json.loads(seen) == []
    assert snapshot_of(cache) == before


def test_the_process_opens_no_internet_socket(cache: Path, tmp_path: Path):
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    log = tmp_path / "calls"

    ids = run(LOAD, offline(cache), "strace", "-f", "-e", "trace=socket", "-o", str(log))

    assert ids.strip() == IDS
    assert re.findall(r"socket\(AF_INET6?", log.read_text()) == []


def test_strace_would_see_an_internet_socket(tmp_path: Path):
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    log = tmp_path / "calls"

    run("import socket; socket.socket()", {}, "strace", "-f", "-e", "trace=socket", "-o", str(log))

    assert "socket(AF_INET" in log.read_text()


@pytest.fixture
def read_only(cache: Path, tmp_path: Path):
    """The same cache on a file system that the kernel refuses to write to."""
    mount = tmp_path / "mount"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if made.returncode != 0:
        pytest.skip("needs the right to mount")
    try:
        shutil.copytree(cache, mount / "home", symlinks=True)
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        yield mount / "home"
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_a_read_only_file_system_serves_in_silence(read_only: Path):
    with pytest.raises(OSError, match="Read-only"):
        (read_only / "probe").touch()

    assert run(LOAD, offline(read_only)).strip() == IDS


def test_a_copied_cache_serves_too(cache: Path, tmp_path: Path):
    shutil.copytree(cache, tmp_path / "copy", symlinks=True)

    assert run(LOAD, offline(tmp_path / "copy")).strip() == IDS


def test_what_is_not_cached_is_named_and_no_socket_is_opened(cache: Path):
    code = (
        AUDIT
        + """
from hubloader import AutoTokenizer
from hubloader.errors import CacheMiss
try:
    AutoTokenizer.from_pretrained("org/never-seen")
except CacheMiss as error:
    print(json.dumps([error.repo_id, error.offline, error.exit_code]))
"""
        + REPORT
    )
    before = snapshot_of(cache)

    error, seen = run(code, offline(cache)).splitlines()

    assert json.loads(error) == ["org/never-seen", True, 6]
    assert json.loads(seen) == []
    assert snapshot_of(cache) == before
