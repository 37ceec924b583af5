"""Many processes on one cache: fetching, loading, deleting, checking, with some killed or stopped.

One process forks the others, so that each is new (its leases end with it) and none costs an import.
huggingface_hub's own client is among them.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hubloader.cache import CacheStore
from hubloader.cache.audit import FaultKind, audit_cache
from hubloader.cache.prune import carry_out, choose
from hubloader.cache.report import scan
from hubloader.errors import CacheMiss
from hubloader.resolve.engine import Engine
from hubloader.resolve.plan import Plan
from hubloader.resolve.progress import Tracker
from hubloader.types import CachedFile

NAME = "org/model"
ROLES = ("fetch", "fetch", "load", "load", "load", "prune", "verify", "huggingface_hub")
GOOD, MISSED, WRONG = 0, 3, 1
_READS_TOLD = 4
_SLOWEST = 300.0  # seconds that one process may take to its plan, on a busy machine


class Race:
    """A cache that many fight over.

    Args:
        root: the cache.
        endpoint: the Hub's address.
        digests: sha256 of every file of ``NAME``.
        log: a folder for what went wrong.
        seed: of every choice.

    """

    def __init__(
        self, root: Path, endpoint: str, digests: dict[str, str], log: Path, seed: int = 1
    ) -> None:
        self.root = root
        self.digests = digests
        self.log = log
        self.ended: Counter[str] = Counter()
        self._tally = str(log) + ".reads"  # one byte for so many reads
        open(self._tally, "ab").close()
        self._random = random.Random(seed)
        self._running: dict[int, str] = {}
        self._stopped: dict[int, float] = {}
        os.environ |= {
            "HF_HUB_CACHE": str(root),
            "HF_ENDPOINT": endpoint,
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DOWNLOAD_TIMEOUT": "120",  # seconds: slow is not wrong
            "HF_HUB_ETAG_TIMEOUT": "120",
            "HUBLOADER_CONNECT_TIMEOUT": "120",
            "HUBLOADER_IDLE_TIMEOUT": "120",
            "HUBLOADER_LOCK_TIMEOUT": "2",
            "HUBLOADER_REFRESH": "always",
        }

    def run(self, processes: int, seconds: float, *, kill: float = 0.1, stop: float = 0.05) -> None:
        """Keep so many processes busy; each step kills or stops one with these chances."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            while len(self._running) < processes:
                self._start(self._random.choice(ROLES))
            self._trouble(kill, stop)
            self._reap(block=False)
            time.sleep(0.01)
        self._wait()

    def fetch_together(self, processes: int) -> None:
        """Have so many processes fetch the same repository: none begins until all have planned."""
        os.environ["HUBLOADER_LOCK_TIMEOUT"] = "120"  # nobody is stopped here, only slow
        meeting = multiprocessing.get_context("fork").Barrier(processes)
        carry_out_plan = Engine.carry_out

        def met(engine: Engine, plan: Plan, tracker: Tracker) -> dict[str, CachedFile]:
            meeting.wait(_SLOWEST)
            return carry_out_plan(engine, plan, tracker)

        Engine.carry_out = met  # type: ignore[method-assign]
        for _ in range(processes):
            self._start("fetch")
        self._wait()

    def read(self, reads: int, processes: int) -> None:
        """Read so many files in returned folders while others delete all they may."""
        roles = ("fetch", "load", "load", "prune")
        while self.reads < reads:
            while len(self._running) < processes:
                self._start(self._random.choice(roles))
            self._reap(block=True)
        self._wait()

    def _wait(self) -> None:
        for pid in list(self._running):
            os.kill(pid, signal.SIGCONT)
        while self._running:
            self._reap(block=True)

    @property
    def reads(self) -> int:
        """Files that were read and found right, by all processes."""
        return os.stat(self._tally).st_size * _READS_TOLD

    def _start(self, role: str) -> None:
        seed = self._random.random()
        pid = os.fork()
        if pid:
            self._running[pid] = role
            return
        status = WRONG
        try:
            status = _ROLES[role](self, random.Random(seed))
        except BaseException:  # noqa: BLE001 - told in the log, and by the status
            text = f"{role}\n{traceback.format_exc()}"
            (self.log / f"{os.getpid()}").write_text(text, encoding="utf-8")
        finally:
            os._exit(status)

    def _trouble(self, kill: float, stop: float) -> None:
        victim = self._random.choice(list(self._running))
        chance = self._random.random()
        if chance < kill:
            os.kill(victim, signal.SIGKILL)
        elif chance < kill + stop:
            os.kill(victim, signal.SIGSTOP)
            self._stopped[victim] = time.monotonic() + self._random.random() * 3
        for pid, until in list(self._stopped.items()):
            if until < time.monotonic():
                del self._stopped[pid]
                if pid in self._running:
                    os.kill(pid, signal.SIGCONT)

    def _reap(self, *, block: bool) -> None:
        while self._running:
            pid, status = os.waitpid(-1, 0 if block else os.WNOHANG)
            if not pid:
                return
            role = self._running.pop(pid)
            self._stopped.pop(pid, None)
            code = os.waitstatus_to_exitcode(status)
            how = {GOOD: "ended well", MISSED: "was not cached", -9: "was killed"}
            self.ended[f"{role}: {how.get(code, 'went wrong')}"] += 1
            block = False

    @property
    def wrong(self) -> list[str]:
        """What went wrong, one text for each process."""
        return [path.read_text(encoding="utf-8") for path in sorted(self.log.iterdir())]

    # what the processes do

    def check(self, folder: Path, rounds: int) -> None:
        """Read what is in a returned folder, again and again: it stays while we live."""
        read = 0
        for _ in range(rounds):
            for name, digest in self.digests.items():
                data = (folder / name).read_bytes()
                if hashlib.sha256(data).hexdigest() != digest:
                    raise AssertionError(f"{name} has wrong bytes")
                read += 1
        with open(self._tally, "ab", buffering=0) as file:
            file.write(b"." * (read // _READS_TOLD))


def _fetch(race: Race, _choose: random.Random) -> int:
    from hubloader import snapshot_download

    race.check(Path(snapshot_download(NAME)), 3)
    return GOOD


def _load(race: Race, _choose: random.Random) -> int:
    from hubloader import snapshot_download

    try:
        folder = Path(snapshot_download(NAME, local_files_only=True))
    except CacheMiss:
        return MISSED
    race.check(folder, 20)
    return GOOD


def _prune(race: Race, choose_: random.Random) -> int:
    for _ in range(3):
        carry_out(choose(scan(race.root), now=time.time() + 7200, max_size=0))
        time.sleep(choose_.random() / 20)
    return GOOD


def _verify(race: Race, _choose: random.Random) -> int:
    faults = audit_cache(CacheStore(race.root)).faults
    bad = [fault for fault in faults if fault.kind is not FaultKind.MISSING]
    if bad:
        raise AssertionError(str(bad))
    return GOOD


def _huggingface_hub(race: Race, _choose: random.Random) -> int:
    """Theirs takes no lease: what it returned may be deleted, as by its own ``hf cache rm``."""
    import huggingface_hub

    try:
        folder = Path(huggingface_hub.snapshot_download(NAME))
        race.check(folder, 1)
    except (OSError, huggingface_hub.errors.HfHubHTTPError):
        return MISSED
    return GOOD


_ROLES: dict[str, Callable[[Race, random.Random], int]] = {
    "fetch": _fetch,
    "load": _load,
    "prune": _prune,
    "verify": _verify,
    "huggingface_hub": _huggingface_hub,
}
