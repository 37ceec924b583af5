"""Carry locked models elsewhere: a bundle, a plain folder, a tree for nginx; and bring them in."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any, Literal

from hubloader.auto.locks import desk_for, find_entries
from hubloader.errors import CacheMiss, EntryNotFound, InvalidReference, NotFound
from hubloader.types import DEFAULT_REVISION, Purpose, parse_model_ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hubloader.locking.desk import Desk
    from hubloader.locking.values import Lock, LockedModel
    from hubloader.types import RepoType

__all__ = ["Exported", "copy_to", "export", "import_", "layer_plan", "lock_of_cache"]

Format = Literal["tar", "dir", "nginx"]
FORMATS: tuple[Format, ...] = ("tar", "dir", "nginx")


@dataclass(frozen=True)
class Exported:
    """What an export wrote: ``path``, its entries, and the bytes of their files."""

    path: str
    lock: Lock
    size: int


def export(
    target: str | os.PathLike[str],
    names: Iterable[str] | None = None,
    *,
    lock: str | os.PathLike[str] | None = None,
    format: Format = "tar",  # noqa: A002  # the option's name
    have: Iterable[str | os.PathLike[str]] = (),
    listen: str = "8080",
    repo_type: RepoType = "model",
    **hub: Any,
) -> Exported:
    """Write what is in the cache to a bundle (``tar``), a plain folder or a tree for nginx.

    Args:
        target: the bundle or folder; ``-`` writes a bundle to stdout.
        names: entries of ``lock``, else repositories in the cache with ``@revision`` if wished;
            None for all of the lock.
        lock: a models.lock.
        format: ``tar``, ``dir`` or ``nginx``.
        have: texts with the sha256 of contents that the other side has: its locks, or lists.
        listen: the address or port that nginx is told.
        repo_type: of repositories.
        **hub: ``cache_dir``.

    Raises:
        CacheMiss: something is not in the cache: sync or prefetch it first.
        IntegrityError: a cached content is bad.

    """
    desk = desk_for({**hub, "local_files_only": True})
    chosen = _chosen(desk, names, lock, repo_type)
    path = os.fspath(target)
    if format == "tar":
        _write_tar(desk, chosen, path, have)
    elif format == "dir":
        from hubloader.locking.plain import copy_models

        copy_models(desk, chosen.models, path, when=_build_time())
    else:
        from hubloader.locking.nginx import export_nginx

        export_nginx(desk, chosen, path, listen=listen)
    return Exported(path, chosen, sum(model.size for model in chosen.models))


def import_(
    bundle: str | os.PathLike[str], *, lock: str | os.PathLike[str] | None = None, **hub: Any
) -> Any:
    """Bring a bundle into the cache; every byte is verified on the way.

    Args:
        bundle: the file; ``-`` reads stdin.
        lock: a models.lock that its entries have to be in; None to trust the bundle's own.
        **hub: ``cache_dir``.

    Returns:
        ``locking.bundle.Imported``.

    Raises:
        UnsafeFile: it holds something that a bundle does not have.
        IntegrityError: bytes are not those that its index names.
        CacheMiss: it leaves out what is not in the cache.

    """
    from hubloader.locking.bundle import import_bundle
    from hubloader.locking.lockfile import read_lock

    desk = desk_for({**hub, "local_files_only": True})
    expected = None if lock is None else read_lock(lock)
    with _opened(os.fspath(bundle)) as stream:
        return import_bundle(desk, stream, expected)


def copy_to(
    lock: str | os.PathLike[str], folder: str, *, names: Iterable[str] | None = None, **hub: Any
) -> tuple[str, ...]:
    """Copy locked files, which have to be in the cache, to ``folder/<entry>/…``."""
    from hubloader.locking.plain import copy_models

    desk = desk_for({**hub, "local_files_only": True})
    return copy_models(desk, find_entries(lock, names), folder, when=_build_time())


def layer_plan(
    lock: str | os.PathLike[str], size: str | int, *, names: Iterable[str] | None = None
) -> list[dict[str, Any]]:
    """Group the files that ``copy_to`` writes into image layers of at most ``size``."""
    from hubloader.locking.plain import layers
    from hubloader.locking.project import parse_size

    return layers(find_entries(lock, names), parse_size(size))


def lock_of_cache(desk: Desk, names: Iterable[str], repo_type: RepoType = "model") -> Lock:
    """What a lock would say of repositories as they are cached.

    Raises:
        CacheMiss: one is not in the cache.

    """
    from hubloader.locking.values import Lock

    models: list[LockedModel] = []
    for name in names:
        model = _of_cache(desk, name, repo_type)
        taken = {each.name for each in models}
        if model.name in taken:
            model = replace(model, name=f"{model.name}-{model.commit[:12]}")
        models.append(model)
    return Lock(tuple(models))


def _of_cache(desk: Desk, name: str, repo_type: RepoType) -> LockedModel:
    from hubloader.auto.editing import entry_name
    from hubloader.locking.desk import sha256_of
    from hubloader.locking.values import LockedFile, LockedModel
    from hubloader.resolve.needs import needs

    ref = parse_model_ref(name, repo_type=repo_type, is_dir=lambda _: False)
    if ref.repo is None:
        raise InvalidReference(f"{name!r} is no repository on the Hub")
    repo, revision = desk.store.canonical(ref.repo), ref.revision or DEFAULT_REVISION
    commit = desk.store.known_commit(repo, revision)
    manifest = None if commit is None else desk.store.read_manifest(repo, revision, commit)
    disk = {} if manifest is None else desk.store.inspect(manifest, manifest.entries)
    here = sorted(filename for filename, state in disk.items() if state.pointer and state.blob)
    if manifest is None or not here:
        raise CacheMiss(
            f"{name} is not in the cache", hint=f"run `hubloader prefetch {name}`", repo_id=name
        )
    files = []
    for filename in here:
        entry, path = manifest.entries[filename], desk.store.path(manifest, filename)
        sha256 = entry.sha256 or desk.store.digest(repo, entry.git_sha1 or "0" * 40)
        git_sha1 = None if entry.sha256 else entry.git_sha1
        size = path.stat().st_size
        files.append(LockedFile(filename, size, sha256 or sha256_of(path), git_sha1))
    every_use = Purpose(uses=frozenset({"tokenizer", "torch"}))
    absent = needs(manifest, every_use).absent if manifest.complete else tuple(manifest.absent)
    return LockedModel(
        name=entry_name(repo.name),
        repo=repo,
        spec="",
        revision=revision,
        commit=manifest.commit,
        files=tuple(files),
        absent=tuple(sorted(absent)),
    )


def _chosen(
    desk: Desk,
    names: Iterable[str] | None,
    lock: str | os.PathLike[str] | None,
    repo_type: RepoType,
) -> Lock:
    from hubloader.locking.values import Lock

    if lock is not None:
        return Lock(find_entries(lock, names))
    chosen = list(names or ())
    if not chosen:
        raise InvalidReference("there is nothing to export", hint="give names, or a lock")
    return lock_of_cache(desk, chosen, repo_type)


def _write_tar(desk: Desk, lock: Lock, path: str, have: Iterable[str | os.PathLike[str]]) -> None:
    from hubloader.locking.bundle import export_bundle, parse_have
    from hubloader.locking.lockfile import read_text

    there = {sha256 for each in have for sha256 in parse_have(read_text(each, "check --have"))}
    target: str | IO[bytes] = sys.stdout.buffer if path == "-" else path
    export_bundle(desk, lock, target, there)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = open(path, "rb")  # noqa: SIM115  # closed below; a missing file is told apart
    except FileNotFoundError:
        raise EntryNotFound(f"there is no {path}", filename=path) from None
    except IsADirectoryError:
        raise NotFound(f"{path} is a folder, not a bundle", filename=path) from None
    with stream:
        yield stream


def _build_time() -> int:
    from hubloader.settings import Settings

    return Settings.from_env().source_date
