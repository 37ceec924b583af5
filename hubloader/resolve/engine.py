"""Carries a plan out: hashes what is doubted, links what is there, fetches what is missing.

For each content to fetch, one line each: take the blob's lock; **look again**; open the stream;
write to a private partial, counted and hashed; compare; name it; let the lock go; point to it. A
content that does not match is thrown away and fetched once more, then it is an error. Contents are
fetched side by side, each once, however many names it has.

A file that fails does not stop the others, unless the disk is full or cannot be written; at the end
one error tells of all that failed (``combined``).
"""

from __future__ import annotations

import copy
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from hubloader.errors import (
    AccessDenied,
    CacheMiss,
    CacheReadOnly,
    DiskFull,
    Forbidden,
    GatedRepository,
    HubloaderError,
    IntegrityError,
    LockTimeout,
    about,
    gravity,
)
from hubloader.resolve.manifest import content_key
from hubloader.resolve.patience import patience
from hubloader.resolve.plan import Action, FilePlan, Plan
from hubloader.resolve.progress import Step
from hubloader.resolve.throttle import Throttle
from hubloader.resolve.transfer import Line, Transfer
from hubloader.resolve.workers import Stop, run_all
from hubloader.types import CachedFile, Mode, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from hubloader.cache.store import CacheStore
    from hubloader.cache.writer import BlobWriter
    from hubloader.hub.client import HubClient
    from hubloader.resolve.progress import Tracker
    from hubloader.settings import Settings
    from hubloader.types import Manifest

__all__ = ["Engine", "combined"]

_FORBIDDEN = 16  # files after which no more are asked for, when not one was handed out
_UNNAMED = 2.0  # seconds that a content may wait for its name while others are still coming


@dataclass(slots=True)  # a repository has 100,000
class _Content:
    """One blob to fetch, under all the names the plan has for it."""

    files: list[FilePlan]

    @property
    def first(self) -> FilePlan:
        return self.files[0]


