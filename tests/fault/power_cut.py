"""A disk that forgets: records what is done to a folder, and builds what a power cut may leave.

What is promised of a disk: content is there after fsync of the file, a name after fsync of its
folder (or either after syncfs), and a rename happens or does not. Everything else may be lost or
kept in any combination; content that was not synced may also be zeros or a part, with the right
length and time.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hubloader.cache import disk

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest

Fate = Literal["lost", "zeros", "torn", "kept"]
_HOOKED = (
    "open", "close", "write", "pwrite", "ftruncate", "fsync", "mkdir", "rmdir", "replace", "rename",
    "unlink", "symlink",
)  # fmt: skip


@dataclass(eq=False)
class Node:
    """A file, folder or link, whatever names it has; writes are (step, offset, data)."""

    kind: Literal["file", "folder", "link"]
    writes: list[tuple[int, int, bytes]] = field(default_factory=list)
    syncs: list[int] = field(default_factory=list)
    target: str = ""
    mtime_ns: int = 0

    def content(self, until: int) -> bytes:
        """What was written up to a step; an offset of -1 cuts the file to the data's length."""
        found = bytearray()
        for step, offset, data in self.writes:
            if step > until:
                break
            if offset < 0:
                del found[len(data) :]
                continue
            found.extend(b"\0" * (offset - len(found)))
            found[offset : offset + len(data)] = data
        return bytes(found)


@dataclass(eq=False)
class Change:
    """One step on names, done whole or not: each becomes the node, or nothing."""

    step: int
    names: tuple[tuple[str, Node | None], ...]


@dataclass
class _Open:
    node: Node
    append: bool
    position: int = 0


