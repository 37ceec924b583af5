"""``prefetch``: bring what some use needs into the cache, before it is needed."""

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
from hubloader.names import suggestion
from hubloader.types import Purpose, parse_model_ref

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hubloader.types import RepoType

__all__ = ["DEFAULT_USES", "USES", "Prefetched", "prefetch"]

USES = ("tokenizer", "torch", "tf", "numpy", "all")
DEFAULT_USES = ("tokenizer", "torch")
_OWN_KEYWORDS = ("uses", "include", "exclude", "repo_type", "dry_run")


@dataclass(frozen=True)
class Prefetched:
    """What one name brought.

    ``commit`` is what the revision was. ``path`` is the snapshot's folder. ``files`` are the names
    of what was wanted, all there now; ``fetched_bytes`` is what had to come over the network (with
    ``dry_run``: what would have to, of the ``size`` in all).
    """

    repo_id: str
    revision: str
    commit: str
    path: Path
    files: tuple[str, ...]
    fetched_bytes: int
    size: int = 0


def prefetch(
    name: str,
    *,
    uses: Iterable[str] | None = None,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    repo_type: RepoType = "model",
    dry_run: bool = False,
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
        **hub: where from, as for ``from_pretrained``: ``revision``, ``cache_dir``, ``token`` …

    Raises:
        InvalidReference: the name is a folder, or a use is none.
        HubloaderError: something could not be had; what could be is in the cache.

    """
    arguments, unknown = split_hub_arguments(hub)
    if unknown:
        raise TypeError(_unexpected(next(iter(unknown))))
    settings = settings_for(arguments)
    ref = parse_model_ref(name, revision=arguments.revision, repo_type=repo_type)
    if ref.repo is None:
        raise InvalidReference(f"{name!r} is a folder here: there is nothing to fetch")
    purpose = Purpose(
        uses=_uses(uses, include, repo_type),  # type: ignore[arg-type]  # checked there
        include=None if include is None else tuple(include),
        exclude=None if exclude is None else tuple(exclude),
        subfolder=arguments.subfolder,
        variant=arguments.variant,
        use_safetensors=arguments.use_safetensors,
    )
    session = session_for(settings, token=arguments.token, proxies=arguments.proxies)
    mode = mode_of(arguments, settings)
    plan = session.plan(ref, purpose, mode=mode)
    if not dry_run:
        files = session.files(ref, purpose, mode=mode)
        if "tokenizer" in purpose.uses:
            from hubloader.auto.tokenizer import convert_ahead  # first use: the engine, 16 ms

            convert_ahead(files)
    manifest = plan.manifest
    return Prefetched(
        repo_id=str(manifest.repo),
        revision=manifest.revision,
        commit=manifest.commit,
        path=session.store.snapshot_path(manifest.repo, manifest.commit),
        files=tuple(file.filename for file in plan.files),
        fetched_bytes=plan.fetch_bytes,
        size=sum(file.entry.size or 0 for file in plan.files),
    )


def _uses(
    uses: Iterable[str] | None, include: Iterable[str] | None, repo_type: RepoType
) -> frozenset[str]:
    if uses is None:
        by_default = DEFAULT_USES if repo_type == "model" else ("all",)
        return frozenset(by_default if include is None else ())
    chosen = frozenset(uses)
    unknown = sorted(chosen - set(USES))
    if unknown:
        raise InvalidReference(
            f"{', '.join(map(repr, unknown))} is no use that files can be chosen for",
            hint=f"the uses are {', '.join(USES)}",
        )
    return chosen


def _unexpected(keyword: str) -> str:
    names = [*_OWN_KEYWORDS, *(item.name for item in fields(HubArguments))]
    return f"prefetch() got an unexpected keyword {keyword!r}{suggestion(keyword, names)}"
