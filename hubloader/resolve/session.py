"""From a reference and a purpose to files on this disk: the layer's front door.

A session keeps one resolver, so that what one process loads of a repository (tokenizer, then model)
shares one listing and one commit. Each call goes resolve, needs, plan; a plan with nothing to do is
answered from the disk at once, and only another one brings in the engine, threads and progress.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubloader.errors import CacheMiss, CacheReadOnly, DiskFull, InvalidReference, about
from hubloader.resolve.again import Loads
from hubloader.resolve.answers import Reachability
from hubloader.resolve.cure import prefetch_command
from hubloader.resolve.files import SnapshotFiles
from hubloader.resolve.manifest import shards_in_index
from hubloader.resolve.needs import Needs, candidates, needs, only_listed
from hubloader.resolve.plan import Plan, make_plan
from hubloader.resolve.publishing import mark_absent, may_publish, publish
from hubloader.resolve.refusal import refusal, refuse_no_folder, refuse_unlisted
from hubloader.resolve.resolver import Resolver
from hubloader.resolve.telling import tracker_for
from hubloader.resolve.work import Work
from hubloader.types import DEFAULT_REVISION, Mode, Purpose, RepoId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hubloader.cache.store import CacheStore
    from hubloader.hub.client import HubClient
    from hubloader.resolve.cached import Resolved
    from hubloader.resolve.progress import Progress, Tracker
    from hubloader.settings import Settings
    from hubloader.types import Manifest, ModelRef, OnDisk

__all__ = ["Session"]


class Session:
    """What one process loads from one endpoint into one cache.

    Args:
        settings: of the session.
        client: makes, or returns, the endpoint's client; called when the network is first needed.
        store: the cache.
        reachability: what the process knows of the endpoint.
        clock: seconds, monotonic.
        asker: as for ``Resolver``.

    """

    def __init__(
        self,
        settings: Settings,
        client: Callable[[], HubClient],
        store: CacheStore,
        *,
        reachability: Reachability | None = None,
        clock: Callable[[], float] = time.monotonic,
        asker: Callable[[], str] | None = None,
    ) -> None:
        self._settings = settings
        self._make_client = client
        self._made: HubClient | None = None
        self._making = threading.Lock()  # several threads may need it first
        self._store = store
        self._loads = Loads(store)
        self.reachability = reachability or Reachability(clock)
        self._resolver = Resolver(
            settings, self._client, store, reachability=self.reachability, clock=clock, asker=asker
        )

    @property
    def store(self) -> CacheStore:
        """The cache."""
        return self._store

    @property
    def settings(self) -> Settings:
        """What the session was made with."""
        return self._settings

    def client(self) -> HubClient:
        """The endpoint's client, made when it is first needed."""
        return self._client()

    def after_fork(self) -> None:
        """Make it usable in a forked child, where the threads that were at work in it are not."""
        self._store.after_fork()
        self._resolver.after_fork()

    def tracker(
        self,
        progress: Callable[[Progress], Any] | None = None,
        also: Callable[[Progress], Any] | None = None,
    ) -> Tracker:
        """Who is told of a download: ``progress``, else the terminal or log; and ``also``."""
        tracker = tracker_for(self._settings, progress)
        if also is not None:
            tracker.also(also)
        return tracker

    def _client(self) -> HubClient:
        with self._making:
            if self._made is None:
                self._made = self._make_client()
            return self._made

    def files(
        self,
        ref: ModelRef,
        purpose: Purpose,
        *,
        mode: Mode = Mode.ONLINE,
        progress: Callable[[Progress], Any] | None = None,
        also: Callable[[Progress], Any] | None = None,
    ) -> SnapshotFiles:
        """Bring what ``purpose`` needs onto this disk.

        Args:
            ref: a repository and a revision.
            purpose: what the files are for.
            mode: what the network may be used for.
            progress: called with each event of a download, instead of bars or lines on stderr.
            also: called with each event too, whoever else is told.

        Returns:
            The files, all of one commit; what was not wanted is brought when it is asked for.

        Raises:
            EntryNotFound: the commit lacks what the purpose cannot do without.
            CacheMiss: files are missing, and the network is off or could not be reached.
            HubloaderError: a download failed; every file that could be brought was.

        """
        tracker = partial(self.tracker, progress, also)
        work, done = self._load(ref, purpose, mode, tracker)
        return self._opened(work, done, purpose, tracker)

    def _opened(
        self,
        work: Work,
        done: Mapping[str, str],
        purpose: Purpose,
        tracker: Callable[[], Tracker],
    ) -> SnapshotFiles:
        def widen(uses: frozenset[Any]) -> SnapshotFiles:
            wider = replace(purpose, uses=uses, later=frozenset())
            with about(repo_id=str(work.asked), revision=work.manifest.revision):
                resolved = self._probed(work, candidates(wider))
                wanted = needs(resolved.manifest, wider)
                left = tuple(name for name in wanted.wanted if name not in done)
                wanted = replace(wanted, wanted=left)
                more = self._decide(work.asked, resolved, wanted, work.mode)
                more = replace(more, purpose=wider)
                found = {**done, **self._complete(more, tracker)}
            return self._opened(more, found, wider, tracker)

        return SnapshotFiles(
            work.manifest,
            done,
            subfolder=purpose.subfolder,
            fetch=lambda filename: self._fetch_one(work, filename, tracker),
            available=lambda: self._available(work),
            store=self._store,
            widen=widen,
        )

    def plan(self, ref: ModelRef, purpose: Purpose, *, mode: Mode = Mode.ONLINE) -> Plan:
        """Tell what ``files`` would do, doing nothing: files, bytes, what is missing.

        Raises:
            EntryNotFound: the commit lacks what the purpose cannot do without.
            HubloaderError: as ``Resolver.resolve``.

        """
        repo, revision = _hub_names(ref)
        with about(repo_id=str(repo), revision=revision):
            purpose = _within(ref, purpose)
            resolved = self._resolved(repo, revision, mode, purpose)
            work = self._prepare(repo, resolved, purpose, mode)
            if work.needs.missing:
                self._refuse_missing(work)
            return work.plan

    def wanted(
        self, ref: ModelRef, purpose: Purpose, *, mode: Mode = Mode.ONLINE
    ) -> tuple[Manifest, tuple[str, ...]]:
        """Tell which files a purpose needs, and of which commit; as ``plan``, without the disk."""
        plan = self.plan(ref, purpose, mode=mode)
        return plan.manifest, tuple(sorted((*(f.filename for f in plan.files), *plan.missing)))

    def resolve(self, ref: ModelRef, *, mode: Mode = Mode.ONLINE) -> Manifest:
        """Tell which commit a reference means, and what that commit holds.

        Raises:
            HubloaderError: as ``Resolver.resolve``.

        """
        repo, revision = _hub_names(ref)
        with about(repo_id=str(repo), revision=revision):
            return self._resolver.resolve(repo, revision, mode).manifest

    def _load(
        self,
        ref: ModelRef,
        purpose: Purpose,
        mode: Mode,
        tracker: Callable[[], Tracker],
    ) -> tuple[Work, Mapping[str, str]]:
        repo, revision = _hub_names(ref)
        purpose = _within(ref, purpose)
        with about(repo_id=str(repo), revision=revision):
            resolved = self._resolved(repo, revision, mode, purpose)
            key = (repo, revision, purpose, mode)
            again = self._loads.find(key, resolved)
            if again is not None:
                self._store.mark_used(resolved.manifest.repo, resolved.manifest.commit)
                return again
            work = self._prepare(repo, resolved, purpose, mode)
            refuse_no_folder(work.manifest, purpose.subfolder)
            done = self._complete(work, tracker)
            self._loads.keep(key, work, done)
        return work, done

    def _complete(self, work: Work, tracker: Callable[[], Tracker]) -> dict[str, str]:
        """Bring what is needed, and what an index among it names."""
        self._refuse_missing(work)
        done = self._bring(work, tracker)
        for index in work.needs.indexes:
            shards = shards_in_index(Path(done[index]).read_text(encoding="utf-8"), index)
            more = self._widen(work, shards)
            self._refuse_missing(more)
            done.update(self._bring(more, tracker))
        return done

    def _probed(self, work: Work, groups: Iterable[tuple[str, ...]]) -> Resolved:
        """What is known, and of an endpoint that lists nothing also what ``groups`` ask for."""
        resolved = work.resolved
        if resolved.listable:
            return resolved
        return self._resolver.probe(work.asked, resolved, groups)

    def _prepare(self, repo: RepoId, resolved: Resolved, purpose: Purpose, mode: Mode) -> Work:
        if not resolved.listable:
            refuse_unlisted(resolved.manifest, self._settings.public_endpoint, only_listed(purpose))
            asked_again = _doubting(resolved, purpose)
            resolved = self._resolver.probe(repo, asked_again, candidates(purpose))
        wanted = needs(resolved.manifest, purpose)
        return replace(self._decide(repo, resolved, wanted, mode), purpose=purpose)

    def _resolved(self, repo: RepoId, revision: str, mode: Mode, purpose: Purpose) -> Resolved:
        try:
            return self._resolver.resolve(repo, revision, mode, exact=_only_exact(purpose))
        except CacheMiss as error:
            if error.offline:  # the resolver does not know what for
                command = prefetch_command(repo, revision, purpose)
                error.hint = f"run `{command}` with a network, or go online"
            raise

    def _decide(self, asked: RepoId, resolved: Resolved, wanted: Needs, mode: Mode) -> Work:
        if mode is not Mode.CACHE_ONLY and resolved.failure is None:
            resolved = self._resolver.describe(asked, resolved, wanted.wanted)
        effective = mode if resolved.failure is None else Mode.CACHE_ONLY
        disk = self._seen(resolved.manifest, wanted.wanted)
        plan = make_plan(resolved.manifest, wanted.wanted, disk, effective)
        return Work(asked, resolved, wanted, plan, mode)

    def _seen(self, manifest: Manifest, filenames: Iterable[str]) -> dict[str, OnDisk]:
        """Look at the disk under a lease: what is seen stays while this process lives."""
        held = self._store.lease(manifest.repo, manifest.commit)
        disk = self._store.inspect(manifest, filenames)
        if not held and any(state.pointer for state in disk.values()):
            # it came between the two, and may be deleted again
            self._store.lease(manifest.repo, manifest.commit)
            disk = self._store.inspect(manifest, filenames)
        return disk

    def _widen(self, work: Work, filenames: Iterable[str]) -> Work:
        """The same commit, other files."""
        named = tuple(filenames)
        work = replace(work, resolved=_doubting(work.resolved, Purpose(exact=named)))
        resolved = self._probed(work, [(name,) for name in named])
        entries = resolved.manifest.entries
        wanted = Needs(
            tuple(sorted(name for name in named if name in entries)),
            missing=tuple(name for name in named if name not in entries),
        )
        return self._decide(work.asked, resolved, wanted, work.mode)

    def _refuse_missing(self, work: Work) -> None:
        """Raise the one error that names everything that cannot be had."""
        error = refusal(work, self._store)
        if error is None:
            return
        if work.known_missing:
            mark_absent(self._store, work)
        raise error

    def _bring(self, work: Work, tracker: Callable[[], Tracker]) -> dict[str, str]:
        """Carry the work's plan out, then publish what was learnt: listing, absences, ref."""
        manifest = work.manifest
        if work.plan.idle:
            if (work.resolved.new or work.resolved.piecemeal) and work.plan.files:
                with contextlib.suppress(CacheReadOnly, DiskFull), self._store.batch():
                    publish(
                        self._store, work, self._settings.public_endpoint
                    )  # all is there: a disk that takes no note is no failure
            paths = {
                file.filename: str(
                    self._store.pointer_path(manifest.repo, manifest.commit, file.filename)
                )
                for file in work.plan.files
            }
        else:
            from hubloader.resolve.engine import Engine  # first use: threads, sockets, locks

            engine = Engine(self._settings, self._client, self._store)
            told = work.resolved.new and may_publish(work)
            with self._store.using(manifest.repo, manifest if told else None):
                seen = self._look_again(work)
                with self._store.batch():
                    done = engine.carry_out(seen.plan, tracker())
                    publish(self._store, seen, self._settings.public_endpoint)
                self._store.lease(manifest.repo, manifest.commit)
            paths = {name: file.path for name, file in done.items()}
        self._store.mark_used(manifest.repo, manifest.commit)
        return paths

    def _look_again(self, work: Work) -> Work:
        """Plan anew, now that nobody deletes: a content seen before may be gone."""
        self._store.check_names(work.manifest, work.needs.wanted)
        disk = self._store.inspect(work.manifest, work.needs.wanted)
        plan = make_plan(work.manifest, work.needs.wanted, disk, work.plan.mode)
        again = work if plan == work.plan else replace(work, plan=plan)  # 100,000 files, once
        self._refuse_missing(again)
        return again

    def _fetch_one(self, work: Work, filename: str, tracker: Callable[[], Tracker]) -> Path:
        manifest = work.manifest
        with about(repo_id=str(manifest.repo), revision=manifest.revision, filename=filename):
            more = self._widen(work, (filename,))
            self._refuse_missing(more)
            return Path(self._bring(more, tracker)[filename])

    def _available(self, work: Work) -> frozenset[str]:
        names = work.manifest.entries.keys()
        if work.mode is not Mode.CACHE_ONLY and work.resolved.failure is None:
            return frozenset(names)
        disk = self._store.inspect(work.manifest, sorted(names))
        return frozenset(name for name, state in disk.items() if state.blob)


def _hub_names(ref: ModelRef) -> tuple[RepoId, str]:
    if ref.repo is None:
        raise InvalidReference(f"{ref.path!r} is a folder, not a repository on the Hub")
    return ref.repo, ref.revision or DEFAULT_REVISION


def _within(ref: ModelRef, purpose: Purpose) -> Purpose:
    if ref.subfolder and not purpose.subfolder:
        return replace(purpose, subfolder=ref.subfolder)
    return purpose


def _only_exact(purpose: Purpose) -> tuple[str, ...]:
    if purpose.uses or purpose.include or purpose.exclude:
        return ()
    prefix = f"{purpose.subfolder}/" if purpose.subfolder else ""
    return tuple(prefix + name for name in purpose.exact)


def _doubting(resolved: Resolved, purpose: Purpose) -> Resolved:
    """Forget, of what must be there, that it was told to be absent: that answer may be wrong."""
    prefix = f"{purpose.subfolder}/" if purpose.subfolder else ""
    doubted = {prefix + name for name in purpose.exact}
    if doubted.isdisjoint(resolved.manifest.absent):
        return resolved
    manifest = resolved.manifest
    return replace(resolved, manifest=replace(manifest, absent=manifest.absent - doubted))
