"""Single files of a caller's, under the names that a repository would give them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hubloader.errors import EntryNotFound

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__all__ = ["GivenFiles"]


class GivenFiles:
    """A file set of files that may lie anywhere and be called anything.

    Args:
        paths: where each file is, by its name in a repository: ``{"vocab.txt": "my/words.txt"}``.

    Raises:
        EntryNotFound: a path is no file.

    """

    def __init__(self, paths: Mapping[str, str | os.PathLike[str]]) -> None:
        self._paths = {name: Path(path) for name, path in paths.items()}
        for name, path in self._paths.items():
            if not path.is_file():
                raise EntryNotFound(
                    f"there is no file {str(path)!r} to read as {name}",
                    hint="a folder or a name on the Hub is loaded by from_pretrained(...)",
                    filename=str(path),
                )

    def names(self) -> frozenset[str]:
        """Every name that was given a file."""
        return frozenset(self._paths)

    def exists(self, name: str) -> bool:
        """Whether ``name`` was given a file."""
        return name in self._paths

    def path(self, name: str) -> Path:
        """Where the file is.

        Raises:
            EntryNotFound: no such name was given a file.

        """
        if name not in self._paths:
            raise EntryNotFound(f"no file was given as {name!r}", filename=name)
        return self._paths[name]

    def describe(self, name: str = "") -> str:
        """The file, or all of them, in words for messages."""
        if name in self._paths:
            return str(self._paths[name])
        return ", ".join(map(str, self._paths.values()))
