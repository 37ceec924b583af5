"""Which commit a name means, and what that commit holds.

=============  ==================================  ===========  ====================================
mode           disk                                Hub          result
=============  ==================================  ===========  ====================================
any but FORCE  a full commit, its listing known    not asked    that manifest
CACHE_ONLY     ref, tag or short commit known      not asked    its manifest, or what the snapshot
                                                                holds
CACHE_ONLY     nothing                             not asked    CacheMiss
ONLINE         ref fresh by the refresh policy     not asked    its manifest
ONLINE         -                                   listed       the new manifest; the ref moves
                                                                after its files are there
ONLINE         ref and its listing                 not moved    its manifest
ONLINE, FORCE  -                                   no such      RevisionNotFound
                                                   revision
ONLINE         ref                                 unreachable  the old manifest, stale, one warning
ONLINE         ref                                 denied,      the old manifest, stale, one
                                                   gone         warning; raised if refresh=always
ONLINE         nothing                             unreachable  CacheMiss from the network's error
ONLINE         nothing                             denied       raised
FORCE          -                                   either       raised, never stale
=============  ==================================  ===========  ====================================

Whether a branch moved is asked with one HEAD, which draws on a wider rate limit than a listing
does, within ``refresh_timeout`` and without retries; the listing follows only when it did. A Hub
that could not be reached is left alone for a while in the whole process: the next load does not
wait for it again. An endpoint that lists nothing is asked file by file (``Resolver.probe``).
"""

from __future__ import annotations

import enum
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hubloader import notices
from hubloader.errors import (
    AccessDenied,
    CacheMiss,
    EntryNotFound,
    HubError,
    HubloaderError,
    ListingUnavailable,
    MalformedAnswer,
    NotFound,
    RevisionNotFound,
    TransportError,
)
from hubloader.names import is_commit
from hubloader.types import CommitHash, Entry, Manifest, Mode, Refresh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hubloader.cache.store import CacheStore
    from hubloader.hub.client import HubClient
    from hubloader.settings import Settings
    from hubloader.transport.base import Timeouts
    from hubloader.types import RepoId

__all__ = [
    "Answer",
    "Denied",
    "Listed",
    "Reachability",
    "Resolved",
    "Resolver",
    "RevisionMissing",
    "Unchanged",
    "Unreachable",
    "Verdict",
    "judge",
]

_USUAL = "config.json"  # asked for where an endpoint lists nothing: nearly every model has it
_LISTING_TIME = 10.0  # seconds a listing may take once the server answers
_LEFT_ALONE = 300.0  # seconds an unreachable endpoint is not asked again while something is cached


@dataclass(frozen=True)
class Listed:
    """The Hub told what the revision holds now."""

    manifest: Manifest


@dataclass(frozen=True)
class Unchanged:
    """The revision is still the commit that is cached."""


@dataclass(frozen=True)
class RevisionMissing:
    """The repository is there, the revision is not."""

    error: HubloaderError


@dataclass(frozen=True)
class Denied:
    """The repository is gone, or not for this token."""

    error: HubloaderError


@dataclass(frozen=True)
class Unreachable:
    """No usable answer came."""

    error: HubloaderError


Answer = Listed | Unchanged | RevisionMissing | Denied | Unreachable


class Verdict(enum.Enum):
    """Which manifest is used, or which error is raised."""

    NEW = "what the Hub listed"
    CACHED = "what is cached, as the Hub confirmed"
    STALE = "what is cached, with a warning"
    RAISE = "raise the Hub's error"
    MISS = "raise CacheMiss from the network's error"


def judge(answer: Answer, mode: Mode, refresh: Refresh | float, *, cached: bool) -> Verdict:
    """Decide what an answer of the Hub means; the lower rows of the table above."""
    if isinstance(answer, Listed):
        return Verdict.NEW
    if isinstance(answer, Unchanged):
        return Verdict.CACHED
    if isinstance(answer, RevisionMissing) or mode is Mode.FORCE:
        return Verdict.RAISE
    if isinstance(answer, Denied):
        keep = cached and refresh is not Refresh.ALWAYS
        return Verdict.STALE if keep else Verdict.RAISE
    return Verdict.STALE if cached else Verdict.MISS


