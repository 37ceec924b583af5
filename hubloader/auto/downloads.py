"""huggingface_hub's download functions, by its names and parameters, on hubloader's engine.

They take what huggingface_hub 2.4 takes and give what it gives, into the same cache; every byte is
verified, listings are shared, and errors are of both libraries' classes (``hub_errors.py``).

With ``local_dir`` the files go straight into that folder (``local_folder.py``): what is cached
already is copied and not fetched, the cache is not written, and what was placed is the user's to
change. While ``HUBLOADER_LOCK`` is set they
give the locked files at the locked commit, and ask nobody (``pinned.py``).

Source: huggingface_hub 2.4.0 ``file_download.py``, ``_snapshot_download.py``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, overload

from hubloader import notices
from hubloader.auto.download_call import Call, ignoring_legacy, into, kind_of, understand
from hubloader.auto.hub_errors import both, raising_both
from hubloader.auto.source import HubArguments, session_for, settings_for
from hubloader.errors import CacheMiss, EntryNotFound, HubloaderError
from hubloader.names import check_filename, check_revision, several
from hubloader.resolve.needs import needs
from hubloader.resolve.plan import Action
from hubloader.types import Mode, Purpose, RepoId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from huggingface_hub import DryRunFileInfo, HFCacheInfo
    from typing_extensions import TypedDict, Unpack

    from hubloader.auto.local_folder import LocalFolder
    from hubloader.resolve.files import SnapshotFiles
    from hubloader.types import Manifest

    class _Options(TypedDict, total=False):
        repo_type: str | None
        revision: str | None
        library_name: str | None
        library_version: str | None
        cache_dir: _Path | None
        local_dir: _Path | None
        user_agent: Mapping[str, Any] | str | None
        force_download: bool
        etag_timeout: float | None
        token: bool | str | None
        local_files_only: bool
        headers: Mapping[str, str] | None
        endpoint: str | None
        tqdm_class: type | None

    class _SnapshotOptions(_Options, total=False):
        allow_patterns: Sequence[str] | str | None
        ignore_patterns: Sequence[str] | str | None
        max_workers: int | None


__all__ = ["hf_hub_download", "scan_cache_dir", "snapshot_download", "try_to_load_from_cache"]

_Path = str | os.PathLike[str]


@overload
def hf_hub_download(
    repo_id: str,
    filename: str,
    *,
    subfolder: str | None = None,
    dry_run: Literal[False] = False,
    **options: Unpack[_Options],
) -> str: ...
@overload
def hf_hub_download(
    repo_id: str,
    filename: str,
    *,
    subfolder: str | None = None,
    dry_run: Literal[True],
    **options: Unpack[_Options],
) -> DryRunFileInfo: ...
@ignoring_legacy
@raising_both
def hf_hub_download(  # noqa: PLR0913 - the parameters are huggingface_hub's
    repo_id: str,
    filename: str,
    *,
    subfolder: str | None = None,
    repo_type: str | None = None,
    revision: str | None = None,
    library_name: str | None = None,
    library_version: str | None = None,
    cache_dir: _Path | None = None,
    local_dir: _Path | None = None,
    user_agent: Mapping[str, Any] | str | None = None,
    force_download: bool = False,
    etag_timeout: float | None = None,
    token: bool | str | None = None,
    local_files_only: bool = False,
    headers: Mapping[str, str] | None = None,
    endpoint: str | None = None,
    tqdm_class: type | None = None,
    dry_run: bool = False,
) -> str | DryRunFileInfo:
    """Bring one file of a repository into the cache, and return its path.

    Args:
        repo_id: ``namespace/name``, or a one-part name.
        filename: POSIX path in the repository.
        subfolder: folder in the repository that ``filename`` is relative to.
        repo_type: ``model`` (default), ``dataset`` or ``space``.
        revision: branch, tag, ``refs/pr/N`` or commit; default main.
        library_name: named in the user agent.
        library_version: of that library.
        cache_dir: the hub folder itself; default the environment's.
        local_dir: a folder of your own to place the file in, under its name in the repository.
        user_agent: more for the user agent.
        force_download: fetch again even what is cached.
        etag_timeout: seconds to wait for the Hub while something is cached.
        token: a token, True to demand the stored one, False for none.
        local_files_only: use no network.
        headers: more headers, for the endpoint alone.
        endpoint: the Hub, or a mirror.
        tqdm_class: the bar to show.
        dry_run: fetch nothing, return what would be fetched.

    Raises:
        HubloaderError: of hubloader's and huggingface_hub's class at once.

    """
    options = dict(locals())
    call = understand(repo_id, repo_type, revision, options)
    name = check_filename(f"{subfolder.strip('/')}/{filename}" if subfolder else filename)
    purpose = Purpose(exact=(name,))
    call, folder = into(call, local_dir)
    try:
        if dry_run:
            return _foretell(call, purpose, folder)[0]
        if folder is not None:
            return str(_place(call, purpose, folder)[0])
        return str(call.files(purpose).path(name))
    except EntryNotFound as error:
        if call.mode is Mode.CACHE_ONLY:
            raise both(error, theirs="LocalEntryNotFoundError") from error.__cause__
        raise


@overload
def snapshot_download(
    repo_id: str, *, dry_run: Literal[False] = False, **options: Unpack[_SnapshotOptions]
) -> str: ...
@overload
def snapshot_download(
    repo_id: str, *, dry_run: Literal[True], **options: Unpack[_SnapshotOptions]
) -> list[DryRunFileInfo]: ...
@ignoring_legacy
@raising_both
def snapshot_download(  # noqa: PLR0913 - the parameters are huggingface_hub's
    repo_id: str,
    *,
    repo_type: str | None = None,
    revision: str | None = None,
    cache_dir: _Path | None = None,
    local_dir: _Path | None = None,
    library_name: str | None = None,
    library_version: str | None = None,
    user_agent: Mapping[str, Any] | str | None = None,
    etag_timeout: float | None = None,
    force_download: bool = False,
    token: bool | str | None = None,
    local_files_only: bool = False,
    allow_patterns: Sequence[str] | str | None = None,
    ignore_patterns: Sequence[str] | str | None = None,
    max_workers: int | None = None,
    tqdm_class: type | None = None,
    headers: Mapping[str, str] | None = None,
    endpoint: str | None = None,
    dry_run: bool = False,
) -> str | list[DryRunFileInfo]:
    """Bring the files of a repository into the cache, and return the snapshot's folder.

    Args:
        repo_id: ``namespace/name``, or a one-part name.
        repo_type: ``model`` (default), ``dataset`` or ``space``.
        revision: branch, tag, ``refs/pr/N`` or commit; default main.
        cache_dir: the hub folder itself; default the environment's.
        local_dir: a folder of your own to place the files in, under their names in the repository.
        library_name: named in the user agent.
        library_version: of that library.
        user_agent: more for the user agent.
        etag_timeout: seconds to wait for the Hub while something is cached.
        force_download: fetch again even what is cached.
        token: a token, True to demand the stored one, False for none.
        local_files_only: use no network.
        allow_patterns: only files that fit one of them; ``*`` crosses slashes.
        ignore_patterns: no files that fit one of them.
        max_workers: connections at a time.
        tqdm_class: the bar to show.
        headers: more headers, for the endpoint alone.
        endpoint: the Hub, or a mirror.
        dry_run: fetch nothing, return what would be fetched.

    Raises:
        HubloaderError: of hubloader's and huggingface_hub's class at once.

    """
    options = dict(locals())
    call = understand(repo_id, repo_type, revision, options)
    purpose = Purpose(
        uses=frozenset({"all"}),
        include=several(allow_patterns),
        exclude=several(ignore_patterns),
    )
    call, folder = into(call, local_dir)
    if dry_run:
        try:
            return _foretell(call, purpose, folder)
        except CacheMiss as error:
            raise both(error, theirs="DryRunError") from error.__cause__
    try:
        if folder is not None:
            _place(call, purpose, folder)
            return str(folder.path)
        files = call.files(purpose)
    except CacheMiss as error:
        where = _known_folder(call) if folder is None else _begun(folder, error)
        raise both(error, snapshot_path=where) from error.__cause__
    _warn_if_unknown(call, files)
    manifest = files.manifest
    if (purpose.include or purpose.exclude) and not needs(manifest, purpose).wanted:
        notices.warn(f"no file of {files.describe()} fits the patterns")
    return str(call.session.store.snapshot_path(manifest.repo, manifest.commit))


def _known_folder(call: Call) -> str | None:
    """The folder of what is cached of the revision, whole or not."""
    repo, store = call.ref.repo, call.session.store
    commit = None if repo is None else store.known_commit(repo, call.ref.revision or "main")
    if repo is None or commit is None:
        return None
    return str(store.snapshot_path(repo, commit))


def _begun(folder: LocalFolder, error: CacheMiss) -> str | None:
    """The user's folder, where it lacks some of the files."""
    return str(folder.path) if error.missing and folder.names() else None


