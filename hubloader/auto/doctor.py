"""``doctor``: what is wrong with the cache, the disk and the way to the Hub, and how to mend it.

Each check is a function that gives findings; none changes anything but a probe file of its own,
which it deletes.
"""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hubloader.auto.source import HubArguments, session_for, settings_for
from hubloader.errors import AuthenticationRequired, HubloaderError
from hubloader.types import CommitHash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hubloader.settings import Settings
    from hubloader.types import RepoId

__all__ = ["Finding", "examine"]

Level = Literal["ok", "warning", "error"]
_NETWORKED = {"nfs", "nfs4", "lustre", "gpfs", "cifs", "smb3", "fuse.sshfs", "afs", "9p", "beegfs"}
_LITTLE = 2 * 10**9  # bytes: less than a model of some size


@dataclass(frozen=True)
class Finding:
    """What one check found. ``mend`` is the command or setting that helps, "" where none is needed.

    ``check`` names the check for programs.
    """

    check: str
    level: Level
    message: str
    mend: str = ""


def examine(**hub: Any) -> tuple[Finding, ...]:
    """Run every check; the keywords are those of ``from_pretrained`` that say where from."""
    settings = settings_for(HubArguments(**hub))
    checks: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
        _folder,
        _locks,
        _held,
        _soft_locks,
        _links,
        _room,
        _content,
        _permissions,
        _lockfile,
        _proxies,
        _endpoint,
    )
    return tuple(finding for check in checks for finding in check(settings))


def _future(path: Path) -> Finding:
    """Whether a cache that is not there yet can be made."""
    above = next(parent for parent in path.parents if parent.exists())
    if not above.is_dir():
        return Finding("cache", "error", f"{above} is no folder", "set HF_HUB_CACHE to a folder")
    if not os.access(above, os.W_OK | os.X_OK):
        return Finding(
            "cache",
            "error",
            f"{path} is not there, and {above} cannot be written",
            "set HF_HUB_CACHE to a folder of yours",
        )
    return Finding("cache", "ok", f"{path} is not there yet: the first download makes it")


def _folder(settings: Settings) -> Iterator[Finding]:
    path = settings.cache_dir
    if not path.exists():
        yield _future(path)
    elif not path.is_dir():
        yield Finding("cache", "error", f"{path} is no folder", "set HF_HUB_CACHE to a folder")
    elif not os.access(path, os.W_OK | os.X_OK):
        yield Finding(
            "cache",
            "warning",
            f"{path} cannot be written: what is there can be loaded, nothing can be added",
            "set HF_HUB_CACHE to a folder of yours, and HUBLOADER_BASE_CACHES to this one",
        )
    else:
        yield Finding("cache", "ok", f"{path} can be written")


def _locks(settings: Settings) -> Iterator[Finding]:
    from hubloader.cache.probe import locks_work

    kind = _file_system(os.fspath(settings.cache_dir))
    works = locks_work(settings.cache_dir)
    if works is False:
        yield Finding(
            "locks",
            "warning",
            f"file locks do nothing on {kind or 'this file system'}: nothing can be damaged, but "
            "processes may fetch the same file twice, and prune waits an hour before it deletes",
            "set HF_HUB_CACHE to a local disk, and sync there",
        )
    elif works and kind in _NETWORKED:
        yield Finding(
            "locks",
            "warning",
            f"file locks work here, but on {kind} other machines may not see them",
            "let one machine sync, and the others read (docs/how-to/nfs.md)",
        )
    elif works:
        yield Finding("locks", "ok", f"file locks work ({kind or 'file system unknown'})")


def _held(settings: Settings) -> Iterator[Finding]:
    from hubloader.cache.probe import held_locks

    for path, holder in held_locks(settings.cache_dir):
        yield Finding(
            "held",
            "warning",
            f"{holder} holds the lock of {path}: it downloads it, or hangs",
            "if it hangs, end that process; who waits goes on alone after 30 s without progress",
        )


def _soft_locks(settings: Settings) -> Iterator[Finding]:
    from hubloader.cache.soft_locks import left_behind

    for lock in left_behind(settings.cache_dir):
        ended = "which has ended" if lock.ended else f"if that has ended on {lock.host}"
        yield Finding(
            "soft-locks",
            "warning",
            f"{lock.path} is a lock left by process {lock.pid} on {lock.host}, {ended}: programs "
            "with huggingface_hub may wait for it for good",
            f"run `rm {shlex.quote(lock.path)}`",
        )


def _links(settings: Settings) -> Iterator[Finding]:
    from hubloader.cache.probe import link_kind

    kind = link_kind(settings.cache_dir)
    if kind == "symlink":
        yield Finding("links", "ok", "snapshots are symbolic links")
    elif kind is not None:
        yield Finding(
            "links",
            "warning",
            f"symbolic links cannot be made: snapshots are {kind} of their contents",
            "on Windows, turn on Developer Mode" if os.name == "nt" else "",
        )


def _room(settings: Settings) -> Iterator[Finding]:
    from hubloader.cache.failures import free_space

    free, inodes = free_space(os.fspath(settings.cache_dir))
    if free is not None and free < _LITTLE:
        mend = "run `hubloader prune --max-size …`, or set HF_HUB_CACHE to another disk"
        yield Finding("room", "warning", f"only {free / 1e9:.1f} GB are free", mend)
    elif free is not None:
        yield Finding("room", "ok", f"{free / 1e9:.1f} GB are free")
    if inodes is not None and inodes < 1000:
        yield Finding("room", "warning", f"only {inodes} files can still be made", "delete files")


