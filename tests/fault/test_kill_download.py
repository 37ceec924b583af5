"""Kill -9 at random points of a parallel download: what is visible is whole, a rerun goes on.

The child is killed by the server, after so many bytes, at so many requests, or a moment after the
last byte; then it is run again, and maybe killed again. Counted at the server: of each file at most
8 MiB are sent a second time for each kill. The number of points is ``--kill-points``, others are
had with ``--kill-seed``; 300 before a release (``scripts/faults --full``).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from hubloader.cache.ranges import Ranges
from hubloader.cache.report import scan
from hubloader.mirror import MirrorServer
from hubloader.mirror.file_body import FileBody

MIB = 2**20
AGAIN = 8 * MIB  # bytes that a kill may cost, of each file
CHUNK = 64 * 1024
SOCKET = 48 * 1024  # bytes in a socket's buffer: what is sent is soon received
SIZES = {
    "model.safetensors": 40 * MIB,  # divided: several connections, a journal
    "tf_model.h5": 12 * MIB,  # one stream, a journal
    "vocab.txt": 100_000,  # fetched anew
    "config.json": 2,
}
LOADER = """
import os, socket, sys, traceback
class Small(socket.socket):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(sys.argv[1]))
socket.socket = Small
from hubloader.auto import prefetch as loader
import hubloader.resolve.engine, hubloader.transport.http, hubloader.hub.client, filelock
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
for line in sys.stdin:
    endpoint, cache, durability = line.split()
    child = os.fork()
    if child == 0:
        os.environ["HUBLOADER_DURABILITY"] = durability
        status = 1
        try:
            loader.prefetch("org/model", uses=["all"], endpoint=endpoint, cache_dir=cache)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass
class Point:
    """When the child dies: after ``count`` bytes or requests, or seconds after the last byte."""

    what: str
    count: float


@dataclass
class Run:
    """What one child was sent, and when it dies."""

    point: Point | None
    sent: dict[str, Ranges] = field(default_factory=lambda: {name: Ranges() for name in SIZES})
    bytes: int = 0
    requests: int = 0
    victim: int = 0
    known: threading.Event = field(default_factory=threading.Event)

    def child(self, pid: int) -> None:
        self.victim = pid
        self.known.set()

    def all_sent(self) -> bool:
        return all(self.sent[name].total >= size for name, size in SIZES.items())

    def due(self, what: str, count: int) -> bool:
        return self.point is not None and self.point.what == what and count >= self.point.count

    def kill(self) -> None:
        self.point = None
        with contextlib.suppress(ProcessLookupError):  # it had all it wanted, and has ended
            os.kill(self.victim, signal.SIGKILL)


@dataclass
class Counting:
    """The server's side: sends slowly enough to count, and kills at the point.

    An answer counts for the run that it began in: one to a child that is dead by now may still be
    on its way when the next child asks.
    """

    run: Run = field(default_factory=lambda: Run(None))

    @web.middleware
    async def middleware(self, request: web.Request, handler) -> web.StreamResponse:
        run = self.run
        await asyncio.to_thread(run.known.wait)
        run.requests += 1
        if run.due("requests", run.requests):
            run.kill()
        answer = await handler(request)
        if request.method != "GET" or not isinstance(answer, FileBody):
            return answer
        whole = await asyncio.to_thread(Path(answer.file.path).read_bytes)
        with contextlib.suppress(ConnectionError):  # the client was killed, or wants no more
            return await self.send(run, request, answer, whole)
        return answer

    async def send(
        self, run: Run, request: web.Request, answer: FileBody, whole: bytes
    ) -> web.StreamResponse:
        name = Path(answer.file.path).name
        paced = web.StreamResponse(status=answer.status, headers=answer.headers)
        paced.content_length = answer.end - answer.start
        bare = request.transport.get_extra_info("socket")
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET)
        request.transport.set_write_buffer_limits(high=CHUNK)
        await paced.prepare(request)
        for start in range(answer.start, answer.end, CHUNK):
            part = whole[start : min(start + CHUNK, answer.end)]
            await paced.write(part)
            run.sent[name].add(start, start + len(part))
            run.bytes += len(part)
            if run.due("bytes", run.bytes):
                run.kill()
        if run.point is not None and run.point.what == "end" and run.all_sent():
            await asyncio.sleep(run.point.count)
            run.kill()
        return paced


