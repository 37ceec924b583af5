"""Caches of another huggingface_hub: frozen ones that 1.x wrote, and a live 1.x where there is one.

A live one is the Python that ``HUBLOADER_TEST_HF1`` names, with huggingface_hub 1.x installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from cache_cases import COMMIT, REPO, content, download, manifest

from hubloader.cache import CacheStore
from hubloader.cache.audit import audit_cache
from hubloader.cache.prune import carry_out, choose_named
from hubloader.cache.report import scan, scan_cache_dir
from hubloader.mirror import MirrorServer
from hubloader.types import RepoId

pytestmark = pytest.mark.oracle

TREES = Path(__file__).parents[2] / "cache_fixtures" / "older_trees"
FROZEN = json.loads((TREES / "MANIFEST.json").read_text(encoding="utf-8"))
NAME = RepoId.parse("fixtures/bert-tiny-sentiment")
FILES = {"config.json": b"{}", "model.safetensors": content(300_000), "sub/notes.txt": b"notes"}
HF1 = os.environ.get("HUBLOADER_TEST_HF1")  # read before the tests' clean environment
live = pytest.mark.skipif(HF1 is None, reason="HUBLOADER_TEST_HF1 names no Python with hub 1.x")


@pytest.fixture(params=sorted(FROZEN["files"]))
def frozen(request, tmp_path):
    with tarfile.open(TREES / request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    return CacheStore(tmp_path)


@pytest.mark.parametrize("name", sorted(FROZEN["files"]))
def test_a_frozen_tree_is_what_its_manifest_says(name):
    data = (TREES / name).read_bytes()

    assert FROZEN["versions"]["huggingface_hub"].startswith("1.")
    assert FROZEN["files"][name] == {
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def test_what_an_older_client_wrote_is_found_listed_and_right(frozen):
    commit = frozen.known_commit(NAME, "main")
    found = frozen.read_manifest(NAME, "main", commit)
    states = frozen.inspect(found, found.entries)

    assert "config.json" in found.entries
    assert frozen.known_commit(NAME, "fp16") not in {None, commit}
    assert any(state.pointer for state in states.values())
    assert frozen.is_absent(NAME, commit, "chat_template.jinja")
    report = audit_cache(frozen)
    assert report.ok
    assert report.files > 5
    assert all(not repo.warnings for repo in scan(frozen.layout.root).repos)


def test_what_an_older_client_wrote_can_be_taken_out(frozen):
    report = scan(frozen.layout.root)
    commit = frozen.known_commit(NAME, "fp16")
    result = carry_out(choose_named(report, [(NAME, commit)]))

    assert [removal.commit for removal in result.removed] == [commit]
    assert scan_cache_dir(frozen.layout.root).warnings == []
    assert audit_cache(frozen).ok


# side by side with a live client of each version


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    for name, data in FILES.items():
        path = root / "org/name" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with MirrorServer(root, record=True) as running:
        yield running


CLIENTS = [
    pytest.param(sys.executable, id="2.x"),
    pytest.param(HF1, id="1.x", marks=live),
]


def environment(cache, server, **more):
    env = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    return env | {
        "HF_HUB_CACHE": str(cache),
        "HF_HOME": str(cache.parent / "home"),
        "HF_ENDPOINT": server.url,
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        **more,
    }


def run(python, code, env):
    done = subprocess.run(
        [python, "-W", "ignore::DeprecationWarning", "-c", code],
        env=env, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("python", CLIENTS)
def test_they_load_ours_offline_and_scan_it_without_a_warning(python, server, tmp_path):
    cache = tmp_path / "hub"
    download(CacheStore(cache), manifest(FILES), FILES)
    out = run(
        python,
        "from huggingface_hub import *; from pathlib import Path;"
        "folder = Path(snapshot_download('org/name'));"
        "print(sorted(p.relative_to(folder).as_posix() for p in folder.rglob('*') if p.is_file()));"
        "print(len(scan_cache_dir().warnings))",
        environment(cache, server, HF_HUB_OFFLINE="1"),
    )

    assert out.splitlines() == [str(sorted(FILES)), "0"]


OURS = """
from hubloader import snapshot_download
snapshot_download('org/name')
"""
THEIRS = """
from huggingface_hub import snapshot_download
snapshot_download('org/name')
"""


@pytest.mark.parametrize("python", CLIENTS)
def test_both_at_once_fill_one_cache_without_a_warning(python, server, tmp_path):
    cache = tmp_path / "hub"
    env = environment(cache, server)
    both = [
        subprocess.Popen([program, "-c", code], env=env, stderr=subprocess.PIPE, text=True)
        for program, code in ((sys.executable, OURS), (python, THEIRS)) * 3
    ]
    for process in both:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors

    store = CacheStore(cache)
    report = audit_cache(store)
    assert report.ok
    assert report.files == len(FILES)
    assert scan_cache_dir(cache).warnings == []
    assert scan(cache).repos[0].warnings == ()


@pytest.mark.parametrize("python", CLIENTS)
def test_their_verify_finds_ours_right_and_a_damaged_one_wrong(python, server, tmp_path):
    cache = tmp_path / "hub"
    env = environment(cache, server)
    run(sys.executable, OURS, env)

    def verify():
        hf = Path(python).with_name("hf")
        return subprocess.run(
            [hf, "cache", "verify", "org/name"],
            env=env, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    sound = verify()
    assert sound.returncode == 0, sound.stdout + sound.stderr

    [blob] = [p for p in (cache / "models--org--name/blobs").iterdir() if len(p.name) == 64] or [
        max((cache / "models--org--name/blobs").iterdir(), key=lambda p: p.stat().st_size)
    ]
    blob.chmod(0o644)
    with blob.open("r+b") as file:
        file.write(b"flip")
    assert verify().returncode != 0
    assert not audit_cache(CacheStore(cache)).ok


@pytest.mark.parametrize("python", CLIENTS)
def test_a_folder_of_theirs_is_filled_by_us_and_theirs_takes_it_as_its_own(
    python, server, tmp_path
):
    cache, folder = tmp_path / "hub", tmp_path / "folder"
    env = environment(cache, server)
    run(
        sys.executable,
        f"from hubloader import snapshot_download\n"
        f"snapshot_download('org/name', local_dir={str(folder)!r})",
        env,
    )
    asked = len([r for r in server.requests if "/resolve/" in r.path and r.method == "GET"])
    run(
        python,
        f"from huggingface_hub import snapshot_download\n"
        f"snapshot_download('org/name', local_dir={str(folder)!r})",
        env,
    )

    fetched = [r for r in server.requests if "/resolve/" in r.path and r.method == "GET"]
    assert len(fetched) == asked, "it fetched what we had put there"
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES


@pytest.mark.parametrize("python", CLIENTS)
def test_their_commands_take_out_ours(python, server, tmp_path):
    cache = tmp_path / "hub"
    env = environment(cache, server)
    wanted = manifest(FILES)
    download(CacheStore(cache), wanted, FILES)
    subprocess.run(
        [Path(python).with_name("hf"), "cache", "rm", "model/org/name", "--yes"],
        env=env, check=True, capture_output=True, timeout=120,
    )  # fmt: skip

    assert CacheStore(cache).known_commit(REPO, COMMIT) is None
    assert scan_cache_dir(cache).warnings == []
