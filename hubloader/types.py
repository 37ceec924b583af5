"""The frozen values that cross layers.

What each layer hands to the next is one of these: a ``ModelRef`` (what the user named), a
``Manifest`` (what one commit holds), a ``Purpose`` (what it is wanted for), a ``FileSet`` (the
files, on disk). None of them knows sockets or disks; how each is made stands with its maker.
"""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from hubloader import notices
from hubloader.errors import InvalidReference, NotFound, about
from hubloader.names import check_filename, check_repo_id, check_revision, is_commit, is_etag

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from typing_extensions import Self

__all__ = [
    "DEFAULT_REVISION",
    "CachedFile",
    "CommitHash",
    "ETag",
    "Entry",
    "FileSet",
    "LoadReport",
    "Manifest",
    "Mode",
    "ModelRef",
    "OnDisk",
    "Outcome",
    "Purpose",
    "Refresh",
    "RepoId",
    "RepoType",
    "TensorSpec",
    "parse_model_ref",
]

RepoType = Literal["model", "dataset", "space"]
DEFAULT_REVISION = "main"


class CommitHash(str):
    """A full commit: 40 lower-case hex digits, checked when made."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check and wrap."""
        if not is_commit(text):
            raise InvalidReference(f"{text!r} is not a commit of 40 hex digits")
        return super().__new__(cls, text)


class ETag(str):
    """The Hub's name for a content: git sha1 (40 hex) or sha256 (64 hex); a safe file name."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check and wrap."""
        if not is_etag(text):
            raise InvalidReference(f"{text!r} is not an etag of 40 or 64 hex digits")
        return super().__new__(cls, text)


@dataclass(frozen=True)
class RepoId:
    """A repository on the Hub; ``namespace`` is None for a legacy one-part name."""

    namespace: str | None
    name: str
    repo_type: RepoType = "model"

    @classmethod
    def parse(cls, text: str, repo_type: RepoType = "model") -> RepoId:
        """Read ``name`` or ``namespace/name``; raises InvalidReference for anything else."""
        namespace, name = check_repo_id(text)
        return cls(namespace, name, repo_type)

    def __str__(self) -> str:
        return self.name if self.namespace is None else f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class ModelRef:
    """What the user named: a Hub repository at a revision, or a local folder.

    Exactly one of ``repo`` and ``path`` is set. ``subfolder`` is POSIX, without slashes at its
    ends, "" for the root. ``revision`` is None when the user named none.
    """

    repo: RepoId | None = None
    path: str | None = None
    revision: str | None = None
    subfolder: str = ""

    @property
    def source(self) -> Literal["hub", "dir"]:
        """Where the files are: on the Hub (or in its cache), or in a folder."""
        return "hub" if self.repo is not None else "dir"


def parse_model_ref(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    subfolder: str = "",
    repo_type: RepoType = "model",
    is_dir: Callable[[str], bool] = os.path.isdir,
) -> ModelRef:
    """Read what users give as a model's name.

    Args:
        name: ``org/name``, a one-part name, ``org/name@revision``, ``hf://org/name@revision``, or
            a folder. A folder that exists wins over a Hub name, with a warning when both fit.
        revision: branch, tag, ``refs/pr/N`` or commit; not together with ``@revision``.
        subfolder: folder inside the repository that holds the files.
        repo_type: model, dataset or space.
        is_dir: tells whether a folder exists.

    Raises:
        InvalidReference: the name can be neither, or two revisions were given.
        NotFound: the name is clearly a path, and no folder is there.

    """
    text = os.path.expanduser(os.fspath(name))
    folder = subfolder.strip("/")
    if folder:
        check_filename(folder)
    if not text.startswith("hf://") and is_dir(text):
        _warn_when_both_fit(text)
        return ModelRef(path=text, revision=revision, subfolder=folder)
    if text.startswith(("/", "./", "../", ".\\", "..\\")) or text in {".", ".."}:
        raise NotFound(f"there is no folder {text!r}", hint="check the path, or give a Hub name")
    repo_text, at, inline = text.removeprefix("hf://").partition("@")
    if at and revision is not None:
        raise InvalidReference(
            f"{text!r} names a revision and revision={revision!r} was given too",
            hint="give the revision once",
            repo_id=repo_text,
            revision=revision,
        )
    chosen = inline if at else revision
    repo = RepoId.parse(repo_text, repo_type)
    if chosen is not None:
        with about(repo_id=repo_text):
            check_revision(chosen)
    return ModelRef(repo=repo, revision=chosen, subfolder=folder)


def _warn_when_both_fit(text: str) -> None:
    try:
        check_repo_id(text)
    except InvalidReference:
        return
    notices.warn(
        f"{text!r} is a folder here and could be a Hub name: the folder is used "
        f"(write './{text}' or 'hf://{text}' to say which)"
    )


class Refresh(enum.Enum):
    """When to ask the Hub whether a branch moved. A number of seconds may stand in its place."""

    ALWAYS = "always"
    SESSION = "session"
    NEVER = "never"