@dataclass
class Bench:
    """A Hub that counts, and a process that forks one that loads."""

    hub: MirrorServer
    counting: Counting
    loader: subprocess.Popen
    digests: dict[str, str]

    def load(self, cache: Path, durability: str, point: Point | None = None) -> int:
        """Load in a child; give its exit code, -9 when it was killed."""
        self.counting.run = Run(point)
        self.loader.stdin.write(f"{self.hub.url} {cache} {durability}\n")
        self.loader.stdin.flush()
        self.counting.run.child(int(self.loader.stdout.readline()))
        return int(self.loader.stdout.readline())


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    root = tmp_path_factory.mktemp("hub")
    folder = root / "org" / "model"
    folder.mkdir(parents=True)
    draw = random.Random(1)
    for name, size in SIZES.items():
        (folder / name).write_bytes(draw.randbytes(size))
    digests = {name: sha256(folder / name) for name in SIZES}
    counting = Counting()
    with (
        MirrorServer(root, middlewares=[counting.middleware]) as hub,
        subprocess.Popen(
            [sys.executable, "-c", LOADER, str(SOCKET)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as loader,
    ):
        yield Bench(hub, counting, loader, digests)
        loader.stdin.close()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def draw_point(draw: random.Random) -> Point:
    kind = draw.random()
    if kind < 0.75:
        return Point("bytes", draw.randrange(sum(SIZES.values())))
    if kind < 0.85:
        return Point("requests", draw.randrange(1, 12))
    return Point("end", draw.random() * 0.08)


def leftovers(cache: Path) -> list[str]:
    """What is left of unfinished contents: a journal too, whose content was just named."""
    return [str(path) for path in cache.glob("*/.hubloader/partials/**/*")]


def common(one: Ranges, other: Ranges) -> int:
    """Bytes that both have."""
    return one.total + other.total - Ranges([*one, *other]).total


def visible_faults(cache: Path, digests: dict[str, str]) -> list[str]:
    """Names that lead nowhere or to other bytes than the Hub's."""
    found = [warning for repo in scan(cache).repos for warning in repo.warnings]
    found += [
        f"{pointer} is not what the Hub has"
        for pointer in cache.glob("*/snapshots/*/*")
        if not pointer.is_file() or sha256(pointer) != digests[pointer.name]
    ]
    whole = set(digests.values())
    found += [f"{b} is no whole file" for b in cache.glob("*/blobs/*") if sha256(b) not in whole]
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        first = metafunc.config.getoption("--kill-seed", 0)
        count = metafunc.config.getoption("--kill-points", 30)
        metafunc.parametrize("seed", range(first, first + count))


def test_a_killed_download_is_gone_on_with(bench: Bench, tmp_path: Path, seed: int):
    draw = random.Random(seed)
    cache, durability = tmp_path / "cache", draw.choice(["batch", "none", "full"])
    had = {name: Ranges() for name in SIZES}

    for point in [*(draw_point(draw) for _ in range(draw.choice([1, 1, 1, 2, 4]))), None]:
        status = bench.load(cache, durability, point)
        assert status in ({0} if point is None else {0, -signal.SIGKILL})
        assert visible_faults(cache, bench.digests) == []
        for name, sent in bench.counting.run.sent.items():
            assert common(had[name], sent) <= AGAIN, f"{name} was fetched again"
            had[name] = Ranges([*had[name], *sent])

    assert visible_faults(cache, bench.digests) == []
    assert {path.name for path in cache.glob("*/snapshots/*/*")} == set(SIZES)
    assert leftovers(cache) == []
    shutil.rmtree(cache)
