"""What every network test stands on: a Hub that misbehaves, a cache, and the promises about both.

A load has two ends: every byte is right, or one of our errors within its budget. Whatever happened,
``World.check_promises`` then wants that no visible name has other bytes than the Hub's, and that a
new process, once the Hub is well, needs nobody to clean up.
"""

from __future__ import annotations

import os
import random
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fault_hub import Asked, Fault, FaultHub, Injected, RawAnswer, When, _raw

from hubloader.auto.source import connect
from hubloader.cache import hashing, writer
from hubloader.cache.digest import ContentHash
from hubloader.cache.report import scan
from hubloader.cache.store import CacheStore
from hubloader.errors import HubloaderError
from hubloader.resolve import shares, transfer
from hubloader.resolve.session import Session
from hubloader.settings import Settings
from hubloader.types import ModelRef, Purpose, RepoId

KIB = 1024
NAME = "org/model"
WEIGHTS = "model.safetensors"  # an LFS file: by a redirect, from a second origin
VOCAB = "vocab.txt"  # a regular file: from the endpoint itself
SIZES = {WEIGHTS: 300_000, VOCAB: 40_000, "config.json": 120, "tokenizer_config.json": 60}
ALL = Purpose(uses=frozenset({"tokenizer", "torch"}))
FAST = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HUBLOADER_RETRY_DELAY": "0.002",
    # a busy machine may be slow: what is not about silence does not end by it
    "HUBLOADER_RETRY_BUDGET": "90",
    "HUBLOADER_IDLE_TIMEOUT": "60",
}
PATIENCE = 180.0  # seconds in which every load here has long ended, well or not


def contents(seed: int = 0) -> dict[str, bytes]:
    """What the repository holds: bytes that no fault makes by chance."""
    source = random.Random(seed)
    return {name: source.randbytes(size) for name, size in SIZES.items()}


def shrink(monkeypatch: Any, *, divided: bool) -> None:
    """Make 300,000 bytes a large file: journalled, and fetched in ranges if ``divided``."""
    monkeypatch.setattr(writer, "LARGE", 50_000)
    monkeypatch.setattr(hashing, "_CHECKPOINT", 50_000)
    monkeypatch.setattr(writer, "_UNNOTED", 8 * KIB)
    monkeypatch.setattr(transfer, "_PROGRESS", 8 * KIB)
    monkeypatch.setattr(transfer, "_BUFFER", 16 * KIB)
    monkeypatch.setattr(transfer, "DIVIDED_FROM", 64 * KIB if divided else 2**40)
    monkeypatch.setattr(shares, "_SMALLEST_SHARE", 32 * KIB)
    monkeypatch.setattr(shares, "_FIRST_SHARE", 32 * KIB)
    monkeypatch.setattr(shares, "_LAST_SHARE", 32 * KIB)
    monkeypatch.setattr(shares, "_HALVED_FROM", 64 * KIB)


