"""A file as an answer: whole or in part, by sendfile.

aiohttp's own ``FileResponse`` names content by its times and reads ``If-Range`` as a date only;
the Hub names it by its hash, and a client that resumes depends on that.

Source: RFC 9110 sections 13.1 (conditions) and 14 (ranges).
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, BinaryIO

from aiohttp import web

from hubloader.hub.headers import (
    ERROR_MESSAGE,
    ContentRange,
    format_content_range,
    format_etag,
    parse_etag,
    parse_range,
)
from hubloader.mirror.snapshot import stamp_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.web_request import BaseRequest

    from hubloader.mirror.snapshot import ServedFile

__all__ = ["FileBody", "file_answer"]


def file_answer(
    request: web.Request, file: ServedFile, headers: Mapping[str, str]
) -> web.StreamResponse:
    """The answer to a GET or HEAD of ``file``: 200, 206, 304, 412 or 416.

    Args:
        request: its ``Range``, ``If-Range``, ``If-Match`` and ``If-None-Match`` are honoured.
        file: what is sent.
        headers: added to every answer that describes the file.

    """
    size, etag = file.stamp.size, file.entry.etag
    named = {**headers, "ETag": format_etag(etag), "Accept-Ranges": "bytes"}
    if not _matches(request.headers.get("If-Match", "*"), etag):
        return web.Response(status=412, headers=named)
    if _matches(request.headers.get("If-None-Match", ""), etag):
        return web.Response(status=304, headers=named)
    try:
        span = _span(request, size, etag)
    except ValueError:
        unsatisfied = format_content_range(ContentRange(None, None, size))
        return web.Response(status=416, headers={**named, "Content-Range": unsatisfied})
    if span is None:
        return FileBody(file, 0, size, status=200, headers=named)
    part = format_content_range(ContentRange(*span, size))
    return FileBody(file, *span, status=206, headers={**named, "Content-Range": part})


def _span(request: web.Request, size: int, etag: str) -> tuple[int, int] | None:
    wanted = request.headers.get("Range")
    condition = request.headers.get("If-Range")
    # Only a strong etag may join two answers; anything else gets the whole file again.
    if wanted is None or (condition is not None and condition.strip() != format_etag(etag)):
        return None
    return parse_range(wanted, size)


def _matches(header: str, etag: str) -> bool:
    candidates = [part.strip() for part in header.split(",")]
    return "*" in candidates or any(parse_etag(part) == etag for part in candidates)


class FileBody(web.StreamResponse):
    """The bytes of ``file`` from ``start`` up to, not including, ``end``; sent when prepared."""

    def __init__(
        self, file: ServedFile, start: int, end: int, *, status: int, headers: Mapping[str, str]
    ) -> None:
        super().__init__(status=status, headers=headers)
        self.file = file
        self.start = start
        self.end = end

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Send headers and bytes; a file that changed since it was hashed is not sent."""
        if request.method == "HEAD" or self.start == self.end:
            self.content_length = self.end - self.start
            return await super().prepare(request)
        stream = await asyncio.to_thread(_open_unchanged, self.file)
        if stream is None:
            return await self._refuse(request)
        with stream:
            self.content_length = self.end - self.start
            writer = await super().prepare(request)
            transport = request.transport
            if transport is None:
                raise ConnectionResetError("the client went away")
            loop = asyncio.get_running_loop()
            await loop.sendfile(transport, stream, self.start, self.end - self.start)
            await super().write_eof()
            return writer

    async def _refuse(self, request: BaseRequest) -> AbstractStreamWriter | None:
        self.headers.clear()
        self.headers[ERROR_MESSAGE] = "The file changed while it was served: ask again"
        self.headers["Retry-After"] = "1"
        self.set_status(503)
        self.content_length = 0
        return await super().prepare(request)


def _open_unchanged(file: ServedFile) -> BinaryIO | None:
    try:
        stream = open(file.path, "rb")  # noqa: SIM115  # handed to the caller, who closes it
    except OSError:
        return None
    if stamp_of(os.fstat(stream.fileno())) == file.stamp:
        return stream
    stream.close()
    return None
