"""Fetch a content by huggingface_hub's Xet client (``HUBLOADER_XET=1``), where hf_xet is installed.

The client writes a file of its own; its bytes are read from there into the writer, counted and
hashed as if they had come over HTTP, so that nothing has to be believed. Whatever goes wrong on
this way (no hf_xet, no Xet server to be reached, other bytes), the content comes over plain HTTP.

Source: huggingface_hub 2.4.0 ``file_download.xet_get``, ``utils/_xet.py``.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubloader.cache.writer import BlobWriter
    from hubloader.resolve.transfer import Line
    from hubloader.types import Entry, Manifest

__all__ = ["XetFailed", "bring_by_xet"]

_CHUNK = 2**20  # bytes


class XetFailed(Exception):
    """The Xet client is not there, or could not bring the content."""


def bring_by_xet(
    line: Line, manifest: Manifest, filename: str, entry: Entry, writer: BlobWriter
) -> None:
    """Bring every byte of one content.

    Args:
        line: what downloads of one call share.
        manifest: the commit it belongs to.
        filename: its name there.
        entry: what it is; its ``xet_hash`` is known.
        writer: where it goes; nothing has come yet.

    Raises:
        XetFailed: it could not be brought this way.

    """
    with tempfile.TemporaryDirectory(dir=writer.scratch(), prefix="xet-") as folder:
        path = Path(folder, "content")
        _fetch(line, manifest, entry, path)
        with path.open("rb") as file:
            while data := file.read(_CHUNK):
                if line.stop:
                    return
                writer.write(data)
                line.tracker.add(filename, len(data))


def _fetch(line: Line, manifest: Manifest, entry: Entry, path: Path) -> None:
    address, headers = line.client.xet_token_request(manifest.source, manifest.commit)
    try:
        from huggingface_hub.file_download import xet_get
        from huggingface_hub.utils._xet import XetFileData

        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        xet_get(
            incomplete_path=path,
            xet_file_data=XetFileData(file_hash=entry.xet_hash or "", refresh_route=address),
            headers=dict(headers),
            expected_size=entry.size,
        )
    # a Rust extension below an HTTP library: neither names all it raises, and every failure has the
    # same answer, to fetch the content without them
    except Exception as error:
        raise XetFailed(f"the Xet client failed ({type(error).__name__}: {error})") from error
    if not path.is_file():
        raise XetFailed("the Xet client brought nothing")
