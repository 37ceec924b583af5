"""Questions about single files: for endpoints that list nothing, or nothing but names.

One HEAD a file, side by side. What was told is kept by ``CacheStore.write_told``, so that the next
load does not ask again.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from hubloader.errors import EntryNotFound, MalformedAnswer, NotFound
from hubloader.types import Entry, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hubloader.hub.client import HubClient
    from hubloader.types import CommitHash, RepoId

__all__ = ["begun", "described", "is_described", "probed"]


def begun(
    client: HubClient, repo: RepoId, revision: str, ask_for: Iterable[str]
) -> Manifest | None:
    """A manifest begun by asking for single files, or None when those are not there either.

    Raises:
        MalformedAnswer: the endpoint does not say which commit it is.

    """
    for filename in ask_for:
        try:
            told = client.head_file(repo, revision, filename)
        except (NotFound, MalformedAnswer):
            continue
        if told.commit is None:
            from hubloader.transport.base import shown  # first use

            raise MalformedAnswer(
                f"{shown(client.endpoint)} does not say which commit {revision!r} is",
                hint="give the full commit as the revision",
                repo_id=str(repo),
                revision=revision,
            )
        entries = {filename: _entry(told.etag, told.size, told.xet_hash, filename)}
        return Manifest(repo, revision, told.commit, entries, complete=False)
    return None


def probed(
    client: HubClient, manifest: Manifest, groups: Iterable[tuple[str, ...]], threads: int
) -> Manifest:
    """Ask for single files where the endpoint lists nothing.

    Args:
        client: of the endpoint.
        manifest: what is known so far.
        groups: of each, the names are asked in order until one is there; groups are asked side by
            side, and no name twice.
        threads: requests at a time.

    Returns:
        The manifest with what was found in ``entries`` and the rest in ``absent``.

    """
    entries, absent = dict(manifest.entries), set(manifest.absent)

    def ask(group: tuple[str, ...]) -> None:
        for filename in group:
            if filename in absent:
                continue
            if filename not in entries:
                found = _ask(client, manifest.source, manifest.commit, filename)
                if found is None:
                    absent.add(filename)
                    continue
                entries[filename] = found
            return

    for batch in _apart(groups):
        open_ones = [g for g in batch if not _is_answered(g, entries, absent)]
        _side_by_side([partial(ask, group) for group in open_ones], threads)
    return replace(manifest, entries=entries, absent=frozenset(absent))


def described(
    client: HubClient, manifest: Manifest, filenames: Iterable[str], threads: int
) -> Manifest:
    """Ask for the hash and size of files that the endpoint listed by name alone."""
    unknown = [name for name in filenames if not is_described(manifest.entries[name])]
    if not unknown:
        return manifest
    entries = dict(manifest.entries)

    def ask(filename: str) -> None:
        told = client.head_file(manifest.source, manifest.commit, filename)
        entries[filename] = _entry(told.etag, told.size, told.xet_hash, filename)

    _side_by_side([partial(ask, name) for name in unknown], threads)
    return replace(manifest, entries=entries)


def is_described(entry: Entry) -> bool:
    """Whether a file's hash is known."""
    return entry.sha256 is not None or entry.git_sha1 is not None


def _ask(client: HubClient, repo: RepoId, commit: CommitHash, filename: str) -> Entry | None:
    try:
        told = client.head_file(repo, commit, filename)
    except EntryNotFound:
        return None
    return _entry(told.etag, told.size, told.xet_hash, filename)


def _is_answered(group: tuple[str, ...], entries: dict[str, Entry], absent: set[str]) -> bool:
    first = next((name for name in group if name not in absent), None)
    return first is None or first in entries


def _apart(groups: Iterable[tuple[str, ...]]) -> Iterator[list[tuple[str, ...]]]:
    """Give batches of groups that have no name in common within a batch."""
    waiting = list(groups)
    while waiting:
        taken: set[str] = set()
        batch, later = [], []
        for group in waiting:
            if taken.isdisjoint(group):
                taken.update(group)
                batch.append(group)
            else:
                later.append(group)
        yield batch
        waiting = later


def _side_by_side(jobs: list[Callable[[], None]], threads: int) -> None:
    if not jobs:
        return
    from hubloader.resolve.workers import Stop, run_all  # first use: most endpoints list

    run_all(jobs, threads, Stop())


def _entry(etag: str | None, size: int | None, xet_hash: str | None, filename: str) -> Entry:
    if etag is None:
        raise MalformedAnswer(
            f"the endpoint names no hash for {filename!r}, so its content cannot be checked",
            filename=filename,
        )
    if len(etag) == 64:
        return Entry(size, sha256=etag, xet_hash=xet_hash)
    return Entry(size, git_sha1=etag, xet_hash=xet_hash)
