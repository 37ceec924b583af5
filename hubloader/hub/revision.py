"""What a revision is and holds: from one answer, or from the pages of its tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hubloader.errors import ListingUnavailable, MalformedAnswer, NotFound
from hubloader.hub.listing import next_page, parse_info, parse_tree_page
from hubloader.names import is_commit
from hubloader.transport.base import TooLong, shown
from hubloader.types import Manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubloader.hub.endpoint import Endpoint
    from hubloader.hub.listing import Info
    from hubloader.transport.base import Timeouts
    from hubloader.types import CommitHash, Entry, RepoId

__all__ = ["survey"]

_LARGE: Final = 5_000  # files: from here on the tree's pages, which the Hub limits, are listed
_MAX_PAGES: Final = 20_000  # of 1,000 files: more than any repository has


def survey(
    endpoint: Endpoint, repo: RepoId, revision: str, timeouts: Timeouts
) -> tuple[Manifest, Info]:
    """Ask what a revision is and holds, and what the card says of it.

    One request, and where the files are many or not described, one for each page of the tree;
    where they are too many for one answer, a brief one and the pages.

    Raises:
        NotFound: no such repository or revision.
        ListingUnavailable: the endpoint lists nothing.
        AccessDenied: it is there, and not handed out.
        HubError: the endpoint failed, or sent what cannot be true.
        TransportError: no answer came.

    """
    try:
        answer = endpoint.get_json(endpoint.urls.info(repo, revision), repo, "info", timeouts)
    except TooLong:
        brief = endpoint.urls.brief_info(repo, revision)
        answer = endpoint.get_json(brief, repo, "info", timeouts)
    info = parse_info(answer.body)
    if is_commit(revision) and info.commit != revision:
        raise MalformedAnswer(f"{endpoint.home} answered about the commit {info.commit}")
    entries = _entries(endpoint, repo, info, timeouts)
    _refuse_files_that_are_folders(entries)
    manifest = Manifest(
        repo=repo,
        revision=revision,
        commit=info.commit,
        entries=entries,
        canonical=info.repo_id if info.repo_id not in {"", str(repo)} else None,
        moved=f"/{info.repo_id}/revision/" in answer.url,
    )
    return manifest, info


def _entries(
    endpoint: Endpoint, repo: RepoId, info: Info, timeouts: Timeouts
) -> Mapping[str, Entry]:
    if info.described and len(info.entries) <= _LARGE:
        return info.entries
    try:
        return _tree(endpoint, repo, info.commit, timeouts)
    except (ListingUnavailable, NotFound):
        # a mirror may tell names and have no tree: names are worth having, the rest is asked
        # file by file
        if info.described or not info.entries:
            raise
        return info.entries


def _tree(
    endpoint: Endpoint, repo: RepoId, commit: CommitHash, timeouts: Timeouts
) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    url: str | None = endpoint.urls.tree(repo, commit)
    seen: set[str] = set()
    while url is not None:
        if url in seen or len(seen) >= _MAX_PAGES:
            raise MalformedAnswer("the pages of the listing do not end", url=shown(url))
        seen.add(url)
        page = endpoint.get_json(url, repo, "tree", timeouts)
        entries.update(parse_tree_page(page.body))
        url = next_page(url, page.link)
    return entries


def _refuse_files_that_are_folders(entries: Mapping[str, Entry]) -> None:
    """Refuse ``a`` beside ``a/b``: no commit has both, and on a disk one would displace the other.

    Raises:
        MalformedAnswer: there is such a pair.

    """
    folders: set[str] = set()
    for name in entries:
        folder = name.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    both = min(folders & entries.keys(), default=None)
    if both is not None:
        raise MalformedAnswer(f"{both[:200]!r} is listed as a file and as a folder")
