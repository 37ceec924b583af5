"""Why a call cannot be done: one error that names everything that cannot be had."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hubloader.errors import CacheMiss, EntryNotFound, HubloaderError, InvalidReference
from hubloader.resolve.answers import Denied, classify
from hubloader.resolve.cure import prefetch_command
from hubloader.resolve.hints import about_missing
from hubloader.resolve.needs import needs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubloader.cache.store import CacheStore
    from hubloader.resolve.work import Work
    from hubloader.types import Manifest

__all__ = ["refusal", "refuse_no_folder", "refuse_unlisted"]


def refusal(work: Work, store: CacheStore) -> HubloaderError | None:
    """The error about what cannot be had; None when nothing is missing."""
    if work.known_missing:
        return _no_such(work.manifest, work.needs.missing)
    lacking = (*work.plan.missing, *work.needs.missing)
    return _miss(work, store, lacking) if lacking else None


def _no_such(manifest: Manifest, names: tuple[str, ...]) -> EntryNotFound:
    return EntryNotFound(
        f"{_place(manifest)} has no {', '.join(names)}",
        hint=about_missing(names, manifest.entries),
        filename=names[0],
    )


def _place(manifest: Manifest) -> str:
    return f"{manifest.repo} at revision {manifest.revision!r}"


def _miss(work: Work, store: CacheStore, lacking: tuple[str, ...]) -> HubloaderError:
    failure, manifest = work.resolved.failure, work.manifest
    gone = tuple(name for name in lacking if _known_absent(store, manifest, name))
    if gone:
        return _no_such(manifest, gone)
    if failure is not None and isinstance(classify(failure), Denied):
        return failure
    why = "the network is off" if failure is None else f"no answer came: {failure.sentence()}"
    lacking = (*lacking, *_lacking_later(work, store, lacking))
    command = prefetch_command(work.asked, manifest.revision, work.purpose, lacking)
    error = CacheMiss(
        f"{_place(manifest)} lacks in the cache: {', '.join(lacking)}; {why}",
        missing=lacking,
        offline=failure is None,
        filename=lacking[0],
        hint=f"run `{command}` with a network",
    )
    error.__cause__ = failure
    return error


def _lacking_later(work: Work, store: CacheStore, lacking: tuple[str, ...]) -> Iterator[str]:
    """What the uses that follow lack as well: an error names all at once."""
    if work.purpose is None or not work.purpose.later:
        return
    wanted = needs(work.manifest, replace(work.purpose, uses=work.purpose.later))
    disk = store.inspect(work.manifest, wanted.wanted)
    yield from (n for n in wanted.wanted if not disk[n].blob and n not in lacking)
    yield from (n for n in wanted.missing if n not in lacking)


def _known_absent(store: CacheStore, manifest: Manifest, name: str) -> bool:
    try:
        return store.is_absent(manifest.repo, manifest.commit, name)
    except InvalidReference:  # "weights for torch" is no file name
        return False


def refuse_no_folder(manifest: Manifest, folder: str) -> None:
    """Raise EntryNotFound where the commit has no such folder."""
    if folder and manifest.complete and not manifest.names(folder):
        folders = {name.rpartition("/")[0] for name in manifest.entries} - {""}
        raise EntryNotFound(
            f"{manifest.repo} at revision {manifest.revision!r} has no folder {folder!r}",
            hint=about_missing([folder], folders) if folders else "leave out subfolder=",
            filename=folder,
        )


def refuse_unlisted(manifest: Manifest, endpoint: str, wanted: str) -> None:
    """Raise CacheMiss for what only a listing could tell, where the endpoint has none.

    A part of a repository must not pass for the whole.
    """
    if wanted:
        raise CacheMiss(
            f"{endpoint} lists no files: {wanted} of {_place(manifest)} cannot be found out",
            offline=False,
            hint="name the files one by one, or say what they are for (tokenizer, torch, tf, "
            "numpy)",
        )
