"""An entry of models.toml becomes an entry of models.lock: a commit, its files, what they are.

One listing says which commit and which files; the Hub names no sha256 for the small files that git
keeps, so those are fetched into the cache and hashed. What is locked stays locked: an entry whose
text did not change is not asked about again, and one whose files alone are chosen anew keeps its
commit.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from hubloader.errors import (
    CacheMiss,
    CacheReadOnly,
    EntryNotFound,
    HubloaderError,
    MalformedAnswer,
    about,
)
from hubloader.locking.desk import sha256_of
from hubloader.locking.policy import may_ask_for_code, refusals, risks
from hubloader.locking.several import as_one
from hubloader.locking.values import Lock, LockedFile, LockedModel
from hubloader.resolve.manifest import shards_in_index
from hubloader.resolve.needs import needs
from hubloader.types import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from hubloader.hub.listing import Info
    from hubloader.locking.desk import Desk
    from hubloader.locking.values import ModelSpec, Project
    from hubloader.types import CommitHash, Manifest

__all__ = ["Todo", "lock_project", "outdated", "todo"]

T = TypeVar("T")


@dataclass(frozen=True)
class Todo:
    """What to do about one entry: keep ``kept`` as it is, or resolve, at ``commit`` if given."""

    spec: ModelSpec
    kept: LockedModel | None = None
    commit: CommitHash | None = None


@dataclass(frozen=True)
class _Draft:
    """What the listing says of an entry: all but the sha256 of what git keeps."""

    spec: ModelSpec
    manifest: Manifest
    info: Info
    chosen: tuple[str, ...]
    absent: tuple[str, ...]

    @property
    def git(self) -> tuple[str, ...]:
        """The chosen files that git itself keeps."""
        return tuple(n for n in self.chosen if self.manifest.entries[n].sha256 is None)


def todo(project: Project, lock: Lock, upgrade: Callable[[str], bool]) -> tuple[Todo, ...]:
    """Decide about every entry: pure."""
    return tuple(_decide(spec, lock.named(spec.name), upgrade) for spec in project.specs)


def _decide(spec: ModelSpec, locked: LockedModel | None, upgrade: Callable[[str], bool]) -> Todo:
    if locked is None or upgrade(spec.name):
        return Todo(spec)
    if locked.spec == spec.digest:
        return Todo(spec, kept=locked)
    same = (locked.repo, locked.revision) == (spec.repo, spec.revision)
    return Todo(spec, commit=locked.commit if same else None)


def outdated(project: Project, lock: Lock) -> tuple[str, ...]:
    """Tell, in words, what of the lock is not what models.toml asks: nothing if it fits."""
    reasons = []
    for each in todo(project, lock, lambda _: False):
        if each.kept is None:
            locked = lock.named(each.spec.name)
            reasons.append(f"{each.spec.name} is {'not locked' if locked is None else 'changed'}")
    asked = {spec.name for spec in project.specs}
    reasons += [f"{m.name} is locked and not asked for" for m in lock.models if m.name not in asked]
    return tuple(reasons)


def lock_project(desk: Desk, project: Project, lock: Lock, upgrade: Callable[[str], bool]) -> Lock:
    """Resolve what has to be; keep the rest.

    Raises:
        HubloaderError: entries that could not be resolved; all were tried, and what the policy
            says of the others is told with them.

    """
    todos = todo(project, lock, upgrade)
    failures: list[HubloaderError] = []
    wanted = [each for each in todos if each.kept is None]
    drafts = _side_by_side(
        desk, [partial(_draft, desk, each.spec, each.commit) for each in wanted], failures
    )
    found = [draft for draft in drafts if draft is not None]
    with _counted(desk, found) as desks:
        jobs = [partial(_finish, own, draft) for own, draft in zip(desks, found, strict=True)]
        models = _side_by_side(desk, jobs, failures)
    kept = [each.kept for each in todos]
    locked = Lock(tuple(model for model in (*kept, *models) if model is not None))
    if failures:
        raise as_one([*failures, *refusals(locked, project.policy)])
    return locked


def _side_by_side(
    desk: Desk, jobs: Sequence[Callable[[], T]], failures: list[HubloaderError]
) -> list[T | None]:
    """What each job gives, in order; None for those that failed, whose errors are gathered."""
    if not jobs:
        return []
    from hubloader.resolve.workers import Stop, run_all  # first use

    results: list[T | None] = [None] * len(jobs)
    errors: dict[int, HubloaderError] = {}

    def run(number: int) -> None:
        try:
            results[number] = jobs[number]()
        except HubloaderError as error:
            errors[number] = error

    run_all([partial(run, n) for n in range(len(jobs))], desk.settings.max_workers, Stop())
    failures += [errors[number] for number in sorted(errors)]
    return results


@contextlib.contextmanager
def _counted(desk: Desk, drafts: Sequence[_Draft]) -> Iterator[list[Desk]]:
    """A desk for each draft: together they report as one, and have the connections of one."""
    if not drafts:
        yield []
        return
    from hubloader.resolve.progress import Share  # first use: something is locked

    sizes = {
        f"{draft.spec.name}/{file.filename}": file.entry.size
        for draft in drafts
        for file in desk.plan(draft.manifest, draft.git).downloads
    }
    tracker = desk.tracker()
    at_once = max(1, min(desk.settings.max_workers, len(drafts)))
    settings = replace(
        desk.settings,
        max_workers=max(1, desk.settings.max_workers // at_once),
        limit_rate=desk.settings.limit_rate / at_once,
    )
    if sizes:
        tracker.begin(sizes)
    try:
        yield [
            replace(desk, settings=settings, tracker=partial(Share, tracker, draft.spec.name))
            for draft in drafts
        ]
    finally:
        if sizes:
            tracker.end()


def lock_model(desk: Desk, spec: ModelSpec, commit: CommitHash | None = None) -> LockedModel:
    """Resolve one entry, at ``commit`` instead of where its revision is now if that is given."""
    return _finish(desk, _draft(desk, spec, commit))


def _draft(desk: Desk, spec: ModelSpec, commit: CommitHash | None) -> _Draft:
    with about(repo_id=str(spec.repo), revision=spec.revision):
        if not desk.online:
            raise CacheMiss(
                f"locking {spec.name!r} needs the Hub, and the network is off",
                hint="run `hubloader lock` with a network",
            )
        manifest, info = desk.client().survey(spec.repo, commit or spec.revision)
        manifest = replace(manifest, revision=manifest.commit)
        chosen, absent = _choose(desk, spec, manifest)
        with contextlib.suppress(CacheReadOnly):  # the listing is worth keeping, no more
            desk.store.write_manifest(manifest)
        return _Draft(spec, _described(desk, manifest, chosen), info, chosen, absent)


def _finish(desk: Desk, draft: _Draft) -> LockedModel:
    """Fetch and hash what git keeps: the Hub names no sha256 for that."""
    spec, manifest, chosen = draft.spec, draft.manifest, draft.chosen
    with about(repo_id=str(spec.repo), revision=spec.revision):
        paths = desk.bring(manifest, draft.git)
        files = tuple(_locked(desk, manifest, name, paths) for name in chosen)
        configs = {n: paths[n].read_bytes() for n in draft.git if may_ask_for_code(n)}
        return LockedModel(
            name=spec.name,
            repo=spec.repo,
            spec=spec.digest,
            revision=spec.revision,
            commit=manifest.commit,
            files=tuple(sorted(files, key=lambda file: file.path.encode())),
            license=draft.info.license,
            gated=draft.info.gated,
            risk=risks(chosen, configs),
            absent=draft.absent,
        )


def _choose(
    desk: Desk, spec: ModelSpec, manifest: Manifest
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The files to lock, and those that loaders look for in vain."""
    wanted = needs(manifest, spec.purpose)
    chosen = set(wanted.wanted)
    missing = list(wanted.missing)
    for index in wanted.indexes:
        described = _described(desk, manifest, [index])
        text = desk.bring(described, [index])[index].read_text(encoding="utf-8")
        shards = shards_in_index(text, index)
        missing += [name for name in shards if name not in manifest.entries]
        chosen.update(shards)
    if missing or not chosen:
        what = ", ".join(missing) or "no file that the entry chooses"
        place = f"{spec.repo} at revision {spec.revision!r}"
        raise EntryNotFound(
            f"{place} has no {what}" if missing else f"{place} has {what}",
            hint=f"look with `hubloader info {spec.repo}@{spec.revision}`",
        )
    return tuple(sorted(chosen)), wanted.absent


def _described(desk: Desk, manifest: Manifest, names: Iterable[str]) -> Manifest:
    """The manifest with size and hash of ``names``, also from an endpoint that lists only names."""
    entries = dict(manifest.entries)
    for name in names:
        entry = entries[name]
        if entry.size is not None and (entry.sha256 or entry.git_sha1):
            continue
        told = desk.client().head_file(manifest.repo, manifest.commit, name)
        if told.etag is None or told.size is None:
            raise MalformedAnswer(f"the endpoint tells no size and hash of {name!r}", filename=name)
        is_sha256 = len(told.etag) == 64
        entries[name] = Entry(
            told.size,
            git_sha1=None if is_sha256 else told.etag,
            sha256=told.etag if is_sha256 else None,
        )
    return replace(manifest, entries=entries)


def _locked(desk: Desk, manifest: Manifest, name: str, paths: dict[str, Path]) -> LockedFile:
    entry = manifest.entries[name]
    size = entry.size or 0
    if entry.sha256 is not None:
        return LockedFile(name, size, entry.sha256)
    sha1 = entry.git_sha1 or ""
    known = desk.store.digest(manifest.repo, sha1) or sha256_of(paths[name])
    return LockedFile(name, size, known, sha1)
