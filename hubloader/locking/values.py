"""What models.toml asks for, and what models.lock says it is: frozen values.

A ``ModelSpec`` is one entry that people wrote; a ``LockedModel`` is that entry resolved to a commit
and its files. ``ModelSpec.digest`` is the lock's ``spec``: it tells without a network whether an
entry was changed since it was locked. ``tree_digest`` is the lock's ``tree``: what the files are,
and what a signature signs.

Source: the formats are fixed by docs/reference/models-lock.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hubloader.errors import InvalidReference
from hubloader.types import DEFAULT_REVISION, CommitHash, Entry, Manifest, Purpose, RepoId

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubloader.types import RepoType

__all__ = [
    "DEFAULT_USES",
    "FORMATS",
    "RISKS",
    "USES",
    "Lock",
    "LockedFile",
    "LockedModel",
    "ModelSpec",
    "Policy",
    "Project",
    "check_name",
    "tree_digest",
]

USES = ("tokenizer", "torch", "tf", "numpy", "all")
DEFAULT_USES = ("tokenizer", "torch")
FORMATS = ("safetensors", "bin", "h5", "msgpack")
RISKS = ("pickle", "remote-code")
_PINS = "pin"  # refs/hubloader/pin/ is the folder of pins, so no entry's ref can be called so
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,95}")


@dataclass(frozen=True)
class Policy:
    """What a project allows: the ``[policy]`` table.

    Args:
        licenses: the licences that are allowed; None for all.
        deny: risks that are refused: ``pickle``, ``remote-code``.
        max_bytes: the most that all models together may weigh; None for no limit.
        formats: formats of weights in order of preference, others are refused; None for the order
            of each use.

    """

    licenses: frozenset[str] | None = None
    deny: frozenset[str] = frozenset()
    max_bytes: int | None = None
    formats: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ModelSpec:
    """One entry of models.toml, with its defaults filled in.

    ``uses``, ``include`` and ``exclude`` are sorted: their order means nothing. ``formats`` is the
    order of the entry or of the policy, None for that of the uses.
    """

    name: str
    repo: RepoId
    revision: str = DEFAULT_REVISION
    uses: tuple[str, ...] = DEFAULT_USES
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    formats: tuple[str, ...] | None = None

    @property
    def digest(self) -> str:
        """``sha256:…`` of the entry as JSON: what the lock remembers of it."""
        entry: dict[str, Any] = {
            "exclude": sorted(self.exclude),
            "for": sorted(self.uses),
            "include": sorted(self.include),
            "repo": str(self.repo),
            "revision": self.revision,
            "type": self.repo.repo_type,
        }
        if self.formats is not None:
            entry["formats"] = list(self.formats)  # here the order is the meaning
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    @property
    def purpose(self) -> Purpose:
        """What its files are wanted for."""
        return Purpose(
            uses=frozenset(self.uses),  # type: ignore[arg-type]  # checked where it was read
            include=self.include or None,
            exclude=self.exclude or None,
            formats=self.formats,
        )


@dataclass(frozen=True)
class Project:
    """What models.toml says. ``path`` is the file it was read from."""

    path: str
    specs: tuple[ModelSpec, ...] = ()
    policy: Policy = field(default_factory=Policy)
    endpoint: str | None = None

    def spec(self, name: str) -> ModelSpec | None:
        """The entry of that name."""
        return next((spec for spec in self.specs if spec.name == name), None)


@dataclass(frozen=True)
class LockedFile:
    """One file of a locked commit. ``git_sha1`` is set for files that git itself keeps."""

    path: str
    size: int
    sha256: str
    git_sha1: str | None = None

    @property
    def entry(self) -> Entry:
        """The file as the Hub knows it: what the cache names its content by."""
        if self.git_sha1 is not None:
            return Entry(self.size, git_sha1=self.git_sha1)
        return Entry(self.size, sha256=self.sha256)


@dataclass(frozen=True)
class LockedModel:
    """One entry of models.lock: a commit and its chosen files."""

    name: str
    repo: RepoId
    spec: str
    revision: str
    commit: CommitHash
    files: tuple[LockedFile, ...]
    license: str = ""
    gated: bool = False
    risk: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def tree(self) -> str:
        """``sha256:…`` of the file lines: this entry's identity."""
        return tree_digest(self.files)

    @property
    def size(self) -> int:
        """Bytes of all files; a content with two names counts once."""
        return sum({file.sha256: file.size for file in self.files}.values())

    @property
    def manifest(self) -> Manifest:
        """The locked commit, as far as the lock knows it."""
        return Manifest(
            repo=self.repo,
            revision=self.revision,
            commit=self.commit,
            entries={file.path: file.entry for file in self.files},
            absent=frozenset(self.absent),
            complete=False,
        )


@dataclass(frozen=True)
class Lock:
    """What models.lock says: every entry, sorted by name."""

    models: tuple[LockedModel, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "models", tuple(sorted(self.models, key=lambda m: m.name)))

    def named(self, name: str) -> LockedModel | None:
        """The entry of that name."""
        return next((model for model in self.models if model.name == name), None)

    def find(self, name: str, repo_type: RepoType = "model") -> LockedModel | None:
        """The entry that ``name`` means: the one so named, else the one of that repository.

        Raises:
            InvalidReference: several entries are of that repository.

        """
        named = self.named(name)
        if named is not None:
            return named
        wanted = name.removeprefix("hf://")
        found = [m for m in self.models if (str(m.repo), m.repo.repo_type) == (wanted, repo_type)]
        if len(found) > 1:
            names = ", ".join(model.name for model in found)
            raise InvalidReference(
                f"the lock has {len(found)} entries of {wanted}: {names}",
                hint="load it by the name of the entry",
                repo_id=wanted,
            )
        return found[0] if found else None


def tree_digest(files: Iterable[LockedFile]) -> str:
    """``sha256:…`` of the lines ``<sha256> <size> <path>``, sorted by the bytes of the path."""
    content = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.path.encode()):
        content.update(f"{file.sha256} {file.size} {file.path}\n".encode())
    return f"sha256:{content.hexdigest()}"


def check_name(name: str) -> str:
    """Return ``name`` if an entry may be called so.

    Raises:
        InvalidReference: it may not.

    """
    good = (
        _NAME.fullmatch(name)
        and not name.endswith((".", ".lock"))
        and ".." not in name
        and name != _PINS
    )
    if not good:
        raise InvalidReference(
            f"{name!r} cannot be the name of a model",
            hint="use letters, digits, '-', '_' and '.', at most 96",
        )
    return name