@dataclass
class World:
    """A Hub, a cache, and what the Hub's files hold."""

    hub: FaultHub
    cache: Path
    files: dict[str, bytes]
    settings: dict[str, str] = field(default_factory=lambda: dict(FAST))
    endpoint: str | None = None

    def inject(self, fault: Fault, when: When, times: int | None = 1) -> Injected:
        return self.hub.inject(fault, when, times)

    def session(self, **changed: str) -> Session:
        """A session as a new process has it."""
        values = {**self.settings, "HF_ENDPOINT": self.endpoint or self.hub.url, **changed}
        settings = Settings.from_env(values, cache_dir=self.cache)
        return Session(settings, lambda: connect(settings), CacheStore(self.cache))

    def load(
        self, *, revision: str | None = None, purpose: Purpose = ALL, **changed: str
    ) -> dict[str, bytes]:
        """Load as a new process would; give what the paths hold."""
        ref = ModelRef(repo=RepoId.parse(NAME), revision=revision)

        def call() -> dict[str, bytes]:
            found = self.session(**changed).files(ref, purpose)
            names = [name for name in self.files if purpose is ALL or name in purpose.exact]
            return {name: found.path(name).read_bytes() for name in names}

        return in_time(call)

    def load_well(self, **options: Any) -> None:
        """Load, and find every byte right."""
        wrong = [name for name, data in self.load(**options).items() if data != self.files[name]]
        assert wrong == [], f"wrong bytes in {wrong}"

    def load_badly(self, **options: Any) -> HubloaderError:
        """Load, and give the typed error that comes."""
        with pytest.raises(HubloaderError) as caught:
            self.load(**options)
        return caught.value

    def load_somehow(self, **options: Any) -> HubloaderError | None:
        """Load: the right bytes, or the typed error."""
        try:
            self.load_well(**options)
        except HubloaderError as error:
            return error
        return None

    def asked(self, filename: str = "", method: str = "GET") -> list[str | None]:
        """The ``Range`` of each request for the bytes of a file that the endpoint was sent."""
        wanted = f"/{filename}" if filename else ""
        return [
            request.headers.get("range")
            for request in self.hub.server.requests
            if "/resolve/" in request.path
            and request.path.endswith(wanted)
            and request.method == method
        ]

    def faults_in_cache(self) -> list[str]:
        """What a promise forbids; nothing, if it is kept."""
        found = [warning for repo in scan(self.cache).repos for warning in repo.warnings]
        right = set(self.files.values())
        for path in [*self.cache.glob("*/blobs/*"), *self.cache.glob("*/snapshots/*/**/*")]:
            if not path.is_file():
                found += [f"{path} leads nowhere"] if path.is_symlink() else []
                continue
            data = path.read_bytes()
            if data not in right:
                found.append(f"{path} is not what the Hub has")
            if path.parent.name == "blobs":
                digest = ContentHash(path.name, len(data))
                digest.update(data)
                found += [] if digest.matches else [f"{path} is not what its name says"]
        return found

    def check_promises(self) -> None:
        """Nothing unverified is visible, and the next process mends what is left."""
        assert self.faults_in_cache() == []
        self.hub.heal()
        self.endpoint = None
        self.settings = dict(FAST)
        self.load_well()
        assert self.faults_in_cache() == []
        left = [str(path) for path in self.cache.glob("*/.hubloader/partials/*")]
        assert left == [], "a partial is left when its content is there"


def in_time(call: Callable[[], Any]) -> Any:
    """Give what ``call`` gives; one that does not end is a failure and no hanging test."""
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                results.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), f"no end after {PATIENCE} s"
    if errors:
        raise errors[0]
    return results[0]


def write_repo(root: Path, files: dict[str, bytes], name: str = NAME) -> None:
    """Put a repository where the Hub serves it from."""
    for filename, content in files.items():
        path = root / name / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1_600_000_000, 1_600_000_000))


def endless() -> Fault:
    """Send the body, and then more and more of it (row 8): only the client can end this."""

    async def write(raw: RawAnswer) -> None:
        raw.head(content_length=str(2**50))
        raw.send(raw.asked.content())
        while await raw.wait(0.001):
            raw.send(bytes(64 * KIB))

    return _raw(write)


def mute() -> Fault:
    """Take the request, and say nothing for ever."""

    async def write(raw: RawAnswer) -> None:
        while await raw.wait(60):
            pass

    return _raw(write)


def unsized() -> Fault:
    """Describe a file without its size (rows 10 and 36)."""

    async def write(raw: RawAnswer) -> None:
        raw.head(content_length=None, x_linked_size=None)
        raw.end()

    return _raw(write)


def of(filename: str, *, resumed: bool) -> When:
    """A GET of a file's bytes: with a ``Range``, or without one."""

    def fits(asked: Asked) -> bool:
        from fault_hub import body

        return body(filename)(asked) and ("Range" in asked.request.headers) is resumed

    return fits