class Recorder:
    """What was done below ``root``, step by step; what lay there before is safe."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.step = 0
        self.changes: list[Change] = []
        self._folder_syncs: list[tuple[int, str]] = []
        self._full_syncs: list[int] = []
        self._names: dict[str, Node] = {}
        self._open_files: dict[int, _Open] = {}
        self._take_in(self.root)
        self._before = dict(self._names)

    def _take_in(self, folder: str) -> None:
        self._names[folder] = Node("folder")
        for entry in os.scandir(folder):
            if entry.is_symlink():
                self._names[entry.path] = Node("link", target=os.readlink(entry.path))
            elif entry.is_dir():
                self._take_in(entry.path)
            else:
                with open(entry.path, "rb") as file:
                    node = Node("file", [(0, 0, file.read())], [0])
                node.mtime_ns = entry.stat().st_mtime_ns
                self._names[entry.path] = node

    @contextlib.contextmanager
    def recording(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with monkeypatch.context() as patch:
            for name in _HOOKED:
                patch.setattr(os, name, self._wrap(getattr(os, name), getattr(self, f"_on_{name}")))
            patch.setattr(
                disk, "sync_filesystem", self._wrap(disk.sync_filesystem, self._on_syncfs)
            )
            yield
        for path, node in self._names.items():
            if node.kind == "file" and os.path.isfile(path):
                node.mtime_ns = os.stat(path).st_mtime_ns

    def _wrap(self, real: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            result = real(*args, **options)
            note(result, *args)
            return result

        return call

    def _change(self, *names: tuple[str, Node | None]) -> None:
        if all(path.startswith(self.root) for path, _ in names):
            self.step += 1
            self.changes.append(Change(self.step, names))
            for path, node in names:
                self._names.pop(path, None)
                if node is not None:
                    self._names[path] = node

    def _on_open(self, descriptor: int, path: Any, flags: int, *_: Any) -> None:
        name = str(path)
        if not name.startswith(self.root):
            return
        if name not in self._names:
            self._change((name, Node("file")))
        self._open_files[descriptor] = _Open(self._names[name], bool(flags & os.O_APPEND))

    def _on_close(self, _result: None, descriptor: int) -> None:
        self._open_files.pop(descriptor, None)

    def _on_write(self, count: int, descriptor: int, data: Any) -> None:
        file = self._open_files.get(descriptor)
        if file is not None:
            offset = len(file.node.content(self.step)) if file.append else file.position
            file.position = offset + count
            self._on_pwrite(count, descriptor, data, offset)

    def _on_pwrite(self, count: int, descriptor: int, data: Any, offset: int) -> None:
        file = self._open_files.get(descriptor)
        if file is not None:
            self.step += 1
            file.node.writes.append((self.step, offset, bytes(data[:count])))

    def _on_ftruncate(self, _result: None, descriptor: int, length: int) -> None:
        file = self._open_files.get(descriptor)
        if file is not None:
            self.step += 1
            file.position = 0
            file.node.writes.append((self.step, -1, b"\0" * length))

    def _on_fsync(self, _result: None, descriptor: int) -> None:
        file = self._open_files.get(descriptor)
        if file is None:
            return
        self.step += 1
        file.node.syncs.append(self.step)
        if file.node.kind == "folder":
            folder = next(path for path, node in self._names.items() if node is file.node)
            self._folder_syncs.append((self.step, folder))

    def _on_syncfs(self, done: bool, *_: Any) -> None:
        self.step += 1
        if done:
            self._full_syncs.append(self.step)

    def _on_mkdir(self, _result: None, path: str, *_: Any) -> None:
        self._change((path, Node("folder")))

    def _on_rmdir(self, _result: None, path: str) -> None:
        self._change((path, None))

    def _on_unlink(self, _result: None, path: str) -> None:
        self._change((path, None))

    def _on_replace(self, _result: None, source: str, target: str) -> None:
        inside = [name for name in self._names if name.startswith(source + os.sep)]
        moved = [(target + name[len(source) :], self._names[name]) for name in inside]
        gone: list[tuple[str, Node | None]] = [(name, None) for name in (*inside, source)]
        self._change(*gone, *moved, (target, self._names[source]))

    _on_rename = _on_replace

    def _on_symlink(self, _result: None, target: str, path: str) -> None:
        self._change((path, Node("link", target=target)))

    # what a power cut leaves

    def states(self, choose: random.Random) -> Iterator[tuple[int, dict[str, Node | None], Fate]]:
        """Give, for a cut after each step, the harshest states and one by chance."""
        for step in range(self.step + 1):
            yield step, self._namespace(step, lambda _change: False), "lost"
            yield step, self._namespace(step, lambda _change: True), "zeros"
            yield step, self._namespace(step, lambda _change: True), "lost"
            yield step, self._namespace(step, lambda _change: choose.random() < 0.5), "torn"

    def _namespace(self, step: int, survives: Callable[[Change], bool]) -> dict[str, Node | None]:
        names: dict[str, Node | None] = dict(self._before)
        for change in self.changes:
            if change.step <= step and (self._is_safe(change, step) or survives(change)):
                names.update(change.names)
        return names

    def _is_safe(self, change: Change, step: int) -> bool:
        """Whether a change of names was synced: in the folder of its last name, by ``step``."""
        folder = os.path.dirname(change.names[-1][0])
        syncs = [s for s, synced in self._folder_syncs if synced == folder] + self._full_syncs
        return any(change.step < sync <= step for sync in syncs)

    def build(self, target: Path, step: int, names: dict[str, Node | None], fate: Fate) -> None:
        """Lay out one state below ``target``."""
        for path in sorted(names):
            node = names[path]
            place = os.path.join(target, os.path.relpath(path, self.root))
            if node is None or not os.path.isdir(os.path.dirname(place)):
                continue  # gone, or in a folder that is not there
            if node.kind == "folder":
                os.makedirs(place, exist_ok=True)
            elif node.kind == "link":
                os.symlink(node.target, place)
            else:
                with open(place, "wb") as file:
                    file.write(self._left(node, step, fate))
                os.utime(place, ns=(node.mtime_ns, node.mtime_ns))

    def _left(self, node: Node, step: int, fate: Fate) -> bytes:
        syncs = [sync for sync in (*node.syncs, *self._full_syncs) if sync <= step]
        safe, full = node.content(max(syncs, default=-1)), node.content(step)
        if fate == "kept" or safe == full:
            return full
        if fate == "lost":
            return safe
        if fate == "zeros":
            return safe.ljust(len(full), b"\0")[: len(full)]
        return full[: len(full) // 2].ljust(len(full), b"\0")
