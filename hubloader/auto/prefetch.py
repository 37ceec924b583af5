"""``prefetch`` brings what some use needs into the cache; ``plan`` tells what that would be."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from hubloader.auto.source import (
    HubArguments,
    mode_of,
    session_for,
    settings_for,
    split_hub_arguments,
)
from hubloader.errors import InvalidReference
from hubloader.names import several, suggestion
from hubloader.resolve.needs import matches
from hubloader.resolve.plan import Action
from hubloader.types import Purpose, parse_model_ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from hubloader.resolve.plan import FilePlan
    from hubloader.resolve.plan import Plan as FetchPlan
    from hubloader.resolve.progress import Progress
    from hubloader.resolve.session import Session
    from hubloader.types import Mode, ModelRef, RepoType

__all__ = ["DEFAULT_USES", "USES", "Planned", "PlannedFile", "Prefetched", "plan", "prefetch"]

USES = ("tokenizer", "torch", "tf", "numpy", "all")
DEFAULT_USES = ("tokenizer", "torch")
_OWN_KEYWORDS = ("uses", "include", "exclude", "repo_type", "dry_run", "progress")


@dataclass(frozen=True, slots=True)  # a repository has 100,000
class PlannedFile:
    """One file that is wanted.

    ``size`` is None where nobody told it. ``fetch_bytes`` is how much of it has to come over the
    network; ``fetch`` whether any of it has to, for what has no size or none to speak of.
    """

    filename: str
    size: int | None
    fetch: bool
    fetch_bytes: int


@dataclass(frozen=True)
class Planned:
    """What ``prefetch`` would bring.

    ``fetch_bytes`` is what would come over the network, of the ``size`` in all; a content that two
    files share comes once.
    """

    repo_id: str
    revision: str
    commit: str
    files: tuple[PlannedFile, ...]
    size: int
    fetch_bytes: int


@dataclass(frozen=True)
class Prefetched:
    """What one name brought.

    ``commit`` is what the revision was. ``path`` is the snapshot's folder. ``files`` are the names
    of what was wanted, all there now; ``fetched_bytes`` is what came over the network, to this
    process and no other (with ``dry_run``: what would have to, of the ``size`` in all; ``planned``
    then tells it by file). ``unmatched`` are the patterns of ``include`` that no file of the
    repository fits: likely a slip.
    """

    repo_id: str
    revision: str
    commit: str
    path: Path
    files: tuple[str, ...]
    fetched_bytes: int
    size: int = 0
    planned: tuple[PlannedFile, ...] = ()
    unmatched: tuple[str, ...] = ()


def plan(
    name: str,
    *,
    uses: Iterable[str] | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    repo_type: RepoType = "model",
    **hub: Any,
) -> Planned:
    """Tell which files ``prefetch`` would bring, and how many bytes; fetches and writes nothing.

    Args:
        name: a Hub name, with ``@revision`` if wished.
        uses: as for ``prefetch``.
        include: patterns of further files.
        exclude: patterns of files to leave out.
        repo_type: model, dataset or space.
        **hub: where from, as for ``from_pretrained``: ``revision``, ``cache_dir``, ``token`` …

    Raises:
        InvalidReference: the name is a folder, or a use is none.
        HubloaderError: what the files are could not be found out.

    """
    errand = _understood("plan", name, uses, include, exclude, repo_type, hub)
    found = errand.plan()
    return Planned(
        repo_id=str(found.manifest.repo),
        revision=found.manifest.revision,
        commit=found.manifest.commit,
        files=tuple(map(_planned, found.files)),
        size=_size(found),
        fetch_bytes=found.fetch_bytes,
    )


def prefetch(
    name: str,
    *,
    uses: Iterable[str] | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    repo_type: RepoType = "model",
    dry_run: bool = False,
    progress: Callable[[Progress], Any] | None = None,
    **hub: Any,
) -> Prefetched:
    """Bring what ``uses`` need of a repository into the cache.

    Args:
        name: a Hub name, with ``@revision`` if wished.
        uses: ``tokenizer``, ``torch``, ``tf``, ``numpy``, ``all``; None: tokenizer and torch for a
            model (unless ``include`` says what), everything for a dataset or space.
        include: patterns of further files.
        exclude: patterns of files to leave out.
        repo_type: model, dataset or space.
        dry_run: fetch nothing: tell what would be.
        progress: called with each event of the download, instead of what a terminal or log is
            told: ``step``, ``filename``, ``done`` of ``size``, ``total_done`` of ``total``.
        **hub: where from, as for ``from_pretrained``: ``revision``, ``cache_dir``, ``token`` …

    Raises:
        InvalidReference: the name is a folder, or a use is none.
        HubloaderError: something could not be had; what could be is in the cache.

    """
    errand = _understood("prefetch", name, uses, include, exclude, repo_type, hub)
    found = errand.plan()
    fetched = found.fetch_bytes
    if not dry_run:
        from hubloader.resolve.progress import Fetched  # first use: a download

        came = Fetched()
        files = errand.session.files(
            errand.ref, errand.purpose, mode=errand.mode, progress=progress, also=came
        )
        fetched = came.count
        if "tokenizer" in errand.purpose.uses:
            from hubloader.auto.tokenizer import convert_ahead  # first use: the engine, 16 ms

            convert_ahead(files)
    manifest = found.manifest
    return Prefetched(
        repo_id=str(manifest.repo),
        revision=manifest.revision,
        commit=manifest.commit,
        path=errand.session.store.snapshot_path(manifest.repo, manifest.commit),
        files=tuple(file.filename for file in found.files),
        fetched_bytes=fetched,
        size=_size(found),
        planned=tuple(map(_planned, found.files)) if dry_run else (),
        unmatched=tuple(
            pattern
            for pattern in errand.purpose.include or ()
            if not any(matches(filename, (pattern,)) for filename in manifest.entries)
        ),
    )


@dataclass(frozen=True)
class _Errand:
    """One call, understood."""

    session: Session
    ref: ModelRef
    purpose: Purpose
    mode: Mode

    def plan(self) -> FetchPlan:
        return self.session.plan(self.ref, self.purpose, mode=self.mode)


def _understood(
    function: str,
    name: str,
    uses: Iterable[str] | None,
    include: Iterable[str] | None,
    exclude: Iterable[str] | None,
    repo_type: RepoType,
    hub: dict[str, Any],
) -> _Errand:
    arguments, unknown = split_hub_arguments(hub)
    if unknown:
        raise TypeError(_unexpected(function, next(iter(unknown))))
    settings = settings_for(arguments)
    ref = parse_model_ref(name, revision=arguments.revision, repo_type=repo_type)
    if ref.repo is None:
        raise InvalidReference(f"{name!r} is a folder here: there is nothing to fetch")
    purpose = Purpose(
        uses=_uses(uses, include, repo_type),  # type: ignore[arg-type]  # checked there
        include=several(include),
        exclude=several(exclude),
        subfolder=arguments.subfolder,
        variant=arguments.variant,
        use_safetensors=arguments.use_safetensors,
    )
    session = session_for(settings, token=arguments.token, proxies=arguments.proxies)
    return _Errand(session, ref, purpose, mode_of(arguments, settings))


def _planned(file: FilePlan) -> PlannedFile:
    fetch = file.action is Action.DOWNLOAD
    return PlannedFile(file.filename, file.entry.size, fetch, file.fetch)


def _size(plan: FetchPlan) -> int:
    return sum(file.entry.size or 0 for file in plan.files)


def _uses(
    uses: Iterable[str] | None, include: Iterable[str] | None, repo_type: RepoType
) -> frozenset[str]:
    if uses is None:
        by_default = DEFAULT_USES if repo_type == "model" else ("all",)
        return frozenset(by_default if include is None else ())
    chosen = frozenset(several(uses) or ())
    unknown = sorted(chosen - set(USES))
    if unknown:
        raise InvalidReference(
            f"{', '.join(map(repr, unknown))} is no use that files can be chosen for",
            hint=f"the uses are {', '.join(USES)}",
        )
    return chosen


def _unexpected(function: str, keyword: str) -> str:
    names = [*_OWN_KEYWORDS, *(item.name for item in fields(HubArguments))]
    return f"{function}() got an unexpected keyword {keyword!r}{suggestion(keyword, names)}"
