"""From a name and the Hub's keywords to files, by the lock where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubloader.auto.source import HubArguments, mode_of, session_for, settings_for
from hubloader.errors import RemoteCodeRefused
from hubloader.types import Purpose, parse_model_ref

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from hubloader.resolve.progress import Progress
    from hubloader.types import FileSet, RepoType

__all__ = ["open_files"]


def open_files(
    name: str | os.PathLike[str],
    arguments: HubArguments,
    uses: frozenset[str],
    *,
    later: frozenset[str] = frozenset(),
    repo_type: RepoType = "model",
    progress: Callable[[Progress], Any] | None = None,
) -> FileSet:
    """Bring what ``uses`` need of ``name`` onto this disk.

    Args:
        name: a Hub name (with ``@revision`` if wished) or a folder.
        arguments: where from.
        uses: parts of the machinery: ``config``, ``tokenizer``, ``torch``, ``tf``, ``numpy``,
            ``all``.
        later: uses that follow once these files will do; nothing is brought for them.
        repo_type: model, dataset or space.
        progress: called with each step of a download.

    Raises:
        HubloaderError: by contract: the name is no reference, nothing is there, access is denied,
            or the network is off and something is missing.

    """
    settings = settings_for(arguments)
    _refuse(arguments)
    purpose = Purpose(
        uses=uses,  # type: ignore[arg-type]  # callers name uses as plain strings
        later=later,  # type: ignore[arg-type]  # the same
        subfolder=arguments.subfolder.strip("/"),
        variant=arguments.variant,
        use_safetensors=arguments.use_safetensors,
    )
    if arguments.lock is not None or settings.lockfile is not None:
        from hubloader.auto.locks import locked_files

        locked = locked_files(name, purpose, arguments, settings, repo_type)
        if locked is not None:
            return locked
    ref = parse_model_ref(
        name, revision=arguments.revision, subfolder=arguments.subfolder, repo_type=repo_type
    )
    if ref.path is not None:
        from hubloader.resolve.files import DirectoryFiles

        return DirectoryFiles(ref.path, ref.subfolder)
    session = session_for(settings, token=arguments.token, proxies=arguments.proxies)
    return session.files(ref, purpose, mode=mode_of(arguments, settings), progress=progress)


def _refuse(arguments: HubArguments) -> None:
    if arguments.trust_remote_code:
        raise RemoteCodeRefused(
            "trust_remote_code=True asks to run Python code out of the repository, which hubloader "
            "never does: whoever can write to the repository could run anything on this machine",
            hint="leave trust_remote_code out; a model that needs its own code cannot be loaded",
        )