def classify(error: HubloaderError) -> RevisionMissing | Denied | Unreachable:
    """Say which answer an error of the client is; raises it when it is none."""
    if isinstance(error, RevisionNotFound):
        return RevisionMissing(error)
    if isinstance(error, (AccessDenied, NotFound)):
        return Denied(error)
    if isinstance(error, (TransportError, HubError)):
        return Unreachable(error)
    raise error


@dataclass
class Reachability:
    """What a process knows of one endpoint, shared by its sessions: when it last did not answer."""

    clock: Callable[[], float] = time.monotonic
    _failed: tuple[float, HubloaderError] | None = None
    _warned: bool = False

    def recent_failure(self) -> HubloaderError | None:
        """Why the endpoint is to be left alone for now, or None."""
        if self._failed is None or self.clock() - self._failed[0] > _LEFT_ALONE:
            return None
        return self._failed[1]

    def failed(self, error: HubloaderError) -> None:
        """Note that it did not answer."""
        self._failed = (self.clock(), error)

    def to_be_told(self) -> bool:
        """Whether the user has not been warned yet; asked once, the answer is no from then on."""
        first, self._warned = not self._warned, True
        return first

    def answered(self) -> None:
        """Note that it answered."""
        self._failed = None


@dataclass(frozen=True)
class Resolved:
    """A commit and what it holds.

    ``new``: the listing came from the Hub just now and is not kept on disk yet. ``listable``: False
    when the endpoint lists nothing and each file has to be asked for. ``failure``: why a cached
    revision stands in for the Hub's answer.
    """

    manifest: Manifest
    new: bool = False
    listable: bool = True
    failure: HubloaderError | None = None


