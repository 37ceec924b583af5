"""The Hub's JSON: what a snapshot looks like in ``info``, ``tree``, ``paths-info`` and ``refs``.

The other end of ``hub/listing.py``. Nothing here knows HTTP.

Source: huggingface_hub 2.4.0 ``hf_api.py`` (``ModelInfo``, ``RepoFile``, ``RepoFolder``,
``GitRefs``).
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from hubloader.mirror.card import card_licenses
from hubloader.mirror.config import repo_label

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hubloader.mirror.config import MirrorConfig
    from hubloader.mirror.snapshot import ServedFile, Snapshot
    from hubloader.types import RepoId

__all__ = ["path_items", "refs", "repo_info", "tree_names", "user"]

_TITLE = "Served from a folder"


def repo_info(
    repo: RepoId, snapshot: Snapshot, config: MirrorConfig, *, blobs: bool = False
) -> dict[str, Any]:
    """The answer to ``info``; ``blobs`` adds size and hashes to each sibling."""
    modified = _date(snapshot.modified)
    card = snapshot.files.get("README.md")
    licenses = () if card is None else card_licenses(card.path)
    info: dict[str, Any] = {
        "_id": hashlib.sha256(repo_label(repo).encode()).hexdigest()[:24],
        "id": str(repo),
        "author": repo.namespace,
        "sha": snapshot.commit,
        "lastModified": modified,
        "createdAt": modified,
        "private": repo in config.private,
        "gated": "manual" if repo in config.gated else False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [f"license:{name}" for name in licenses],
        "siblings": [_sibling(name, file, blobs=blobs) for name, file in snapshot.files.items()],
    }
    if licenses:
        info["cardData"] = {"license": licenses[0] if len(licenses) == 1 else list(licenses)}
    if repo.repo_type == "model":
        info["modelId"] = str(repo)
    if blobs:
        info["usedStorage"] = sum(file.stamp.size for file in snapshot.files.values())
    return info


def tree_names(snapshot: Snapshot, folder: str, *, recursive: bool) -> list[str] | None:
    """What ``folder`` ("" for the root) holds, sorted by path; None when it is not there."""
    if folder and folder not in snapshot.folders:
        return None
    prefix = f"{folder}/" if folder else ""
    names = (
        name
        for name in (*snapshot.folders, *snapshot.files)
        if name.startswith(prefix) and (recursive or "/" not in name[len(prefix) :])
    )
    return sorted(names)


def path_items(snapshot: Snapshot, paths: Iterable[str], *, expand: bool) -> list[dict[str, Any]]:
    """The chosen paths; those that are not there are left out. ``expand`` adds the last commit."""
    items = []
    for path in paths:
        name = path.strip("/")
        if name in snapshot.files:
            item = _file(name, snapshot.files[name])
        elif name in snapshot.folders:
            item = {"type": "directory", "oid": snapshot.folders[name], "size": 0, "path": name}
        else:
            continue
        items.append({**item, "lastCommit": _commit(snapshot)} if expand else item)
    return items


def refs(
    commits: Mapping[str, str], tags: frozenset[str], *, pull_requests: bool
) -> dict[str, list[dict[str, str]]]:
    """The answer to ``refs``.

    Args:
        commits: the commit of each revision by its name.
        tags: which of them are tags.
        pull_requests: whether ``refs/pr/N`` are asked for.

    """
    groups: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": []}
    if pull_requests:
        groups["pullRequests"] = []
    for name, commit in commits.items():
        group, ref = _group(name, tags)
        if group in groups:
            groups[group].append({"name": name, "ref": ref, "targetCommit": commit})
    return groups


def user(token: str) -> dict[str, Any]:
    """The answer to ``whoami``: a mirror knows tokens, not people."""
    return {
        "type": "user",
        "id": hashlib.sha256(token.encode()).hexdigest()[:24],
        "name": "mirror",
        "fullname": "a token of this mirror",
        "isPro": False,
        "orgs": [],
        "auth": {"type": "access_token", "accessToken": {"displayName": "token", "role": "read"}},
    }


def _sibling(filename: str, file: ServedFile, *, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": filename}
    sibling: dict[str, Any] = {
        "rfilename": filename,
        "blobId": file.entry.git_sha1,
        "size": file.stamp.size,
    }
    if file.entry.sha256:
        sibling["lfs"] = {
            "sha256": file.entry.sha256,
            "size": file.stamp.size,
            "pointerSize": file.pointer_size,
        }
    return sibling


def _file(filename: str, file: ServedFile) -> dict[str, Any]:
    item: dict[str, Any] = {
        "type": "file",
        "oid": file.entry.git_sha1,
        "size": file.stamp.size,
        "path": filename,
    }
    if file.entry.sha256:
        item["lfs"] = {
            "oid": file.entry.sha256,
            "size": file.stamp.size,
            "pointerSize": file.pointer_size,
        }
    return item


def _commit(snapshot: Snapshot) -> dict[str, str]:
    return {"id": snapshot.commit, "title": _TITLE, "date": _date(snapshot.modified)}


def _group(name: str, tags: frozenset[str]) -> tuple[str, str]:
    if name.startswith("refs/pr/"):
        return "pullRequests", name
    if name.startswith("refs/convert/"):
        return "converts", name
    return ("tags", f"refs/tags/{name}") if name in tags else ("branches", f"refs/heads/{name}")


def _date(seconds: float) -> str:
    when = datetime.fromtimestamp(seconds, tz=timezone.utc)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}Z"
