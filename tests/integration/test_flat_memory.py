"""Memory stays flat: a file of gigabytes and a repository of 100,000 files are not special.

Each load runs in a process of its own; its highest resident memory is compared with what it has
when everything is imported, one small file was loaded and the listing was read. The first takes a
quarter of a minute and 2 GiB of disk, the second minutes.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

from hubloader.mirror import MirrorServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is counted in KiB on Linux"),
]
MB = 1_000_000
LOAD = """
import resource, sys
from hubloader import hf_hub_download, snapshot_download
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
hf_hub_download("org/small", "config.json")
snapshot_download(sys.argv[1], dry_run=True)
idle = peak()
snapshot_download(sys.argv[1])
print(idle, peak())
"""
FILES, PAGE = 100_000, 1_000
COMMIT = "c" * 40


def memory_over_idle(hub: MirrorServer, name: str, cache: Path) -> int:
    """Bytes by which loading ``name`` raises the highest memory of a process."""
    env = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HUBLOADER_DURABILITY": "none",
    }
    told = subprocess.run(
        [sys.executable, "-c", LOAD, name], env=env, check=True, stdout=subprocess.PIPE, text=True
    )
    idle, peak = map(int, told.stdout.split())
    return peak - idle


def small(root: Path) -> None:
    (root / "org/small").mkdir(parents=True)
    (root / "org/small/config.json").write_bytes(b"{}")


def test_a_file_of_two_gigabytes_takes_no_more_than_a_small_one(tmp_path):
    small(tmp_path / "hub")
    large = tmp_path / "hub/org/large/model.safetensors"
    large.parent.mkdir()
    with large.open("wb") as file:
        file.truncate(2 * 2**30)  # holes: it takes no room where it is served from
    with MirrorServer(tmp_path / "hub") as hub:
        grown = memory_over_idle(hub, "org/large", tmp_path / "cache")

    assert grown <= 100 * MB


def content(number: int) -> bytes:
    return b"%d" % number  # each another: so many contents and locks lie beside each other


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%b" % (len(data), data)).hexdigest()


@web.middleware
async def many(request: web.Request, handler) -> web.StreamResponse:
    """Serve a repository of 100,000 files that is nowhere on the disk."""
    if "/org/many/" not in request.path:
        return await handler(request)
    if "/tree/" in request.path:
        first = int(request.query.get("cursor", 0))
        page = [
            {"type": "file", "path": f"{n // 1000:03}/{n:06}", "size": len(content(n)),
             "oid": git_sha1(content(n))}
            for n in range(first, first + PAGE)
        ]  # fmt: skip
        following = f"{request.url.with_query(cursor=first + PAGE, recursive='true')}"
        link = {"Link": f'<{following}>; rel="next"'} if first + PAGE < FILES else {}
        return web.json_response(page, headers=link)
    if "/revision/" in request.path:
        siblings = [{"rfilename": f"{n // 1000:03}/{n:06}"} for n in range(FILES)]
        return web.Response(
            text=json.dumps({"id": "org/many", "sha": COMMIT, "siblings": siblings}),
            content_type="application/json",
        )
    data = content(int(request.path.rpartition("/")[2]))
    headers = {"ETag": f'"{git_sha1(data)}"', "X-Repo-Commit": COMMIT}
    return web.Response(body=data, headers=headers)


@pytest.mark.skipif(
    not os.environ.get("HUBLOADER_TEST_MANY"), reason="minutes long: set HUBLOADER_TEST_MANY to run"
)
def test_a_hundred_thousand_files_take_little_beside_their_listing(tmp_path):
    small(tmp_path / "hub")
    with MirrorServer(tmp_path / "hub", middlewares=[many]) as hub:
        grown = memory_over_idle(hub, "org/many", tmp_path / "cache")

    assert len(list((tmp_path / "cache").glob("models--org--many/snapshots/*/*/*"))) == FILES
    assert grown <= 100 * MB