def _content(settings: Settings) -> Iterator[Finding]:
    from hubloader.cache.probe import foreign_contents
    from hubloader.cache.report import scan

    report = scan(settings.cache_dir)
    for path in foreign_contents(settings.cache_dir):
        yield Finding(
            "foreign",
            "warning",
            f"{path} is no content",
            f"run `rm {shlex.quote(path)}`, if it is yours to delete",
        )
    for warning in report.warnings:
        yield Finding(
            "foreign",
            "warning",
            warning,
            "move it out of the cache with `mv`: it is not a repository",
        )
    for repo in report.repos:
        for warning in repo.warnings:
            yield Finding("content", "error", warning, _mend_of(settings, repo.repo, warning))
    left = [left for repo in report.repos for left in repo.leftovers]
    if left:
        size = sum(each.size for each in left)
        yield Finding(
            "leftovers",
            "warning",
            f"{len(left)} unfinished downloads and unused contents take {size / 1e6:.1f} MB",
            "run `hubloader prune`",
        )
    if not report.warnings and not left and not any(repo.warnings for repo in report.repos):
        yield Finding("content", "ok", f"{len(report.repos)} repositories, nothing out of place")


def _mend_of(settings: Settings, repo: RepoId, warning: str) -> str:
    """The command that mends what a scan warns of in a repository."""
    named = str(repo) if repo.repo_type == "model" else f"{repo} --repo-type {repo.repo_type}"
    if "no snapshot" in warning:
        return f"run `hubloader prefetch {named}`, or delete that file"
    pointer = warning.removesuffix(" leads nowhere")
    if pointer != warning and _is_unknown(settings, repo, pointer):
        return f"run `rm {shlex.quote(pointer)}`: the commit has no such file"
    return f"run `hubloader verify --repair {named}`"


def _is_unknown(settings: Settings, repo: RepoId, pointer: str) -> bool:
    """Whether the commit that a pointer is of is known whole, without such a file."""
    store = session_for(settings).store
    inside = os.path.relpath(pointer, store.layout.repo(repo).snapshots)
    commit, _, filename = inside.replace(os.sep, "/").partition("/")
    manifest = store.read_manifest(repo, commit, CommitHash(commit))
    return manifest is not None and manifest.complete and filename not in manifest.entries


def _permissions(settings: Settings) -> Iterator[Finding]:
    from hubloader.cache.probe import unusable

    if not os.access(settings.cache_dir, os.W_OK):
        return  # said already, and then all of it cannot be written
    found = unusable(settings.cache_dir)
    for path in found[:5]:
        yield Finding(
            "permissions",
            "error",
            f"{path} cannot be used by this user",
            f"run `sudo chown -R $(id -un) '{path}'`, or share the cache by a group "
            "(docs/how-to/shared-runners.md)",
        )
    if len(found) > 5:
        yield Finding("permissions", "error", f"and {len(found) - 5} more of the kind")


def _lockfile(settings: Settings) -> Iterator[Finding]:
    if settings.lockfile is None:
        return
    from hubloader.locking.lockfile import read_lock

    try:
        lock = read_lock(settings.lockfile)
    except HubloaderError as error:
        yield Finding("lockfile", "error", error.sentence(), error.hint or "unset HUBLOADER_LOCK")
    else:
        yield Finding("lockfile", "ok", f"{settings.lockfile} names {len(lock.models)} models")


def _proxies(settings: Settings) -> Iterator[Finding]:
    proxy, host = _proxy(settings)
    if proxy:
        yield Finding(
            "proxy",
            "ok",
            f"requests to {settings.public_endpoint} go through the proxy {proxy}",
            f"to go past it: export NO_PROXY={host}",
        )


def _proxy(settings: Settings) -> tuple[str, str]:
    """The proxy on the way to the endpoint, "" for none, and the endpoint's host."""
    from urllib.request import getproxies, proxy_bypass

    from hubloader.transport.auth import Origin

    proxies = getproxies()
    scheme = settings.endpoint.partition(":")[0]
    host = str(Origin.of(settings.endpoint)).partition("://")[2]
    proxy = proxies.get(scheme) or proxies.get("all") or ""
    used = proxy and not proxy_bypass(host)
    return _without_password(proxy) if used else "", host.partition(":")[0]


def _without_password(url: str) -> str:
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _endpoint(settings: Settings) -> Iterator[Finding]:
    if settings.offline:
        yield Finding("endpoint", "ok", "offline: the Hub is not asked", "unset HF_HUB_OFFLINE")
        return
    try:
        name = session_for(settings).client().whoami()["name"]
    except AuthenticationRequired as error:
        from hubloader.settings import read_token

        if read_token(settings) is None:
            yield Finding("endpoint", "ok", f"{settings.public_endpoint} answers; no token is sent")
        else:
            mend = "set HF_TOKEN anew, or run `hf auth login`"
            yield Finding("endpoint", "error", error.sentence(), mend)
    except HubloaderError as error:
        mend = error.hint or "check HF_ENDPOINT, the proxy (HTTPS_PROXY) and the network"
        yield Finding("endpoint", "error", error.sentence(), mend)
        proxy, host = _proxy(settings)
        if proxy:
            yield Finding(
                "proxy",
                "warning",
                f"the proxy {proxy} was in the way: what failed went through it",
                f"to go past it: export NO_PROXY={host}",
            )
    else:
        yield Finding(
            "endpoint", "ok", f"{settings.public_endpoint} answers, the token is {name}'s"
        )


def _file_system(path: str) -> str:
    """The kind of file system that ``path`` is on, "" where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return ""
    real, best, kind = os.path.realpath(path), "", ""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
            mounts = [line.split() for line in file]
    except OSError:
        return ""
    for _, point, name, *_ in mounts:
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, name
    return kind