def _warn_if_unknown(call: Call, files: SnapshotFiles) -> None:
    if not files.manifest.complete and call.mode is Mode.CACHE_ONLY:
        notices.warn(
            f"the listing of {files.describe()} is not in the cache: whether the snapshot is whole "
            "cannot be told without a network"
        )


def _foretell(call: Call, purpose: Purpose, folder: LocalFolder | None) -> list[DryRunFileInfo]:
    from huggingface_hub import DryRunFileInfo

    plan, store = call.plan(purpose), call.session.store
    manifest = plan.manifest

    def tell(filename: str, *, cached: bool, download: bool) -> DryRunFileInfo:
        place = store.pointer_path(manifest.repo, manifest.commit, filename)
        entry = manifest.entries[filename]
        if folder is not None:
            place = folder.file(filename)
            cached = place.is_file() or not download
            current = folder.is_current(filename, entry) and call.mode is not Mode.FORCE
            download = download and not current
        return DryRunFileInfo(
            commit_hash=manifest.commit,
            file_size=entry.size,
            filename=filename,
            local_path=str(place),
            is_cached=cached,
            will_download=download,
        )

    planned = [
        tell(file.filename, cached=file.cached, download=file.action is Action.DOWNLOAD)
        for file in plan.files
    ]
    told = planned + [tell(name, cached=False, download=True) for name in plan.missing]
    lacking = tuple(each.filename for each in told if each.will_download)
    if lacking and call.mode is Mode.CACHE_ONLY:
        call.files(Purpose(exact=lacking))  # raises what the call itself would
    return told


