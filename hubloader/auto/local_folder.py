"""Files placed in the user's own folder (``local_dir``), with huggingface_hub's notes on them.

A file is copied out of the cache, where it was verified, and named by one rename; beside it, under
``.cache/huggingface/download/``, huggingface_hub's note of commit and etag tells either library
that it is up to date. A file the user changed since is seen by its time and size, and replaced.

Source: huggingface_hub 2.4.0 ``_local_folder.py``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hubloader.names import check_filename
from hubloader.resolve.manifest import content_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubloader.types import Entry

__all__ = ["LocalFolder"]

_TIME_SLACK = 1.0  # seconds by which a file may be newer than its note


class LocalFolder:
    """A folder that files of a repository are placed in.

    Args:
        path: the folder; made when the first file comes.

    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser().resolve()
        self._state = self.path / ".cache" / "huggingface"

    def file(self, filename: str) -> Path:
        """Where a file of the repository is placed."""
        return self.path / check_filename(filename)

    def names(self) -> list[str]:
        """Every file that was placed here and is still there, by the notes."""
        notes = self._state / "download"
        found = (path.relative_to(notes).as_posix() for path in notes.rglob("*.metadata"))
        names = (name.removesuffix(".metadata") for name in found)
        return sorted(name for name in names if self.file(name).is_file())

    def is_current(self, filename: str, entry: Entry) -> bool:
        """Whether the file is there with this content, as far as note, time and size tell."""
        try:
            note = self._note(filename).read_text(encoding="utf-8").splitlines()
            facts = self.file(filename).stat()
            etag, noted = note[1], float(note[2])
        except (OSError, ValueError, IndexError):
            return False
        sized = entry.size is None or facts.st_size == entry.size
        return sized and etag == content_key(entry) and facts.st_mtime - _TIME_SLACK <= noted

    def place(self, filename: str, source: Path, commit: str, entry: Entry) -> Path:
        """Copy a cached file to its place, whole or not at all, and note what it is."""
        target = self.file(filename)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._prepare()
        with _renamed_to(target) as temporary:
            shutil.copyfile(source, temporary)
        note = self._note(filename)
        note.parent.mkdir(parents=True, exist_ok=True)
        with _renamed_to(note) as temporary:
            text = f"{commit}\n{content_key(entry)}\n{time.time()}\n"
            temporary.write_text(text, encoding="utf-8")
        return target

    def _note(self, filename: str) -> Path:
        return self._state / "download" / f"{check_filename(filename)}.metadata"

    def _prepare(self) -> None:
        self._state.mkdir(parents=True, exist_ok=True)
        ignore = self._state / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*", encoding="utf-8")


@contextlib.contextmanager
def _renamed_to(target: Path) -> Iterator[Path]:
    """Give a file beside ``target`` to write, and rename it there when it is whole."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".hubloader-")
    os.close(descriptor)
    try:
        yield Path(name)
        Path(name).chmod(0o666 & ~_umask())  # mkstemp's own mode is for secrets
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o022)  # there is no way to read it without setting it
    os.umask(mask)
    return mask
