"""Take revisions out of the cache: by name, by age and size, or all but what locks name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hubloader.auto.locks import desk_for
from hubloader.auto.verifying import cached
from hubloader.errors import HubloaderError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from hubloader.cache.prune import Named, PrunePlan
    from hubloader.cache.removal import PruneResult
    from hubloader.types import RepoType

__all__ = ["kept_by", "plan_others", "plan_prune", "plan_removal", "remove"]


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
        keep: locks whose commits stay.
        repo_type: model, dataset or space.
        **hub: ``cache_dir``.

    Raises:
        CacheMiss: the cache has no such thing; nothing is chosen.

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
    return choose_named(scan(desk.store.layout.root), chosen, keep=kept_by(keep))


def plan_prune(
    *,
    max_size: int | None = None,
    older_than: float | None = None,
    detached: bool = False,
    keep: Iterable[str | os.PathLike[str]] = (),
    **hub: Any,
) -> PrunePlan:
    """Choose by size and age, the least recently used first; leftovers of dead processes too.

    Args:
        max_size: bytes that may stay.
        older_than: seconds without a load after which a revision goes.
        detached: let go of revisions that no ref names.
        keep: locks whose commits stay.
        **hub: ``cache_dir``.

    """
    from hubloader.cache.prune import choose
    from hubloader.cache.report import scan

    return choose(
        scan(desk_for(hub).store.layout.root),
        now=time.time(),
        max_size=max_size,
        older_than=older_than,
        detached=detached,
        keep=kept_by(keep),
    )


def plan_others(
    lock: str | os.PathLike[str], *, keep: Iterable[str | os.PathLike[str]] = (), **hub: Any
) -> PrunePlan:
    """Choose the revisions of a lock's own repositories that neither it nor ``keep`` names."""
    from hubloader.cache.prune import PIN_PREFIX, choose_named
    from hubloader.cache.report import scan

    named = kept_by([lock, *keep])
    repos = {repo for repo, _ in kept_by([lock])}
    report = scan(desk_for(hub).store.layout.root)
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
