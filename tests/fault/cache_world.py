"""Operations on a cache, the faults that hit them, and what must hold whatever happened.

An ``Operation`` has a beginning that is prepared once and copied, a work that a fault hits, and
what must be there before, during and after. The proofs in ``test_cache_faults.py`` and
``scripts/bench/faults.py`` are made of these.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cache_cases import COMMIT, LATER, REPO, content, download, manifest
from power_cut import Recorder

from hubloader.cache import CacheStore, hashing, writer
from hubloader.cache.audit import audit_cache
from hubloader.cache.digest import ContentHash
from hubloader.cache.failures import guard
from hubloader.cache.layout import CacheLayout
from hubloader.cache.links import Linker
from hubloader.cache.prune import carry_out, choose_named
from hubloader.cache.report import scan, scan_cache_dir
from hubloader.errors import CacheError
from hubloader.types import Manifest, RepoId

Files = dict[str, bytes]
OTHER = RepoId.parse("org/other")
OLD: Files = {"config.json": b'{"v": 1}', "vocab.txt": content(3000, 1), "model": content(9000, 2)}
NEW: Files = {**OLD, "config.json": b'{"v": 2}', "sub/model": content(50_000, 3), "b": b"b"}
FEW: Files = {**OLD, "config.json": b'{"v": 2}', "sub/a": content(2000, 4), "b": b"b"}
KILLED, ENDED_WELL, OUR_ERROR, NO_FAULT_CAME = 137, 0, 3, 4
ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "EMFILE", "ENOLCK")
CALLS = (
    "open", "write", "pwrite", "replace", "rename", "unlink", "mkdir", "symlink", "link", "fsync",
    "ftruncate", "fchmod", "rmdir", "utime",
)  # fmt: skip
_MAKING = frozenset({"open", "write", "pwrite", "mkdir", "symlink", "link"})
LASTING = {  # a disk that is full stays full, but lets things be deleted
    "ENOSPC": _MAKING,
    "EDQUOT": _MAKING,
    "EROFS": frozenset(CALLS),
}


@contextmanager
def small_is_large() -> Iterator[None]:
    """Contents from 10,000 bytes are journalled, so that no fault needs megabytes."""
    before = writer.LARGE, hashing._CHECKPOINT
    writer.LARGE = hashing._CHECKPOINT = 10_000
    try:
        yield
    finally:
        writer.LARGE, hashing._CHECKPOINT = before


def seen_as_another(path: str | Path, before: os.stat_result) -> None:
    """Give a file another time than it had: where clocks are coarse, a quick change shows none."""
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns - 1_000_000_000))


def whole(store: CacheStore, wanted: Manifest, files: Files) -> bool:
    """Whether a load gets every byte, as loads do: hashing what is doubted."""
    states = store.inspect(wanted, files)
    for name, state in states.items():
        if state.blob and not state.trusted and not store.verify_blob(wanted, name):
            return False
    return all(
        state.pointer and store.path(wanted, name).read_bytes() == files[name]
        for name, state in states.items()
    )


@dataclass(frozen=True)
class Operation:
    """Something that changes a cache.

    ``stays`` are the snapshots that the operation has no business with: always whole. ``comes`` are
    those it makes: whole once their ref is there, and at the end.
    """

    name: str
    prepare: Callable[[Path], object]
    work: Callable[[Path], object]
    stays: tuple[tuple[Manifest, Files], ...] = ()
    comes: tuple[tuple[Manifest, Files], ...] = ()
    gone: tuple[tuple[RepoId, str], ...] = ()
    damaged: frozenset[str] = frozenset()  # blobs that were bad before

    def faults(self, root: Path) -> list[str]:
        """What is wrong in the middle; nothing, if promises are kept."""
        store = CacheStore(root)
        found = [f for repo in scan(root).repos for f in repo.warnings]
        found += [  # huggingface_hub's scan warns of it
            f"{repo.repo} has no snapshots folder"
            for repo in scan(root).repos
            if not os.path.isdir(CacheLayout(root).repo(repo.repo).snapshots)
        ]
        found += [f"blob {name} is not what it says" for name in _bad_blobs(root) - self.damaged]
        for wanted, files in self.stays:
            if not whole(store, wanted, files):
                found.append(f"{wanted.repo} at {wanted.commit[:6]} is not whole")
        for wanted, files in self.comes:
            named = store.read_ref(wanted.repo, wanted.revision) == wanted.commit
            if named and not whole(store, wanted, files):
                found.append("the ref moved to a snapshot that is not whole")
        return found

    def unfinished(self, root: Path) -> list[str]:
        """What is not as it should be at the end."""
        store = CacheStore(root)
        found = self.faults(root)
        found += [
            f"{wanted.repo} at {wanted.commit[:6]} did not come"
            for wanted, files in self.comes
            if not whole(store, wanted, files)
        ]
        for repo, commit in self.gone:
            if os.path.lexists(CacheLayout(root).repo(repo).snapshot(commit)):
                found.append(f"{repo} at {commit[:6]} did not go")
        found += [str(warning) for warning in scan_cache_dir(root).warnings]
        return found


def _bad_blobs(root: Path) -> frozenset[str]:
    bad = set()
    for repo in scan(root).repos:
        blobs = CacheLayout(root).repo(repo.repo).blobs
        for name in os.listdir(blobs) if os.path.isdir(blobs) else []:
            path = os.path.join(blobs, name)
            data = Path(path).read_bytes() if os.path.isfile(path) else b""
            digest = ContentHash(name, len(data))
            digest.update(data)
            if not digest.matches:
                bad.add(name)
    return frozenset(bad)


# the operations

M_OLD, M_NEW, M_FEW = manifest(OLD), manifest(NEW, commit=LATER), manifest(FEW, commit=LATER)
M_DEV, M_OTHER = manifest(FEW, commit=LATER, revision="dev"), manifest(OLD, repo=OTHER)
DURABILITY: dict[str, Any] = {"durability": "batch"}


def _cached(root: Path, **options: Any) -> None:
    download(CacheStore(root, **options), M_OLD, OLD)


def _two_revisions(root: Path, **options: Any) -> None:
    _cached(root, **options)
    download(CacheStore(root, **options), M_DEV, FEW)
    download(CacheStore(root, **options), M_OTHER, OLD)


def _remove(root: Path, *names: tuple[RepoId, str | None]) -> None:
    carry_out(choose_named(scan(root), names))


def _damage(root: Path) -> None:
    _two_revisions(root)
    blob = CacheLayout(root).repo(REPO).blob(M_OLD.entries["model"].etag)
    before = os.stat(blob)
    os.chmod(blob, 0o644)
    with open(blob, "r+b") as file:
        file.write(b"flip")
    seen_as_another(blob, before)


def _mend(root: Path) -> None:
    store = CacheStore(root)

    def bring(wanted: Manifest, names: tuple[str, ...]) -> None:
        files = OLD if wanted.commit == COMMIT else FEW
        with store.batch():
            for name in names:
                if not store.inspect(wanted, [name])[name].blob:
                    with store.writer(wanted.repo, wanted.entries[name]) as target:
                        target.write(memoryview(files[name])[target.position :])
                        target.commit()
                store.link(wanted, name)

    report = audit_cache(store, repair=bring)
    assert report.ok, report.faults


def _link_anew(root: Path) -> None:
    layout, linker = CacheLayout(root).repo(REPO), Linker("symlink")
    for name, entry in M_OLD.entries.items():
        with guard(layout.snapshots):
            linker.make(layout, layout.blob(entry.etag), layout.pointer(COMMIT, name))


def operations(**options: Any) -> tuple[Operation, ...]:
    """Every operation, with a store's options: ``durability``, ``link_mode``."""
    stays, dev, other = (M_OLD, OLD), (M_DEV, FEW), (M_OTHER, OLD)
    copies = {**options, "link_mode": "copy"}
    return (
        Operation(
            "first download", lambda root: root.mkdir(), lambda root: _cached(root, **options),
            comes=(stays,),
        ),
        Operation(
            "update", lambda root: _cached(root, **options),
            lambda root: download(CacheStore(root, **options), M_NEW, NEW),
            stays=(stays,), comes=((M_NEW, NEW),),
        ),
        Operation(
            "update in small files", lambda root: _cached(root, **options),
            lambda root: download(CacheStore(root, **options), M_FEW, FEW),
            stays=(stays,), comes=((M_FEW, FEW),),
        ),
        Operation(
            "remove a revision", lambda root: _two_revisions(root, **options),
            lambda root: _remove(root, (REPO, LATER)),
            stays=(stays, other), gone=((REPO, LATER),),
        ),
        Operation(
            "remove a repository", lambda root: _two_revisions(root, **options),
            lambda root: _remove(root, (REPO, None)),
            stays=(other,), gone=((REPO, LATER), (REPO, COMMIT)),
        ),
        Operation(
            "mend", _damage, _mend, stays=(other,), comes=(),
            damaged=frozenset({M_OLD.entries["model"].etag}),
        ),
        Operation(
            "link anew", lambda root: _cached(root, **copies), _link_anew, stays=(stays,),
        ),
        Operation(
            "add a second revision", lambda root: _cached(root, **copies),
            lambda root: download(CacheStore(root, **copies), M_DEV, FEW),
            stays=(stays,), comes=(dev,),
        ),
    )  # fmt: skip