@dataclass
class _Known:
    """What this process was told of one revision: one lock, so that two loads ask once."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    resolved: Resolved | None = None
    asked: float = 0.0


class Resolver:
    """Turns names into manifests, asking as little as the refresh policy allows.

    Args:
        settings: the refresh policy and its timeout.
        client: makes, or returns, the client of the endpoint; called at first need.
        store: the cache.
        reachability: what the process knows of the endpoint.
        clock: seconds, monotonic.

    """

    def __init__(
        self,
        settings: Settings,
        client: Callable[[], HubClient],
        store: CacheStore,
        *,
        reachability: Reachability | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._client = client
        self._store = store
        self._reachability = reachability or Reachability(clock)
        self._clock = clock
        self._known: dict[tuple[RepoId, str], _Known] = {}

    def resolve(
        self, repo: RepoId, revision: str, mode: Mode, *, exact: tuple[str, ...] = ()
    ) -> Resolved:
        """Turn a revision into a commit and what it holds.

        Args:
            repo: the repository.
            revision: branch, tag, ``refs/pr/N`` or commit.
            mode: what the network may be used for.
            exact: the files wanted, where nothing else is: a manifest that has them will do, even
                if it is not the whole listing.

        Raises:
            CacheMiss: it is not in the cache, and the network is off or could not be reached.
            RevisionNotFound: the Hub has no such revision.
            NotFound, AccessDenied: the repository is not there, or not for this token.

        """
        if mode is Mode.CACHE_ONLY:
            return self._from_disk(repo, revision)
        known = self._known.setdefault((repo, revision), _Known())
        with known.lock:
            resolved = self._remembered(known, revision, mode, exact)
            if resolved is None:
                resolved = self._look(repo, revision, mode, exact)
                known.resolved, known.asked = resolved, self._clock()
            return resolved

    def _remembered(
        self, known: _Known, revision: str, mode: Mode, exact: tuple[str, ...]
    ) -> Resolved | None:
        resolved, refresh = known.resolved, self._settings.refresh
        if resolved is None or mode is Mode.FORCE:
            return None
        if resolved.listable and not _will_do(resolved.manifest, exact):
            return None
        if resolved.failure is not None and isinstance(classify(resolved.failure), Unreachable):
            return None
        if is_commit(revision) or refresh in {Refresh.SESSION, Refresh.NEVER}:
            return resolved
        aged = isinstance(refresh, Refresh) or self._clock() - known.asked > refresh
        return None if aged else resolved

    def _from_disk(self, repo: RepoId, revision: str) -> Resolved:
        cached = self._cached(repo, revision, guess=True)
        if cached is None:
            raise CacheMiss(
                f"{repo} at revision {revision!r} is not in the cache, and the network is off",
                hint=f"run `hubloader prefetch {repo}@{revision}` with a network, or go online "
                "(HF_HUB_OFFLINE, local_files_only)",
                repo_id=str(repo),
                revision=revision,
            )
        return Resolved(cached)

    def _cached(self, repo: RepoId, revision: str, *, guess: bool = False) -> Manifest | None:
        """What the cache knows of the revision, under this name or the canonical one.

        ``guess`` takes the one cached repository of a one-part name for it: only where nobody can
        be asked.
        """
        for home in dict.fromkeys((repo, self._store.canonical(repo, guess=guess))):
            commit = self._store.known_commit(home, revision)
            if commit is not None:
                manifest = self._store.read_manifest(home, revision, commit)
                if manifest is not None:
                    return manifest
        return None

    def _look(self, repo: RepoId, revision: str, mode: Mode, exact: tuple[str, ...]) -> Resolved:
        cached = self._cached(repo, revision)
        question = revision
        if cached is not None and mode is Mode.ONLINE and self._fresh(cached.repo, revision):
            if _will_do(cached, exact):
                return Resolved(cached)
            question = cached.commit
        answer, listable = self._ask(repo, question, cached if mode is Mode.ONLINE else None, exact)
        verdict = judge(answer, mode, self._settings.refresh, cached=cached is not None)
        if isinstance(answer, Listed):
            manifest = self._at_home(replace(answer.manifest, repo=repo, revision=revision), cached)
            return Resolved(manifest, new=listable, listable=listable)
        if isinstance(answer, Unchanged):
            return Resolved(_known_to_be(cached))
        if verdict is Verdict.RAISE or isinstance(answer, RevisionMissing):
            raise answer.error
        if verdict is Verdict.MISS:
            raise self._miss(repo, revision, answer.error) from answer.error
        stale = replace(_known_to_be(cached), stale=answer.error.sentence())
        self._warn(stale, answer)
        return Resolved(stale, failure=answer.error)

    def _fresh(self, repo: RepoId, revision: str) -> bool:
        """Whether the cached answer is good without asking."""
        refresh = self._settings.refresh
        if is_commit(revision) or refresh is Refresh.NEVER:
            return True
        if isinstance(refresh, Refresh):
            return False
        age = self._store.ref_age(repo, revision)
        return age is not None and age <= refresh

    def _ask(
        self, repo: RepoId, revision: str, cached: Manifest | None, exact: tuple[str, ...]
    ) -> tuple[Answer, bool]:
        """Ask the Hub; ``cached`` is what would do if it does not answer.

        Returns:
            The answer, and whether the endpoint lists what a revision holds.

        """
        failure = self._reachability.recent_failure()
        if cached is not None and failure is not None:
            return Unreachable(failure), True
        hasty = cached is not None and not _will_do(cached, exact)
        try:
            if cached is not None and not hasty and self._still(repo, revision, cached):
                self._reachability.answered()
                return Unchanged(), True
            manifest, listable = self._list(repo, revision, exact or (_USUAL,), hasty=hasty)
        except HubloaderError as error:
            answer = classify(error)
            if isinstance(answer, Unreachable):
                self._reachability.failed(error)
            return answer, True
        self._reachability.answered()
        return Listed(manifest), listable

    def _still(self, repo: RepoId, revision: str, cached: Manifest) -> bool:
        """Whether the branch is where it was; False too when the endpoint does not tell."""
        from hubloader.transport.base import Timeouts  # first use

        limit = Timeouts.within(self._settings.refresh_timeout)
        try:
            commit = self._client().head_commit(repo, revision, timeouts=limit)
        except (MalformedAnswer, EntryNotFound):
            return False
        self._confirm(cached, revision, commit)
        return commit == cached.commit

    def _confirm(self, cached: Manifest, revision: str, commit: CommitHash) -> None:
        """Keep, for other processes, that the ref is right; only where the policy counts time."""
        counts = not isinstance(self._settings.refresh, Refresh)
        if counts and commit == cached.commit:
            self._store.confirm_ref(cached.repo, revision)

    def _list(
        self, repo: RepoId, revision: str, ask_for: tuple[str, ...], *, hasty: bool
    ) -> tuple[Manifest, bool]:
        try:
            return self._client().list_revision(repo, revision, timeouts=self._limit(hasty)), True
        except ListingUnavailable:
            empty = self._unlisted(repo, revision, ask_for)
            if empty is None:
                raise
            return empty, False

    def _limit(self, hasty: bool) -> Timeouts | None:
        """Patience for a listing; little of it while something cached would do."""
        if not hasty:
            return None
        from hubloader.transport.base import Timeouts  # first use

        wait = self._settings.refresh_timeout
        return Timeouts(connect=wait, idle=wait, total=wait + _LISTING_TIME)

    def _unlisted(self, repo: RepoId, revision: str, ask_for: tuple[str, ...]) -> Manifest | None:
        """A manifest begun by asking for single files, or None when those are not there either."""
        for filename in ask_for:
            try:
                told = self._client().head_file(repo, revision, filename)
            except (NotFound, MalformedAnswer):
                continue
            if told.commit is None:
                raise MalformedAnswer(
                    f"{self._settings.endpoint} does not say which commit {revision!r} is",
                    hint="give the full commit as the revision",
                    repo_id=str(repo),
                    revision=revision,
                )
            entries = {filename: _entry(told.etag, told.size, told.xet_hash, filename)}
            return Manifest(repo, revision, told.commit, entries, complete=False)
        return None

    def probe(self, manifest: Manifest, groups: Iterable[tuple[str, ...]]) -> Manifest:
        """Ask for single files where the endpoint lists nothing: one HEAD a file.

        Args:
            manifest: what is known so far.
            groups: of each, the names are asked in order until one is there.

        Returns:
            The manifest with what was found in ``entries`` and the rest in ``absent``.

        """
        entries, absent = dict(manifest.entries), set(manifest.absent)
        for group in groups:
            for filename in group:
                if filename in entries:
                    break
                if filename in absent:
                    continue
                try:
                    told = self._client().head_file(manifest.source, manifest.commit, filename)
                except NotFound:
                    absent.add(filename)
                    continue
                entries[filename] = _entry(told.etag, told.size, told.xet_hash, filename)
                break
        return replace(manifest, entries=entries, absent=frozenset(absent))

    def describe(self, manifest: Manifest, filenames: Iterable[str]) -> Manifest:
        """Ask for the hash and size of files that the endpoint listed by name alone."""
        entries = dict(manifest.entries)
        for filename in filenames:
            if not (entries[filename].sha256 or entries[filename].git_sha1):
                told = self._client().head_file(manifest.source, manifest.commit, filename)
                entries[filename] = _entry(told.etag, told.size, told.xet_hash, filename)
        return replace(manifest, entries=entries)

    def _at_home(self, manifest: Manifest, cached: Manifest | None) -> Manifest:
        """Choose the folder: where the repository is cached already under its canonical name."""
        if cached is not None:
            return replace(manifest, repo=cached.repo)
        repo = manifest.repo
        if manifest.canonical is None or manifest.canonical == str(repo):
            return manifest
        canonical = type(repo).parse(manifest.canonical, repo.repo_type)
        known = self._store.known_commit(canonical, manifest.revision) is not None
        return replace(manifest, repo=canonical) if known else manifest

    def _miss(self, repo: RepoId, revision: str, error: HubloaderError) -> CacheMiss:
        return CacheMiss(
            f"{repo} at revision {revision!r} is not in the cache, and {self._settings.endpoint} "
            f"gave no usable answer: {error.sentence()}",
            offline=False,
            hint=error.hint or "check the connection and the endpoint, and try again",
            repo_id=str(repo),
            revision=revision,
        )

    def _warn(self, manifest: Manifest, answer: Denied | Unreachable) -> None:
        if isinstance(answer, Unreachable) and not self._reachability.to_be_told():
            return
        notices.warn(
            f"{manifest.repo}@{manifest.revision} is used as cached (commit "
            f"{manifest.commit[:8]}), it may be outdated: {answer.error.sentence()}"
        )


def _will_do(manifest: Manifest, exact: tuple[str, ...]) -> bool:
    """Whether the manifest answers what is wanted: it is whole, or has all that was named."""
    return manifest.complete or (bool(exact) and manifest.entries.keys() >= set(exact))


def _known_to_be(cached: Manifest | None) -> Manifest:
    if cached is None:  # judge() gives CACHED and STALE only where something is cached
        raise AssertionError
    return cached


def _entry(etag: str | None, size: int | None, xet_hash: str | None, filename: str) -> Entry:
    if etag is None:
        raise MalformedAnswer(
            f"the endpoint names no hash for {filename!r}, so its content cannot be checked",
            filename=filename,
        )
    if len(etag) == 64:
        return Entry(size, sha256=etag, xet_hash=xet_hash)
    return Entry(size, git_sha1=etag, xet_hash=xet_hash)
