"""What locking works with: a cache, the Hub, and how to bring named files of a known commit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hubloader.errors import CacheMiss, IntegrityError, about
from hubloader.resolve.plan import make_plan
from hubloader.types import Mode

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from hubloader.cache.store import CacheStore
    from hubloader.hub.client import HubClient
    from hubloader.locking.values import LockedModel
    from hubloader.resolve.plan import Plan
    from hubloader.resolve.progress import Progress, Tracker
    from hubloader.settings import Settings
    from hubloader.types import Manifest

__all__ = ["Desk", "check_sha256", "refuse_missing", "sha256_of"]

_CHUNK = 2**20  # bytes


@dataclass(frozen=True)
class Desk:
    """A cache, an endpoint, and what the network may be used for.

    Args:
        settings: of the call.
        store: the cache.
        client: the endpoint's client, made when it is first needed.
        tracker: made for each download: who is told.
        mode: what the network may be used for.

    """

    settings: Settings
    store: CacheStore
    client: Callable[[], HubClient]
    tracker: Callable[[], Tracker]
    mode: Mode = Mode.ONLINE

    @property
    def online(self) -> bool:
        """Whether the network may be used."""
        return self.mode is not Mode.CACHE_ONLY

    def plan(self, manifest: Manifest, filenames: Iterable[str]) -> Plan:
        """Decide what to do about files of a commit."""
        names = sorted(filenames)
        return make_plan(manifest, names, self.store.inspect(manifest, names), self.mode)

    def carry_out(
        self, plan: Plan, also: Callable[[Progress], object] | None = None
    ) -> dict[str, Path]:
        """Do it; the files are named when the surrounding ``store.batch`` ends.

        Args:
            plan: what is to be done.
            also: told of the download too.

        Raises:
            CacheMiss: files are missing, and the network is off.
            HubloaderError: a download failed; the others are there.

        """
        manifest = plan.manifest
        refuse_missing(plan)
        if plan.idle:
            pointer = self.store.pointer_path
            return {f.filename: pointer(manifest.repo, manifest.commit, f.filename)
                    for f in plan.files}  # fmt: skip
        self.store.check_names(manifest, [file.filename for file in plan.files])
        from hubloader.resolve.engine import Engine  # first use: threads, sockets, locks

        engine, tracker = Engine(self.settings, self.client, self.store), self.tracker()
        if also is not None:
            tracker.also(also)
        with about(repo_id=str(manifest.repo), revision=manifest.revision):
            done = engine.carry_out(plan, tracker)
        return {name: Path(file.path) for name, file in done.items()}

    def bring(self, manifest: Manifest, filenames: Iterable[str]) -> dict[str, Path]:
        """Bring files of a commit that is known, and return where they are."""
        with self.store.using(manifest.repo), self.store.batch():
            return self.carry_out(self.plan(manifest, filenames))


def refuse_missing(plan: Plan) -> None:
    """Raise the one CacheMiss that names every file which is not there and may not be fetched."""
    if plan.missing:
        manifest = plan.manifest
        raise CacheMiss(
            f"{manifest.repo} at revision {manifest.revision!r} (commit {manifest.commit[:12]}) "
            f"lacks in the cache: {', '.join(plan.missing)}; the network is off",
            missing=plan.missing,
            repo_id=str(manifest.repo),
            revision=manifest.revision,
            filename=plan.missing[0],
            hint="run `hubloader sync --frozen` with a network, or `hubloader import` a bundle",
        )


def check_sha256(
    store: CacheStore, model: LockedModel, filenames: frozenset[str] | None = None
) -> None:
    """Compare the sha256 of what git names by sha1 with the lock's: sha1 can be forged.

    What was hashed when it came is not read again.

    Args:
        store: the cache.
        model: the entry.
        filenames: the files to look at; None for all, which then have to be there.

    Raises:
        IntegrityError: a file is another than the one that was locked.

    """
    manifest = model.manifest
    for file in model.files:
        if file.git_sha1 is None or (filenames is not None and file.path not in filenames):
            continue
        actual = store.digest(model.repo, file.git_sha1)
        if actual is None:
            actual = sha256_of(store.path(manifest, file.path))
        if actual != file.sha256:
            raise IntegrityError(
                f"{file.path} of {model.repo} is not the file that was locked as {model.name!r}",
                expected=file.sha256,
                actual=actual,
                hint="its git sha1 is the locked one: somebody forged it, or the lock was edited",
                repo_id=str(model.repo),
                revision=model.revision,
                filename=file.path,
            )


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The sha256 of a file's content."""
    content = hashlib.sha256()
    with open(path, "rb") as file:
        while data := file.read(_CHUNK):
            content.update(data)
    return content.hexdigest()
