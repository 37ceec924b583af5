"""A warm load without a network: what it imports, opens and writes. Run in its own process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hubloader.auto.opening import open_files
from hubloader.auto.source import HubArguments
from hubloader.mirror import MirrorServer

NAME = "org/tiny"
SLOW = ("requests", "filelock", "tqdm", "numpy", "huggingface_hub", "concurrent.futures", "socket")
LOAD = """
import json, os, sys
sockets, writes = [], []
def watch(event, arguments):
    if event.startswith("socket."):
        sockets.append(event)
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (
        os.O_WRONLY | os.O_RDWR | os.O_CREAT
    ):
        writes.append(str(arguments[0]))
    if event in ("os.mkdir", "os.rename", "os.remove", "os.symlink", "os.link"):
        writes.append(event)
sys.addaudithook(watch)
from hubloader.auto.opening import open_files
from hubloader.auto.source import HubArguments
files = open_files(NAME, ARGUMENTS, frozenset({"tokenizer", "torch"}))
paths = [str(files.path(name)) for name in ("config.json", "model.safetensors", "vocab.txt")]
loaded = [name for name in SLOW if name in sys.modules]
print(json.dumps({"sockets": sockets, "writes": writes, "loaded": loaded, "paths": paths}))
"""


@pytest.fixture
def cached(tmp_path: Path) -> tuple[str, str]:
    """A cache that holds the model, and its commit."""
    folder = tmp_path / "hub" / NAME
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "vocab.txt"):
        (folder / name).write_bytes(name.encode())
    cache = str(tmp_path / "cache")
    with MirrorServer(tmp_path / "hub") as hub:
        arguments = HubArguments(endpoint=hub.url, cache_dir=cache)
        files = open_files(NAME, arguments, frozenset({"tokenizer", "torch"}))
    return cache, files.manifest.commit


def load(name: str, arguments: HubArguments) -> dict[str, list[str]]:
    values = f"NAME, ARGUMENTS, SLOW = {name!r}, None, {SLOW!r}\n"
    code = values + LOAD.replace("ARGUMENTS,", f"{arguments!r},", 1)
    ran = subprocess.run(
        [sys.executable, "-B", "-c", code], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return json.loads(ran.stdout)


@pytest.mark.parametrize("by_commit", [False, True])
def test_a_warm_load_opens_no_socket_writes_nothing_and_imports_no_slow_library(cached, by_commit):
    cache, commit = cached
    if by_commit:  # may use the network, and has no reason to
        arguments = HubArguments(cache_dir=cache, revision=commit)
    else:
        arguments = HubArguments(cache_dir=cache, local_files_only=True)

    told = load(NAME, arguments)

    assert told["sockets"] == []
    assert told["writes"] == []
    assert told["loaded"] == []
    assert [Path(path).read_bytes().decode() for path in told["paths"]] == [
        "config.json",
        "model.safetensors",
        "vocab.txt",
    ]
