"""``hub.json``: what a folder of repositories cannot say by itself.

::

    {
      "aliases": {"old-name": "org/new", "datasets/old": "datasets/org/new"},
      "gated":   ["org/asks-first"],
      "private": ["org/ours"],
      "tokens":  {"hf_abc": ["org/asks-first", "org/ours"], "hf_all": ["*"]},
      "tags":    {"org/name": ["v1.0"]},
      "lfs":     ["*.safetensors"]
    }

Every key may be left out. ``aliases``: renamed repositories and one-part names, answered by a
redirect. ``gated``: anyone sees the listing, only a token named for it gets files. ``private``: is
not there for anyone else. ``tokens``: who may have what; once it is given, any other token is
refused, as on the Hub. ``tags``: revisions that are listed as tags rather than branches. ``lfs``:
the patterns of files that are sent from the content origin (larger ones always are). Datasets and
spaces are written with their prefix.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hubloader.errors import CorruptFile, InvalidReference
from hubloader.types import RepoId

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hubloader.types import RepoType

__all__ = ["CONFIG_NAME", "DEFAULT_LFS", "MirrorConfig", "read_config", "repo_label"]

CONFIG_NAME: Final = "hub.json"
# Source: the .gitattributes that the Hub puts into a new repository.
DEFAULT_LFS: Final = (
    *("*.7z", "*.arrow", "*.avro", "*.bin", "*.bz2", "*.ckpt", "*.ftz", "*.gz", "*.h5"),
    *("*.joblib", "*.lfs.*", "*.lz4", "*.mds", "*.mlmodel", "*.model", "*.msgpack", "*.npy"),
    *("*.npz", "*.onnx", "*.ot", "*.parquet", "*.pb", "*.pickle", "*.pkl", "*.pt", "*.pth"),
    *("*.rar", "*.safetensors", "*.tar", "*.tar.*", "*.tflite", "*.tgz", "*.wasm", "*.xz"),
    *("*.zip", "*.zst", "*tfevents*", "saved_model/*"),
)
_EVERY_REPO = "*"
_PREFIX: Final[dict[RepoType, str]] = {"model": "", "dataset": "datasets/", "space": "spaces/"}
_KEYS = ("aliases", "gated", "private", "tokens", "tags", "lfs")


@dataclass(frozen=True)
class MirrorConfig:
    """What ``hub.json`` says, checked; without the file, everything is public.

    ``tokens`` is None when none are given, and any token is then let pass.
    """

    aliases: Mapping[RepoId, RepoId] = field(default_factory=dict)
    gated: frozenset[RepoId] = frozenset()
    private: frozenset[RepoId] = frozenset()
    tokens: Mapping[str, frozenset[str]] | None = field(default=None, repr=False)
    tags: Mapping[RepoId, frozenset[str]] = field(default_factory=dict)
    lfs: tuple[str, ...] = DEFAULT_LFS

    def reaches(self, token: str, repo: RepoId) -> bool:
        """Whether ``token`` was given access to ``repo``."""
        granted = (self.tokens or {}).get(token, frozenset())
        return _EVERY_REPO in granted or repo_label(repo) in granted


def repo_label(repo: RepoId) -> str:
    """How ``hub.json`` and the folder write a repository: its id, after its type's prefix."""
    return f"{_PREFIX[repo.repo_type]}{repo}"


def read_config(path: Path) -> MirrorConfig:
    """Read ``hub.json``; a file that is not there says nothing.

    Raises:
        CorruptFile: it is no JSON object, holds a key or value it cannot hold, or its aliases run
            in a circle.

    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return MirrorConfig()
    try:
        return _checked(json.loads(text))
    except (ValueError, TypeError, InvalidReference) as error:
        raise CorruptFile(
            f"{path} cannot be used: {error}",
            hint=f"it may hold {', '.join(_KEYS)}: see the documentation of `hubloader serve`",
        ) from error


def _checked(raw: Any) -> MirrorConfig:
    if not isinstance(raw, dict):
        raise TypeError("it is not a JSON object")
    unknown = sorted(set(raw) - set(_KEYS))
    if unknown:
        raise ValueError(f"unknown keys: {', '.join(unknown)}")
    tokens = raw.get("tokens")
    return MirrorConfig(
        aliases=_aliases(_mapping(raw, "aliases")),
        gated=_repos(raw, "gated"),
        private=_repos(raw, "private"),
        tokens=None if tokens is None else _tokens(_mapping(raw, "tokens")),
        tags={
            _repo(label): frozenset(_texts(names, f"tags of {label}"))
            for label, names in _mapping(raw, "tags").items()
        },
        lfs=_texts(raw["lfs"], "lfs") if "lfs" in raw else DEFAULT_LFS,
    )


def _mapping(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = raw.get(key, {})
    if not isinstance(value, dict):
        raise TypeError(f"{key!r} is not an object")
    return value


def _texts(value: Any, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError(f"{what!r} is not a list of strings")
    return tuple(value)


def _repos(raw: Mapping[str, Any], key: str) -> frozenset[RepoId]:
    return frozenset(_repo(label) for label in _texts(raw.get(key, []), key))


def _repo(label: Any) -> RepoId:
    if not isinstance(label, str):
        raise TypeError(f"{label!r} is not the name of a repository")
    for repo_type, prefix in _PREFIX.items():
        if prefix and label.startswith(prefix):
            return RepoId.parse(label.removeprefix(prefix), repo_type)
    return RepoId.parse(label)


def _tokens(raw: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    granted: dict[str, frozenset[str]] = {}
    for token, value in raw.items():
        labels = _texts(value, "tokens")
        granted[token] = frozenset(
            label if label == _EVERY_REPO else repo_label(_repo(label)) for label in labels
        )
    return granted


def _aliases(raw: Mapping[str, Any]) -> dict[RepoId, RepoId]:
    direct = {_repo(old): _repo(new) for old, new in raw.items()}
    return {old: _last(old, direct) for old in direct}


def _last(repo: RepoId, direct: Mapping[RepoId, RepoId]) -> RepoId:
    seen = [repo]
    while seen[-1] in direct:
        following = direct[seen[-1]]
        if following in seen:
            raise ValueError(f"the alias {repo_label(repo)!r} leads back to itself")
        seen.append(following)
    return seen[-1]
