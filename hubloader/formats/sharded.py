"""A checkpoint in several files, named by an index, read as one.

The index is input from strangers: it may only name shards of its own format, below its own folder,
and every tensor it promises must be in the shard it names. All of that is checked, and everything
wrong reported at once, before the first array is read.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from hubloader.errors import CorruptFile, EntryNotFound, InvalidReference, UnsafeFile
from hubloader.formats.safetensors import save_safetensors
from hubloader.names import check_filename

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from hubloader.formats.base import Naming, WeightFile
    from hubloader.types import FileSet, TensorSpec

__all__ = ["ShardedWeights", "read_index", "save_sharded"]

MAX_INDEX = 64_000_000  # bytes
_MAX_NAMED = 8  # faults listed by name; the rest are counted


class ShardedWeights:
    """Several weight files as one.

    Args:
        weight_map: tensor name to shard, as the index gives it.
        shards: every shard, opened.
        filename: the index's name, for messages.

    Raises:
        CorruptFile: the index promises tensors that its shards do not hold.

    """

    def __init__(
        self, weight_map: Mapping[str, str], shards: Mapping[str, WeightFile], filename: str
    ) -> None:
        self.filename = filename
        held = {shard: frozenset(file.names()) for shard, file in shards.items()}
        ghosts = sorted(name for name, shard in weight_map.items() if name not in held[shard])
        if ghosts:
            raise CorruptFile(
                f"{filename} names tensors that are not in their shards: {_some(ghosts)}",
                filename=filename,
            )
        self._where = {name: shards[shard] for name, shard in weight_map.items()}
        self._shards = shards

    @classmethod
    def open(
        cls,
        files: FileSet,
        filename: str,
        suffix: str,
        open_shard: Callable[[str | os.PathLike[str], str], WeightFile],
    ) -> ShardedWeights:
        """Read the index ``filename`` and open every shard it names.

        Args:
            files: where index and shards are.
            filename: the index.
            suffix: what every shard's name must end with, ".safetensors" or ".bin".
            open_shard: opens one shard, given its path and its name.

        Raises:
            CorruptFile: the index is malformed, or promises what is not there.
            EntryNotFound: shards are missing; all of them are named.
            UnsafeFile: the index names files outside its folder or of another format.

        """
        weight_map = read_index(files.path(filename), filename, suffix)
        wanted = sorted(set(weight_map.values()))
        missing = [shard for shard in wanted if not files.exists(shard)]
        if missing:
            raise EntryNotFound(
                f"{filename} names shards that are not there: {_some(missing)}",
                hint="fetch the whole checkpoint again",
                filename=missing[0],
            )
        shards = {shard: open_shard(files.path(shard), shard) for shard in wanted}
        if suffix == ".h5":  # Keras' index has names with a level that its shards leave out
            weight_map = {name: s for s, shard in shards.items() for name in shard.names()}
        return cls(weight_map, shards, filename)

    @property
    def naming(self) -> Naming:
        """The shards' own naming; they are all of one writer."""
        return next((file.naming for file in self._shards.values()), "pt")

    @property
    def metadata(self) -> Mapping[str, str]:
        """The first shard's metadata."""
        return next((file.metadata for file in self._shards.values()), {})

    def names(self) -> Iterable[str]:
        """Every tensor that the index names."""
        return self._where.keys()

    def spec(self, name: str) -> TensorSpec:
        """Dtype and shape, from the shard's header."""
        return self._where[name].spec(name)

    def read(self, name: str) -> NDArray[Any]:
        """The tensor, from its shard."""
        return self._where[name].read(name)

    def describe(self) -> str:
        """The index and how many shards it names."""
        return f"{self.filename} ({len(self._shards)} shards)"


def save_sharded(
    tensors: Mapping[str, NDArray[Any]],
    folder: str | os.PathLike[str],
    *,
    max_shard_size: int,
    variant: str | None = None,
) -> None:
    """Write weights as model.safetensors, or as an index and shards where that is too large.

    What an earlier save of the same variant left, and this one did not write, is taken away: a
    loader would find it first.

    Args:
        tensors: by PyTorch's names.
        folder: where to, which is there.
        max_shard_size: bytes of tensors in a file; a larger tensor has one to itself.
        variant: as in ``model.fp16.safetensors``.

    """
    stem = f"model.{variant}" if variant else "model"
    parts = _parts(tensors, max_shard_size)
    count = len(parts)
    names = [f"{stem}-{n:05}-of-{count:05}.safetensors" for n in range(1, count + 1)]
    if count == 1:
        names = [f"{stem}.safetensors"]
    for name, part in zip(names, parts, strict=True):
        save_safetensors(part, os.path.join(folder, name), {"format": "pt"})
    index = f"model.safetensors.index{f'.{variant}' if variant else ''}.json"
    if count > 1:
        weight_map = {key: name for name, part in zip(names, parts, strict=True) for key in part}
        total = sum(array.nbytes for array in tensors.values())
        content = {"metadata": {"total_size": total}, "weight_map": weight_map}
        with open(os.path.join(folder, index), "w", encoding="utf-8") as stream:
            json.dump(content, stream, indent=2, sort_keys=True)
            stream.write("\n")
        names.append(index)
    earlier = re.compile(
        rf"{re.escape(stem)}(-\d{{5}}-of-\d{{5}})?\.safetensors|{re.escape(index)}"
    )
    for name in os.listdir(folder):
        if earlier.fullmatch(name) and name not in names:
            os.unlink(os.path.join(folder, name))


def _parts(tensors: Mapping[str, NDArray[Any]], limit: int) -> list[dict[str, NDArray[Any]]]:
    parts: list[dict[str, NDArray[Any]]] = [{}]
    filled = 0
    for name, array in tensors.items():
        if parts[-1] and filled + array.nbytes > limit:
            parts.append({})
            filled = 0
        parts[-1][name] = array
        filled += array.nbytes
    return parts


def read_index(path: str | os.PathLike[str], filename: str, suffix: str) -> dict[str, str]:
    """Read ``weight_map`` from an index and check every shard's name.

    Raises:
        CorruptFile: not an index.
        UnsafeFile: a shard outside the folder, or of another format than the index.

    """
    size = os.path.getsize(path)
    if size > MAX_INDEX:
        raise UnsafeFile(f"{filename} has {size} bytes, more than any index", filename=filename)
    with open(path, "rb") as stream:
        raw = stream.read()
    try:
        index = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise CorruptFile(f"{filename} is not valid JSON: {error}", filename=filename) from None
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise CorruptFile(f"{filename} has no weight_map", filename=filename)
    bad = sorted(name for name, shard in weight_map.items() if not isinstance(shard, str))
    if bad:
        raise CorruptFile(f"{filename} names no shard for {_some(bad)}", filename=filename)
    faults = [
        fault for shard in sorted(set(weight_map.values())) for fault in _fault(shard, suffix)
    ]
    if faults:
        raise UnsafeFile(f"{filename} names shards it must not: {_some(faults)}", filename=filename)
    return weight_map


def _fault(shard: str, suffix: str) -> list[str]:
    try:
        check_filename(shard)
    except InvalidReference as error:
        return [error.message]
    if not shard.endswith(suffix):
        return [f"{shard!r} is not a {suffix} file"]
    return []


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_MAX_NAMED])
    more = len(names) - _MAX_NAMED
    return f"{shown} and {more} more" if more > 0 else shown