def _place(call: Call, purpose: Purpose, folder: LocalFolder) -> list[Path]:
    """Bring files into the user's own folder; what is current there is not even fetched."""
    try:
        manifest, wanted = call.wanted(purpose)
    except CacheMiss:
        present = [folder.file(name) for name in purpose.exact or folder.names()]
        if not present or not all(path.is_file() for path in present):
            raise
        notices.warn(f"{folder.path} is used as it is: the Hub was not asked")
        return present
    if _lacking(call, manifest, wanted, folder):
        with folder.locked(call.session.settings.lock_timeout):
            lacking = _lacking(call, manifest, wanted, folder)  # another process may have come
            if lacking:
                _fetch_into(call, manifest, lacking, folder)
    return [folder.file(name) for name in wanted]


def _fetch_into(
    call: Call, manifest: Manifest, lacking: Sequence[str], folder: LocalFolder
) -> None:
    try:
        files = call.files(Purpose(exact=tuple(lacking)))
    except HubloaderError:  # of some; the others have come
        folder.place(manifest, lacking, call.session, fetched=True)
        raise
    folder.place(files.manifest, lacking, call.session)


def _lacking(
    call: Call, manifest: Manifest, wanted: Iterable[str], folder: LocalFolder
) -> list[str]:
    if call.mode is Mode.FORCE:
        return list(wanted)
    return [name for name in wanted if not folder.is_current(name, manifest.entries[name])]


@ignoring_legacy
@raising_both
def try_to_load_from_cache(
    repo_id: str,
    filename: str,
    cache_dir: _Path | None = None,
    revision: str | None = None,
    repo_type: str | None = None,
) -> str | Any | None:
    """Look for a file in the cache; asks nobody and fetches nothing.

    Returns:
        The file's path; huggingface_hub's ``_CACHED_NO_EXIST`` when the revision is known not to
        have it; None when the cache does not know.

    Raises:
        InvalidReference: a name that can be none.

    """
    settings = settings_for(HubArguments(cache_dir=cache_dir))
    store = session_for(settings, token=False).store
    repo = RepoId.parse(repo_id, kind_of(repo_type))
    check_filename(filename)
    wanted = check_revision(revision or "main")
    commit = store.known_commit(repo, wanted)
    manifest = None if commit is None else store.read_manifest(repo, wanted, commit)
    if manifest is None:
        return None
    if filename not in manifest and store.is_absent(repo, manifest.commit, filename):
        from huggingface_hub import _CACHED_NO_EXIST

        return _CACHED_NO_EXIST
    # before looking: what is returned stays while the process lives
    store.lease(repo, manifest.commit)
    found = store.find(manifest, filename)
    return None if found is None else found.pointer


def scan_cache_dir(cache_dir: _Path | None = None) -> HFCacheInfo:
    """Report on the cache, in huggingface_hub's own types.

    Raises:
        CacheNotFound: huggingface_hub's: there is no such folder.

    """
    from huggingface_hub import scan_cache_dir as scan

    return scan(settings_for(HubArguments(cache_dir=cache_dir)).cache_dir)
