"""A Hub with the latency and the rate of a distant one, as a process of its own.

    slow_hub.py ROOT [--latency SECONDS] [--rate BYTES_PER_SECOND] [--count FILE]

Prints ``listening on URL``. Every answer waits ``latency`` first; a body over ``rate`` is sent in
steps, each connection by itself. ``--count`` names a file that holds, after SIGTERM, the number of
requests and of body bytes sent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from pathlib import Path

from aiohttp import web

from hubloader.mirror import MirrorServer
from hubloader.mirror.file_body import FileBody

_STEP = 0.05  # seconds of the rate sent at once


class Counter:
    def __init__(self) -> None:
        self.requests = 0
        self.body_bytes = 0


def slow(latency: float, rate: float | None, counter: Counter):
    """The middleware that makes a near server a distant one."""

    @web.middleware
    async def middleware(request: web.Request, handler):
        if latency:
            await asyncio.sleep(latency)
        answer = await handler(request)
        counter.requests += not 300 <= answer.status < 400  # redirect hops are left out everywhere
        if not isinstance(answer, FileBody) or request.method != "GET":
            return answer
        counter.body_bytes += answer.end - answer.start
        return await throttled(request, answer, rate) if rate else answer

    return middleware


async def throttled(request: web.Request, answer: FileBody, rate: float) -> web.StreamResponse:
    out = web.StreamResponse(status=answer.status, headers=answer.headers)
    out.content_length = answer.end - answer.start
    with contextlib.suppress(ConnectionError):  # the client wants no more: another range has it
        await send(request, out, answer, rate)
    return out


async def send(
    request: web.Request, out: web.StreamResponse, answer: FileBody, rate: float
) -> None:
    await out.prepare(request)
    step, clock = int(rate * _STEP), asyncio.get_running_loop().time
    with Path(answer.file.path).open("rb") as file:
        file.seek(answer.start)
        left, started, sent = answer.end - answer.start, clock(), 0
        while left:
            data = file.read(min(step, left))
            await out.write(data)
            left, sent = left - len(data), sent + len(data)
            await asyncio.sleep(max(0.0, started + sent / rate - clock()))
    await out.write_eof()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--count", type=Path)
    options = parser.parse_args()
    counter = Counter()
    server = MirrorServer(options.root, middlewares=[slow(options.latency, options.rate, counter)])
    server.serve_forever(lambda url: print(f"listening on {url}", flush=True))
    if options.count:
        options.count.write_text(json.dumps(vars(counter)))


if __name__ == "__main__":
    sys.exit(main())