# killed and refused at the N-th call


def at_call(
    number: int, act: Callable[[], object], lasting: frozenset[str] = frozenset()
) -> list[int]:
    """Have ``act`` done before the N-th call that changes the disk, and each later one of a kind.

    Returns:
        The count of calls.

    """
    counted = [0]

    def hook(name: str) -> None:
        real = getattr(os, name)

        def call(*args: Any, **options: Any) -> Any:
            writes = name != "open" or args[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            counted[0] += bool(writes)
            again = counted[0] > number and name in lasting
            if writes and (counted[0] == number or again):
                act()
            return real(*args, **options)

        setattr(os, name, call)

    for name in CALLS:
        hook(name)
    return counted


def in_child(
    number: int,
    act: Callable[[], object],
    work: Callable[[], object],
    lasting: frozenset[str] = frozenset(),
) -> int:
    """Fork, and do ``work`` with a fault at its N-th call."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            counted = at_call(number, act, lasting)
            work()
            status = ENDED_WELL if counted[0] >= number else NO_FAULT_CAME
        except CacheError:
            status = OUR_ERROR
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(name: str) -> Callable[[], None]:
    code = getattr(errno, name)

    def act() -> None:
        raise OSError(code, os.strerror(code))

    return act


@dataclass
class Tally:
    """What a series of faults came to."""

    points: int = 0
    faults: list[str] = field(default_factory=list)
    reruns_failed: list[str] = field(default_factory=list)
    leaked: int = 0  # bytes that the next run did not reclaim
    ended: dict[int, int] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        self.points += other.points
        self.faults += other.faults
        self.reruns_failed += other.reruns_failed
        self.leaked += other.leaked
        for status, count in other.ended.items():
            self.ended[status] = self.ended.get(status, 0) + count

    @property
    def wrong(self) -> list[str]:
        return self.faults + self.reruns_failed


def hit_every_call(
    operation: Operation,
    act: Callable[[], object],
    folder: Path,
    *,
    stride: int = 1,
    first: int = 1,
    lasting: frozenset[str] = frozenset(),
) -> Tally:
    """Do an operation once for each of its calls, with a fault at that call, then once more."""
    tally, base = Tally(), folder / "base"
    operation.prepare(base)
    for number in range(first, 100_000, stride):
        root = folder / f"n{number}"
        shutil.copytree(base, root, symlinks=True)
        status = in_child(number, act, lambda root=root: operation.work(root), lasting)
        if status == NO_FAULT_CAME:
            shutil.rmtree(root)
            break
        if status not in {-signal.SIGKILL, ENDED_WELL, OUR_ERROR}:
            tally.faults.append(f"{operation.name}, call {number}: ended with {status}")
        tally.points += 1
        tally.ended[status] = tally.ended.get(status, 0) + 1
        tally.faults += [f"{operation.name}, call {number}: {f}" for f in operation.faults(root)]
        tally.add(rerun(operation, root, f"{operation.name}, call {number}, rerun"))
        shutil.rmtree(root)
    shutil.rmtree(base)
    return tally


def rerun(operation: Operation, root: Path, what: str) -> Tally:
    """Do an operation again after a fault: it has to end well, and to leave nothing over."""
    tally = Tally()
    try:
        operation.work(root)
    except (CacheError, AssertionError) as error:
        tally.reruns_failed.append(f"{what}: {error}")
        return tally
    tally.reruns_failed += [f"{what}: {fault}" for fault in operation.unfinished(root)]
    # the next download into a repository sweeps what the dead left there
    store = CacheStore(root)
    for repo in scan(root).repos:
        more = manifest({"next": b"next"}, repo=repo.repo, revision="next")
        download(store, more, {"next": b"next"})
        tally.leaked += sum(
            left.size for left in scan_repo_of(root, repo.repo) if left.kind in {"partial", "draft"}
        )
    drafts = CacheLayout(root).tmp
    tally.leaked += len(os.listdir(drafts)) if os.path.isdir(drafts) else 0
    return tally


def scan_repo_of(root: Path, repo: RepoId) -> tuple[Any, ...]:
    return next(report.leftovers for report in scan(root).repos if report.repo == repo)


# unplugged


def _lost(store: CacheStore, operation: Operation) -> Iterator[str]:
    """What an operation that had returned did not keep over the power cut."""
    for wanted, files in operation.comes:
        if not whole(store, wanted, files):
            yield "the call had returned, and its files are not there"
        if store.read_ref(wanted.repo, wanted.revision) != wanted.commit:
            yield "the call had returned, and its ref is not there"
        listed = store.read_manifest(wanted.repo, wanted.revision, wanted.commit)
        if listed is None or not listed.complete:
            yield "the call had returned, and its listing is not there"


def cut_everywhere(
    operation: Operation, folder: Path, monkeypatch: Any, *, seed: int = 7, keep: int = 1
) -> Tally:
    """Build what a power cut after each step may leave, and look; every ``keep``-th state."""
    root = folder / "cache"
    operation.prepare(root)
    recorder = Recorder(root)
    with recorder.recording(monkeypatch):
        operation.work(root)
    tally = Tally()
    for number, (step, names, fate) in enumerate(recorder.states(random.Random(seed))):
        last = step == recorder.step
        if number % keep and not last:
            continue
        place = folder / f"state{number}"
        place.mkdir()
        recorder.build(place, step, names, fate)
        wrong = operation.faults(place)
        if last and operation.comes:
            wrong += _lost(CacheStore(place), operation)
        tally.points += 1
        tally.faults += [f"{operation.name}, step {step}, {fate}: {what}" for what in wrong]
        shutil.rmtree(place)
    shutil.rmtree(root)
    return tally