class Mode(enum.Enum):
    """What the network may be used for in one call."""

    ONLINE = "use the network where the cache does not answer"
    CACHE_ONLY = "never use the network"
    FORCE = "fetch again even what is cached"


@dataclass(frozen=True, slots=True)  # a repository has 100,000
class Entry:
    """A file as the Hub knows it.

    ``size`` is in bytes. ``git_sha1`` is the git object id of the file, or of its LFS pointer;
    ``sha256`` is set for LFS files. A mirror that lists nothing may leave ``size`` unknown (None).
    """

    size: int | None
    git_sha1: str | None = None
    sha256: str | None = None
    xet_hash: str | None = None

    @property
    def etag(self) -> ETag:
        """The blob's name: the sha256 of an LFS file, else the git sha1."""
        return ETag(self.sha256 or self.git_sha1 or "")

    @property
    def is_lfs(self) -> bool:
        """Whether the content is stored by sha256, outside git."""
        return self.sha256 is not None


@dataclass(frozen=True)
class Manifest:
    """What one commit holds.

    ``complete`` tells whether ``entries`` is the whole listing (so that a name that is not in it is
    known to be absent) or only what single-file requests or the disk happened to tell.
    ``canonical`` is the id the Hub answered with, where it is another than the one asked; ``moved``
    tells that the endpoint redirects there.
    """

    repo: RepoId
    revision: str
    commit: CommitHash
    entries: Mapping[str, Entry]
    absent: frozenset[str] = frozenset()
    complete: bool = True
    canonical: str | None = None
    stale: str | None = None  # why a cached revision stands in for the Hub's answer, or None
    moved: bool = field(default=False, compare=False)

    def __contains__(self, filename: str) -> bool:
        return filename in self.entries

    @property
    def source(self) -> RepoId:
        """The name to fetch by: of a renamed repository the new one, which saves a redirect each.

        Where the endpoint knows the other name and does not redirect, it may not have it itself.
        """
        if self.canonical is None or not self.moved:
            return self.repo
        return RepoId.parse(self.canonical, self.repo.repo_type)

    def names(self, folder: str = "") -> frozenset[str]:
        """File names below ``folder``, relative to it."""
        prefix = f"{folder}/" if folder else ""
        return frozenset(n.removeprefix(prefix) for n in self.entries if n.startswith(prefix))


@dataclass(frozen=True)
class Purpose:
    """What a repository's files are wanted for: decides, with the manifest, which are needed.

    ``uses`` are parts of the loading machinery; ``include``/``exclude`` are huggingface_hub's
    patterns (``None``: no filter); ``exact`` are names that must be there. ``formats`` are the
    formats of weights that will do, the preferred one first: ``safetensors``, ``bin``, ``h5``.
    ``later`` are uses that follow once these files will do: nothing is brought for them yet, but
    an error names what they lack too.
    """

    uses: frozenset[Literal["config", "tokenizer", "torch", "tf", "numpy", "all"]] = frozenset()
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None
    exact: tuple[str, ...] = ()
    subfolder: str = ""
    variant: str | None = None
    use_safetensors: bool | None = None
    formats: tuple[str, ...] | None = None
    later: frozenset[Literal["torch", "tf", "numpy"]] = frozenset()


class OnDisk(NamedTuple):
    """What the disk holds of one wanted file.

    ``pointer``: the snapshot names it. ``blob``: its content is there, with the right size.
    ``trusted``: the content's hash was seen to match, and its stamp has not changed since.
    ``partial``: bytes of an unfinished download that can be gone on with.
    """

    pointer: bool = False
    blob: bool = False
    trusted: bool = False
    partial: int = 0


class Outcome(enum.Enum):
    """How a file came to be where it is."""

    HIT = "was in the cache"
    LINKED = "its content was in the cache, a pointer was made"
    HEALED = "the cached content was bad and was fetched again"
    DOWNLOADED = "fetched"


class CachedFile(NamedTuple):
    """One file of one commit, whole and verified, on this disk."""

    filename: str
    path: str  # a Path takes five times the memory, and a repository has 100,000 files
    commit: str
    digest: str
    size: int
    outcome: Outcome


class FileSet(Protocol):
    """Files that can be loaded from: a snapshot, a folder, a test's dictionary."""

    def names(self) -> frozenset[str]:
        """Every file that can be had, as POSIX names relative to the subfolder in use."""

    def exists(self, name: str) -> bool:
        """Whether ``name`` is one of them."""

    def path(self, name: str) -> Path:
        """Where the file is; raises EntryNotFound or CacheMiss, naming it."""

    def describe(self, name: str = "") -> str:
        """The file, or the whole set, in words for messages."""


class TensorSpec(NamedTuple):
    """One named array of a checkpoint; ``dtype`` in safetensors' words: F32, BF16, I64."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class LoadReport(NamedTuple):
    """What became of every tensor of a checkpoint, by name.

    ``renamed`` pairs a checkpoint's name with the model's; ``mismatched`` gives name, the
    checkpoint's shape and the model's.
    """

    loaded: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