class Engine:
    """Acts; every decision was made in the plan.

    Args:
        settings: workers, retry budget, lock timeout.
        client: makes, or returns, the endpoint's client; called when a download begins.
        store: the cache.
        clock: seconds, monotonic.

    """

    def __init__(
        self,
        settings: Settings,
        client: Callable[[], HubClient],
        store: CacheStore,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._client = client
        self._store = store
        self._clock = clock

    def carry_out(self, plan: Plan, tracker: Tracker) -> dict[str, CachedFile]:
        """Do what the plan says.

        Returns:
            Each planned file, by its name in the repository. Inside ``CacheStore.batch`` a path
            names its file from the end of the batch on.

        Raises:
            DiskFull: there is not enough room; nothing was fetched.
            CacheMiss: cached content is bad, and the network may not be used.
            HubloaderError: files failed; the others are there.

        """
        plan, healed = self._checked(plan)
        done: dict[str, CachedFile] = {}
        for file in plan.files:
            if file.action is not Action.DOWNLOAD:
                done[file.filename] = self._linked(plan.manifest, file)
        if plan.downloads:
            self._refuse_without_room(plan)
            done.update(self._fetch_all(plan, healed, tracker))
        return done

    # what is there already

    def _checked(self, plan: Plan) -> tuple[Plan, frozenset[str]]:
        """Hash what is doubted; what turns out bad is to be fetched, and was to be healed."""
        bad = {
            file.filename
            for file in plan.files
            if file.verify and not self._store.verify_blob(plan.manifest, file.filename)
        }
        if bad and plan.mode is Mode.CACHE_ONLY:
            names = ", ".join(sorted(bad))
            raise CacheMiss(
                f"the cached content of {names} does not match its hash, and the network is off",
                missing=tuple(sorted(bad)),
                filename=min(bad),
                hint=f"run `hubloader verify --repair {plan.manifest.repo}` with a network",
            )
        if any(file.verify for file in plan.files):
            plan = replace(plan, files=tuple(_after_hashing(file, bad) for file in plan.files))
        return plan, frozenset(bad)

    def _linked(self, manifest: Manifest, file: FilePlan) -> CachedFile:
        if file.action is Action.LINK:
            return _cached(
                manifest, file, self._store.link(manifest, file.filename), Outcome.LINKED
            )
        path = self._store.pointer_path(manifest.repo, manifest.commit, file.filename)
        return _cached(manifest, file, path, Outcome.HIT)

    def _refuse_without_room(self, plan: Plan) -> None:
        self._store.check_room(plan.fetch_bytes, len(plan.downloads))

    # what has to come

    def _fetch_all(
        self, plan: Plan, healed: frozenset[str], tracker: Tracker
    ) -> dict[str, CachedFile]:
        contents: dict[str, _Content] = {}
        for file in plan.downloads:
            key = content_key(file.entry) or file.filename
            contents.setdefault(key, _Content([])).files.append(file)
        threads = min(self._settings.max_workers, len(contents))
        line = Line(
            connect=self._client,
            policy=patience(self._settings),
            permits=threading.BoundedSemaphore(self._settings.max_workers),
            tracker=tracker,
            stop=Stop(),
            clock=self._clock,
            most=self._settings.max_workers,
            throttle=Throttle(self._settings.limit_rate, self._clock),
        )
        job = _Job(plan, healed, self._store, self._settings, line)
        tracker.begin({c.first.filename: c.first.entry.size for c in contents.values()})
        try:
            run_all(
                [partial(job.run, content) for content in contents.values()],
                threads,
                line.stop,
                meanwhile=partial(self._store.name_old, _UNNAMED),
            )
        finally:
            line.stop.set()
            tracker.end()
        if job.failures:
            raise combined(job.failures)
        return job.done


class _Job:
    """The downloads of one plan: what is done, what failed."""

    def __init__(
        self,
        plan: Plan,
        healed: frozenset[str],
        store: CacheStore,
        settings: Settings,
        line: Line,
    ) -> None:
        self.done: dict[str, CachedFile] = {}
        self.failures: dict[str, HubloaderError] = {}
        self._plan = plan
        self._manifest = plan.manifest
        self._healed = healed
        self._store = store
        self._settings = settings
        self._line = line
        self._guard = threading.Lock()
        self._by_xet = settings.xet
        self._waiting = 0  # threads that wait for another process

    def run(self, content: _Content) -> None:
        """Bring one content and point to it; what fails is kept in ``failures``."""
        name = content.first.filename
        manifest = self._manifest
        try:
            with about(repo_id=str(manifest.repo), revision=manifest.revision, filename=name):
                fetched = self._bring(content)
        except HubloaderError as error:
            _as_asked(error, manifest)
            self.failures[name] = error
            self._line.tracker.fail(name, error.sentence())
            if self._is_of_all(error):
                self._line.stop.set()  # the others would only find the same
            return
        if fetched is None:
            return
        for file in content.files:
            path = self._store.link(manifest, file.filename)
            outcome = Outcome.HEALED if file.filename in self._healed else fetched
            self.done[file.filename] = _cached(manifest, file, path, outcome)
        self._line.tracker.finish(name)

    def _is_of_all(self, error: HubloaderError) -> bool:
        """Whether a failure is the disk's or the repository's, and no single file's.

        A mirror may forbid single files (pickles, say); one that forbids many and gave none out
        forbids them all.
        """
        if isinstance(error, Forbidden):
            return not self.done and len(self.failures) >= _FORBIDDEN
        return isinstance(error, (DiskFull, CacheReadOnly, AccessDenied))

    def _bring(self, content: _Content) -> Outcome | None:
        """Fetch under the lock, unless another process did; None when the line stopped."""
        file = content.first
        with ExitStack() as until_named:
            self._lock(file, until_named)
            if self._line.stop:
                return None
            if self._plan.mode is not Mode.FORCE and self._came_meanwhile(file):
                return Outcome.LINKED
            return self._download(file)

    def _lock(self, file: FilePlan, until_named: ExitStack) -> None:
        repo, etag = self._manifest.repo, file.entry.etag
        try:
            until_named.enter_context(self._store.blob_lock(repo, etag, limit=0))
        except LockTimeout:
            pass
        else:
            return

        def tell(holder: str, waited: float, received: int) -> None:
            self._name_gathered()
            detail = f"{holder} is fetching it ({waited:.0f} s)"
            self._line.tracker.wait(file.filename, received, detail)

        with self._counted():
            # whoever we wait for may wait for what we hold and have not named yet
            self._name_gathered()
            stall = self._settings.lock_timeout
            until_named.enter_context(
                self._store.blob_lock(
                    repo, etag, stall=stall, limit=self._settings.wait_lock, on_wait=tell
                )
            )

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._guard:
            self._waiting += 1
        try:
            yield
        finally:
            with self._guard:
                self._waiting -= 1

    def _name_gathered(self) -> None:
        with self._store.batch():
            pass  # its end names, and unlocks, all that was gathered

    def _came_meanwhile(self, file: FilePlan) -> bool:
        state = self._store.inspect(self._manifest, [file.filename])[file.filename]
        if not state.blob:
            return False
        return state.trusted or self._store.verify_blob(self._manifest, file.filename)

    def _download(self, file: FilePlan) -> Outcome | None:
        resume = self._plan.mode is not Mode.FORCE
        try:
            return self._attempt(file, resume=resume)
        except IntegrityError as error:
            self._line.tracker.note(Step.RETRY, file.filename, error.sentence())
            # in one stream: a cache on the way that mixes up ranges has no part in it then
            return self._attempt(file, resume=False, divided=False)

    def _attempt(self, file: FilePlan, *, resume: bool, divided: bool = True) -> Outcome | None:
        manifest = self._manifest
        with self._store.writer(manifest.repo, file.entry, resume=resume) as writer:
            self._line.tracker.start(file.filename, writer.received)
            transfer = Transfer(self._line, manifest.source, manifest.commit, file.filename, writer)
            try:
                if not (divided and self._came_by_xet(file, writer)):
                    transfer.run(divided=divided)
            except IntegrityError:
                writer.discard()
                raise
            if self._line.stop:
                return None
            writer.commit()
        if self._waiting:
            self._name_gathered()
        return Outcome.DOWNLOADED

    def _came_by_xet(self, file: FilePlan, writer: BlobWriter) -> bool:
        """Whether the Xet client brought the content; False where plain HTTP has to."""
        if not (self._by_xet and file.entry.xet_hash and file.entry.sha256):
            return False
        if writer.received:  # gone on with over HTTP: Xet would begin anew
            return False
        from hubloader.resolve.xet import XetFailed, bring_by_xet  # first use: it is not the usual

        try:
            bring_by_xet(self._line, self._manifest, file.filename, file.entry, writer)
        except XetFailed as error:
            self._by_xet = False  # it tried for a minute: not that for each of the others too
            self._line.tracker.note(Step.RETRY, file.filename, f"{error}; over HTTP now")
            return False
        return True


def _after_hashing(file: FilePlan, bad: set[str]) -> FilePlan:
    if file.filename in bad:
        return replace(file, action=Action.DOWNLOAD, verify=False, fetch=file.entry.size or 0)
    return replace(file, verify=False) if file.verify else file


def _cached(manifest: Manifest, file: FilePlan, path: Path, outcome: Outcome) -> CachedFile:
    return CachedFile(
        filename=file.filename,
        path=str(path),
        commit=manifest.commit,
        digest=content_key(file.entry),
        size=file.entry.size or 0,
        outcome=outcome,
    )


def _as_asked(error: HubloaderError, manifest: Manifest) -> None:
    """Let an error name what the user asked for, where the request named what that turned out."""
    if error.revision == manifest.commit:
        error.revision = manifest.revision
    if error.repo_id == str(manifest.source):
        error.repo_id = str(manifest.repo)
    if isinstance(error, GatedRepository):
        error.filename = None  # the whole repository is


def combined(failures: Mapping[str, HubloaderError]) -> HubloaderError:
    """One error for several files: of the gravest kind among them, telling of each.

    Its ``failures`` are the errors themselves. A repository that is not handed out is one failure,
    however many files were asked for; what is the same of several files is said once.
    """
    errors = sorted(failures.items(), key=lambda item: (gravity(item[1]), item[0]))
    gravest = errors[0][1]
    if len({_denial(failure) for _, failure in errors}) == 1:
        return gravest
    error = copy.copy(gravest)
    said: dict[str, list[str]] = {}
    for name, failure in errors:
        said.setdefault(failure.message, []).append(name)
    lines = "; ".join(f"{', '.join(names)}: {message}" for message, names in said.items())
    error.message = f"{len(errors)} files could not be fetched: {lines}"
    error.args = (error.message,)
    error.filename = None
    error.failures = tuple(failure for _, failure in errors)
    error.__cause__ = gravest
    return error


def _denial(failure: HubloaderError) -> object:
    """What is the same of errors that are one refusal of one repository."""
    if isinstance(failure, AccessDenied) and not isinstance(failure, Forbidden):
        return type(failure), failure.repo_id, failure.message
    return failure
