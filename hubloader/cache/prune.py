"""Choose what leaves the cache. Pure: from a scan and a rule to a plan; ``removal.py`` carries out.

What goes, and in which order:

1. leftovers that nobody can use or is using: unfinished downloads that nobody writes, contents
   that no snapshot names, bad ones, drafts; unless they changed within ``grace``;
2. with ``detached``, revisions that no ref names;
3. with ``older_than``, revisions not loaded for so long;
4. with ``max_size``, the revisions least recently loaded, until what stays is small enough. A
   revision whose going frees nothing in the end (all it has is shared with one that stays) stays.

What is kept whatever the rule: what ``keep`` names (a lock, the command line) and what a ref below
``refs/hubloader/pin/`` names. When a revision was loaded is told by hubloader's own marks (to a
day), because file systems do not keep access times; one that hubloader never loaded counts as
loaded when it came. A mark from the future (a wrong clock) counts as now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubloader.cache.prune_plan import GRACE, PIN_PREFIX, Named, PrunePlan, Reason, Removal
from hubloader.cache.removal import Remover

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from hubloader.cache.removal import PruneResult
    from hubloader.cache.report import CacheReport, Leftover, RepoReport, RevisionReport
    from hubloader.types import RepoId

__all__ = [
    "GRACE",
    "PIN_PREFIX",
    "Named",
    "PrunePlan",
    "Reason",
    "Removal",
    "carry_out",
    "choose",
    "choose_named",
]


def choose(
    report: CacheReport,
    *,
    now: float,
    max_size: int | None = None,
    older_than: float | None = None,
    detached: bool = False,
    keep: Collection[Named] = (),
    grace: float = GRACE,
) -> PrunePlan:
    """Choose by age, size and use.

    Args:
        report: what is there.
        now: seconds since the epoch.
        max_size: bytes that may stay; None for no limit.
        older_than: seconds without a load after which a revision goes; None for never.
        detached: let go of revisions that no ref names.
        keep: repositories, or revisions of them, that stay.
        grace: seconds that leftovers stay.

    """
    sums = _Sums(report)
    leftovers = [
        left for repo in report.repos for left in repo.leftovers if now - left.changed >= grace
    ]
    for left in leftovers:
        sums.drop_leftover(left)
    queue = sorted(
        (
            (min(revision.last_needed, now), repo, revision)
            for repo in report.repos
            for revision in repo.revisions
            if not _is_kept(repo.repo, revision, keep)
        ),
        key=lambda item: (item[0], str(item[1].repo), item[2].commit),
    )
    for needed, repo, revision in queue:
        if detached and not revision.refs:
            sums.drop(repo, revision, Reason.DETACHED)
        elif older_than is not None and now - needed > older_than:
            sums.drop(repo, revision, Reason.OLD)
    if max_size is not None:
        for _, repo, revision in queue:
            if sums.left > max_size and not sums.is_dropped(repo, revision):
                sums.drop(repo, revision, Reason.SIZE)
        for _, repo, revision in reversed(queue):
            sums.restore_if_free(repo, revision)
    return sums.plan(leftovers)


def choose_named(
    report: CacheReport, names: Collection[Named], *, keep: Collection[Named] = ()
) -> PrunePlan:
    """Choose what was named: revisions, or whole repositories; pins do not count.

    What is not in the cache is not in the plan.
    """
    sums = _Sums(report)
    whole = {repo for repo, commit in names if commit is None}
    leftovers: list[Leftover] = []
    for repo in report.repos:
        for revision in repo.revisions:
            asked = repo.repo in whole or (repo.repo, revision.commit) in names
            kept = any(_names_it(name, repo.repo, revision.commit) for name in keep)
            if asked and not kept:
                sums.drop(repo, revision, Reason.ASKED)
        if repo.repo in whole and all(sums.is_dropped(repo, r) for r in repo.revisions):
            leftovers += repo.leftovers
    for left in leftovers:
        sums.drop_leftover(left)
    return sums.plan(leftovers, whole)


def carry_out(
    plan: PrunePlan,
    *,
    durable: bool = True,
    progress: Callable[[Removal], None] | None = None,
) -> PruneResult:
    """Delete what the plan says, as far as nobody uses it: see ``removal.py``."""
    return Remover(plan, durable=durable, progress=progress).run()


def _names_it(name: Named, repo: RepoId, commit: str) -> bool:
    return name[0] == repo and name[1] in {None, commit}


def _is_kept(repo: RepoId, revision: RevisionReport, keep: Iterable[Named]) -> bool:
    pinned = any(ref.startswith(PIN_PREFIX) for ref in revision.refs)
    return pinned or any(_names_it(name, repo, revision.commit) for name in keep)


class _Sums:
    """What stays and what goes, while choosing: each content is counted while somebody names it."""

    def __init__(self, report: CacheReport) -> None:
        self._report = report
        self._dropped: dict[tuple[RepoId, str], Removal] = {}
        self._uses: dict[tuple[RepoId, str], int] = {}
        for repo in report.repos:
            for revision in repo.revisions:
                for key in revision.contents:
                    place = (repo.repo, key)
                    self._uses[place] = self._uses.get(place, 0) + 1
        self.left = sum(
            repo.size + sum(left.size for left in repo.leftovers if left.kind not in _IN_SIZE)
            for repo in report.repos
        )
        self._all = self.left

    def is_dropped(self, repo: RepoReport, revision: RevisionReport) -> bool:
        return (repo.repo, revision.commit) in self._dropped

    def drop_leftover(self, left: Leftover) -> None:
        self.left -= left.size

    def drop(self, repo: RepoReport, revision: RevisionReport, reason: Reason) -> None:
        freed = 0
        for key in revision.contents:
            self._uses[repo.repo, key] -= 1
            if self._uses[repo.repo, key] == 0:
                freed += repo.contents[key]
        self.left -= freed
        self._dropped[repo.repo, revision.commit] = Removal(
            repo.repo,
            revision.commit,
            revision.refs,
            revision.files,
            freed,
            revision.last_used,
            reason,
        )

    def restore_if_free(self, repo: RepoReport, revision: RevisionReport) -> None:
        """Let a revision stay after all if all it has stays anyway."""
        removal = self._dropped.get((repo.repo, revision.commit))
        shared = all(self._uses[repo.repo, key] > 0 for key in revision.contents)
        if removal is None or removal.reason is not Reason.SIZE or not shared:
            return
        del self._dropped[repo.repo, revision.commit]
        for key in revision.contents:
            self._uses[repo.repo, key] += 1

    def plan(self, leftovers: Iterable[Leftover], whole: Iterable[RepoId] = ()) -> PrunePlan:
        gone = [repo for repo in self._report.repos if self._is_whole(repo, frozenset(leftovers))]
        named = set(whole)
        return PrunePlan(
            self._report.root,
            tuple(self._dropped.values()),
            tuple(leftovers),
            frozenset(
                repo.repo for repo in gone if repo.revisions or repo.leftovers or repo.repo in named
            ),
            self._all - self.left,
            self.left,
        )

    def _is_whole(self, repo: RepoReport, leftovers: frozenset[Leftover]) -> bool:
        gone = all(self.is_dropped(repo, revision) for revision in repo.revisions)
        return gone and leftovers.issuperset(repo.leftovers)


_IN_SIZE = frozenset({"orphan", "incomplete"})  # kinds that lie in ``blobs``, counted already
