"""Take revisions out of the cache: by name, by age and size, or all but what locks name."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from hubloader.auto.locks import desk_for
from hubloader.auto.verifying import cached
from hubloader.errors import HubloaderError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubloader.cache.prune import Named, PrunePlan
    from hubloader.cache.removal import PruneResult
    from hubloader.locking.desk import Desk
    from hubloader.types import RepoType

__all__ = ["kept_by", "plan_others", "plan_prune", "plan_removal", "remove"]

_LOCK = ".lock"  # what is called so is a lock, also one that is not there


def plan_removal(
    names: Iterable[str],
    *,
    keep: Iterable[str | os.PathLike[str]] = (),
    repo_type: RepoType = "model",
    **hub: Any,
) -> PrunePlan:
    """Choose what was named: ``org/name`` is the whole repository, ``org/name@rev`` a revision.

    Args:
        names: what goes.
        keep: what stays: locks whose commits do, and names (``org/name``, ``org/name@rev``).
        repo_type: model, dataset or space.
        **hub: ``cache_dir``.

    Raises:
        CacheMiss: the cache has no such thing, or nothing to keep of a name; nothing is chosen.

    """
    from hubloader.cache.prune import choose_named
    from hubloader.cache.report import scan
    from hubloader.locking.several import as_one

    desk = desk_for(hub)
    chosen: list[Named] = []
    failures: list[HubloaderError] = []
    for name in names:
        try:
            chosen.append(cached(desk, name, repo_type))
        except HubloaderError as error:  # noqa: PERF203  # every name is tried
            failures.append(error)
    if failures:
        raise as_one(failures)
    kept = _kept(keep, desk, repo_type)
    return choose_named(scan(desk.store.layout.root), chosen, keep=kept)


def plan_prune(
    *,
    max_size: int | None = None,
    older_than: float | None = None,
    detached: bool = False,
    keep: Iterable[str | os.PathLike[str]] = (),
    repo_type: RepoType = "model",
    **hub: Any,
) -> PrunePlan:
    """Choose by size and age, the least recently used first; leftovers of dead processes too.

    Args:
        max_size: bytes that may stay.
        older_than: seconds without a load after which a revision goes.
        detached: let go of revisions that no ref names.
        keep: what stays: locks whose commits do, and names (``org/name``, ``org/name@rev``).
        repo_type: model, dataset or space: what kind the names in ``keep`` mean.
        **hub: ``cache_dir``.

    Raises:
        CacheMiss: the cache has nothing of a name in ``keep``; nothing is chosen.

    """
    from hubloader.cache.prune import choose
    from hubloader.cache.report import scan

    desk = desk_for(hub)
    return choose(
        scan(desk.store.layout.root),
        now=time.time(),
        max_size=max_size,
        older_than=older_than,
        detached=detached,
        keep=_kept(keep, desk, repo_type),
    )


def plan_others(
    lock: str | os.PathLike[str],
    *,
    keep: Iterable[str | os.PathLike[str]] = (),
    repo_type: RepoType = "model",
    **hub: Any,
) -> PrunePlan:
    """Choose the revisions of a lock's own repositories that neither it nor ``keep`` names."""
    from hubloader.cache.prune import PIN_PREFIX, choose_named
    from hubloader.cache.report import scan

    desk = desk_for(hub)
    locked = kept_by([lock])
    named = [*locked, *_kept(keep, desk, repo_type)]
    repos = {repo for repo, _ in locked}
    report = scan(desk.store.layout.root)
    others = [
        (each.repo, revision.commit)
        for each in report.repos
        for revision in each.revisions
        if each.repo in repos and not any(ref.startswith(PIN_PREFIX) for ref in revision.refs)
    ]
    return choose_named(report, others, keep=named)


def remove(plan: PrunePlan) -> PruneResult:
    """Delete what a plan chose, as far as nobody uses it."""
    from hubloader.cache.prune import carry_out
    from hubloader.settings import Settings

    return carry_out(plan, durable=Settings.from_env().durability != "none")


def kept_by(locks: Iterable[str | os.PathLike[str]]) -> list[Named]:
    """The commits that locks name."""
    from hubloader.locking.lockfile import read_lock

    return [(model.repo, model.commit) for path in locks for model in read_lock(path).models]


def _kept(keep: Iterable[str | os.PathLike[str]], desk: Desk, repo_type: RepoType) -> list[Named]:
    """What locks and names say is to stay; a name of which the cache has nothing is an error."""
    kept: list[Named] = []
    for each in keep:
        if isinstance(each, str) and not each.endswith(_LOCK) and not os.path.isfile(each):
            kept.append(cached(desk, each, repo_type))
        else:
            kept += kept_by([each])
    return kept
