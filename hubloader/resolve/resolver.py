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

import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hubloader import notices
from hubloader.errors import (
    CacheMiss,
    EntryNotFound,
    HubloaderError,
    ListingUnavailable,
    MalformedAnswer,
)
from hubloader.names import is_commit
from hubloader.resolve import probing
from hubloader.resolve.ahead import import_ahead
from hubloader.resolve.answers import (
    Denied,
    Listed,
    Reachability,
    RevisionMissing,
    Unchanged,
    Unreachable,
    Verdict,
    classify,
    is_of_the_endpoint,
    judge,
)
from hubloader.resolve.cached import CachedRevisions, Resolved, will_do
from hubloader.resolve.probing import is_described
from hubloader.types import Manifest, Mode, Refresh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hubloader.cache.store import CacheStore
    from hubloader.hub.client import HubClient
    from hubloader.resolve.answers import Answer
    from hubloader.settings import Settings
    from hubloader.transport.base import Timeouts
    from hubloader.types import CommitHash, RepoId

__all__ = ["Resolver"]

_USUAL = "config.json"  # asked for where an endpoint lists nothing: nearly every model has it
_LISTING_TIME = 10.0  # seconds a listing may take once the server answers


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
        asker: gives a digest of all that an answer may depend on, for sharing it with other
            processes; None: it is not shared.

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
        self._asker = asker
        self._settings = settings
        self._client = client
        self._store = store
        self._cached = CachedRevisions(store, settings.public_endpoint)
        self._reachability = reachability or Reachability(clock)
        self._clock = clock
        self._known: dict[tuple[RepoId, str], _Known] = {}

    def after_fork(self) -> None:
        """Forget, in a forked child, what other threads were being told at that moment."""
        self._known = {key: known for key, known in self._known.items() if not known.lock.locked()}

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
            return self._cached.offline(repo, revision)
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
        if not will_do(resolved, exact):
            return None
        if resolved.failure is not None and isinstance(classify(resolved.failure), Unreachable):
            return None
        if is_commit(revision) or refresh in {Refresh.SESSION, Refresh.NEVER}:
            return resolved
        aged = isinstance(refresh, Refresh) or self._clock() - known.asked > refresh
        return None if aged else resolved

    def _look(self, repo: RepoId, revision: str, mode: Mode, exact: tuple[str, ...]) -> Resolved:
        cached = self._cached.find(repo, revision)
        question = revision
        if (
            cached is not None
            and mode is Mode.ONLINE
            and self._fresh(cached.manifest.repo, revision)
        ):
            if will_do(cached, exact):
                return cached
            question = cached.manifest.commit
        instead = cached or (
            self._cached.find(repo, revision, guess=True) if not repo.namespace else None
        )
        asked = (cached, instead) if mode is Mode.ONLINE else (None, None)
        answer, listable = self._ask(repo, question, *asked, exact)
        if isinstance(answer, Unreachable):
            cached = instead
        verdict = judge(answer, mode, self._settings.refresh, cached=cached is not None)
        if isinstance(answer, Listed):
            return self._listed(
                replace(answer.manifest, repo=repo, revision=revision), cached, listable=listable
            )
        if isinstance(answer, Unchanged):
            return _known_to_be(cached)
        if verdict is Verdict.RAISE or isinstance(answer, RevisionMissing):
            raise answer.error
        if verdict is Verdict.MISS:
            raise self._miss(repo, revision, answer.error) from answer.error
        stale = replace(_known_to_be(cached).manifest, stale=answer.error.sentence())
        self._warn(stale, answer)
        return Resolved(stale, failure=answer.error)

    def _listed(self, manifest: Manifest, cached: Resolved | None, *, listable: bool) -> Resolved:
        manifest = self._at_home(manifest, cached)
        piecemeal = not listable or not all(map(is_described, manifest.entries.values()))
        return Resolved(manifest, new=listable, listable=listable, piecemeal=piecemeal)

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
        self,
        repo: RepoId,
        revision: str,
        cached: Resolved | None,
        instead: Resolved | None,
        exact: tuple[str, ...],
    ) -> tuple[Answer, bool]:
        """Ask the Hub whether ``cached`` still holds; ``instead`` will do if it does not answer.

        Returns:
            The answer, and whether the endpoint lists what a revision holds.

        """
        failure = self._reachability.recent_failure()
        if instead is not None and failure is not None:
            return Unreachable(failure), True
        whole = cached is not None and will_do(cached, exact)
        hasty = instead is not None and not whole
        try:
            if cached is not None and whole and self._still(repo, revision, cached.manifest):
                self._reachability.answered()
                return Unchanged(), True
            manifest, listable = self._list(repo, revision, exact or (_USUAL,), hasty=hasty)
        except HubloaderError as error:
            answer = classify(error)
            if isinstance(answer, Unreachable) and is_of_the_endpoint(error):
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
            return self._listing(repo, revision, hasty=hasty), True
        except ListingUnavailable:
            begun = probing.begun(self._client(), repo, revision, ask_for)
            if begun is None:
                raise
            return begun, False

    def _listing(self, repo: RepoId, revision: str, *, hasty: bool) -> Manifest:
        """Ask, or be told by another process that asks the same at this moment."""
        if hasty or self._asker is None:  # there is little time, and no waiting for others in it
            return self._client().list_revision(repo, revision, timeouts=self._limit(hasty))
        with self._store.question(repo, revision, self._asker()) as question:
            if question.answer is not None:
                return question.answer
            client = self._client()
            import_ahead()
            question.put()
            manifest = client.list_revision(repo, revision)
            question.tell(manifest)
        return manifest

    def _limit(self, hasty: bool) -> Timeouts | None:
        """Patience for a listing; little of it while something cached would do."""
        if not hasty:
            return None
        from hubloader.transport.base import Timeouts  # first use

        wait = self._settings.refresh_timeout
        return Timeouts(connect=wait, idle=wait, total=wait + _LISTING_TIME)

    def probe(
        self, asked: RepoId, resolved: Resolved, groups: Iterable[tuple[str, ...]]
    ) -> Resolved:
        """Ask for single files where the endpoint lists nothing; see ``probing.probed``.

        Args:
            asked: the repository, as the user named it.
            resolved: what ``resolve`` said of it.
            groups: of each, the names are asked in order until one is there.

        Returns:
            The same with what was found in ``entries`` and the rest in ``absent``.

        """
        threads = self._settings.max_workers
        found = probing.probed(self._client(), resolved.manifest, groups, threads)
        return self._learnt(asked, resolved, found)

    def describe(self, asked: RepoId, resolved: Resolved, filenames: Iterable[str]) -> Resolved:
        """Ask for the hash and size of files that the endpoint listed by name alone."""
        manifest = resolved.manifest
        if all(is_described(manifest.entries[name]) for name in filenames):
            return resolved
        threads = self._settings.max_workers
        found = probing.described(self._client(), manifest, filenames, threads)
        return self._learnt(asked, resolved, found)

    def _learnt(self, asked: RepoId, resolved: Resolved, manifest: Manifest) -> Resolved:
        """Remember, for the next load of this process, what was told of single files."""
        known = self._known.get((asked, manifest.revision))
        if known is not None:
            with known.lock:
                before = known.resolved
                if before is not None and before.manifest.commit == manifest.commit:
                    known.resolved = replace(before, manifest=manifest)
        return replace(resolved, manifest=manifest)

    def _at_home(self, manifest: Manifest, cached: Resolved | None) -> Manifest:
        """Choose the folder: where the repository is cached already under its canonical name."""
        if cached is not None:
            return replace(manifest, repo=cached.manifest.repo)
        repo = manifest.repo
        if manifest.canonical is None or manifest.canonical == str(repo):
            return manifest
        canonical = type(repo).parse(manifest.canonical, repo.repo_type)
        known = self._store.known_commit(canonical, manifest.revision) is not None
        return replace(manifest, repo=canonical) if known else manifest

    def _miss(self, repo: RepoId, revision: str, error: HubloaderError) -> CacheMiss:
        return CacheMiss(
            f"{repo} at revision {revision!r} is not in the cache, and "
            f"{self._settings.public_endpoint} gave no usable answer: {error.sentence()}",
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


def _known_to_be(cached: Resolved | None) -> Resolved:
    if cached is None:  # judge() gives CACHED and STALE only where something is cached
        raise AssertionError
    return cached
