"""Which weights a load reads: the order of preference, and the reader for each file.

================================  =================================  ==================
file                              format                             read by
================================  =================================  ==================
``model[.variant].safetensors``   safetensors (and ``.index.json``)  ``safetensors.py``
``pytorch_model[.variant].bin``   PyTorch pickle (and index)         ``torch_pickle.py``
``tf_model[.variant].h5``         Keras HDF5                         ``h5.py``
``flax_model[.variant].msgpack``  Flax MessagePack (and index)       ``flax_msgpack.py``
================================  =================================  ==================

Safetensors before everything, then the framework's own format, then the others: every backend reads
every format. The name says which reader is meant, and the file's first bytes must agree with it: a
pickle called ``model.safetensors`` is refused, not unpickled.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hubloader.errors import CorruptFile, EntryNotFound, PolicyRefused, UnsafeFile
from hubloader.formats.sharded import ShardedWeights

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from hubloader.formats.base import WeightFile
    from hubloader.types import FileSet

__all__ = ["WeightChoice", "WeightPolicy", "choose_weights", "open_weight_file", "open_weights"]

Format = Literal["safetensors", "pickle", "h5", "flax"]
Backend = Literal["torch", "tf", "numpy"]

_STEMS: dict[Format, tuple[str, str]] = {
    "safetensors": ("model", ".safetensors"),
    "pickle": ("pytorch_model", ".bin"),
    "h5": ("tf_model", ".h5"),
    "flax": ("flax_model", ".msgpack"),
}
_ORDER: dict[Backend, tuple[Format, ...]] = {
    "torch": ("safetensors", "pickle", "h5", "flax"),
    "tf": ("safetensors", "h5", "pickle", "flax"),
    "numpy": ("safetensors", "pickle", "h5", "flax"),
}
_READERS: dict[Format, tuple[str, str]] = {  # module beside this one and class, at its first use
    "safetensors": ("safetensors", "SafetensorsFile"),
    "pickle": ("torch_pickle", "TorchPickleFile"),
    "h5": ("h5", "H5File"),
    "flax": ("flax_msgpack", "FlaxFile"),
}
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_ZIP, _HDF5, _LFS = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"version https://git-lfs"


@dataclass(frozen=True)
class WeightPolicy:
    """What the caller allows and prefers.

    ``use_safetensors``: True demands them, False forbids them, None prefers them. ``only`` limits
    the choice to one framework's own formats (``from_tf``, ``from_flax``, ``from_pt``).
    """

    backend: Backend = "torch"
    variant: str | None = None
    use_safetensors: bool | None = None
    only: Literal["pt", "tf", "flax"] | None = None

    def formats(self) -> tuple[Format, ...]:
        """Formats that may be read, the best first."""
        order = _ORDER[self.backend]
        if self.only is not None:
            own: dict[str, tuple[Format, ...]] = {
                "pt": ("safetensors", "pickle"),
                "tf": ("h5", "safetensors"),
                "flax": ("flax", "safetensors"),
            }
            order = own[self.only]
        if self.use_safetensors is True:
            return tuple(name for name in order if name == "safetensors")
        if self.use_safetensors is False:
            return tuple(name for name in order if name != "safetensors")
        return order


@dataclass(frozen=True)
class WeightChoice:
    """The chosen file (or index) and the format it must be of."""

    filename: str
    format: Format
    sharded: bool

    @property
    def reason(self) -> str:
        """Why, in words."""
        return f"{self.filename}: the first of the preferred formats that is there"


def choose_weights(files: FileSet, policy: WeightPolicy) -> WeightChoice:
    """Choose the checkpoint to read; looks at names only.

    Raises:
        EntryNotFound: there is none that the policy allows.
        PolicyRefused: there is one, and ``use_safetensors`` forbids it.

    """
    for choice in _candidates(policy):
        if files.exists(choice.filename):
            return choice
    others = [c.filename for c in _candidates(WeightPolicy()) if files.exists(c.filename)]
    wanted = ", ".join(choice.filename for choice in _candidates(policy) if not choice.sharded)
    if others and policy.use_safetensors is True:
        raise PolicyRefused(
            f"use_safetensors=True, and {files.describe()} has only {', '.join(others)}",
            hint="leave out use_safetensors: other formats are read without running anything",
        )
    near = f"; it has {', '.join(others)}" if others else ""
    raise EntryNotFound(
        f"{files.describe()} has no weights: none of {wanted}{near}",
        hint="check variant=, subfolder= and use_safetensors="
        if others or policy.variant
        else "it may be a repository of a tokenizer alone, or the weights lie in a subfolder",
        filename=next(_candidates(policy)).filename,
    )


def _candidates(policy: WeightPolicy) -> Iterator[WeightChoice]:
    mark = f".{policy.variant}" if policy.variant else ""
    for name in policy.formats():
        stem, suffix = _STEMS[name]
        yield WeightChoice(f"{stem}{mark}{suffix}", name, sharded=False)
        yield WeightChoice(f"{stem}{suffix}.index{mark}.json", name, sharded=True)


def open_weights(files: FileSet, policy: WeightPolicy) -> WeightFile:
    """Choose and open the checkpoint of a set of files.

    Raises:
        EntryNotFound: there is none, or shards of it are missing.
        UnsafeFile: it is not what its name says, or reaches out of itself.
        CorruptFile: it is damaged.

    """
    choice = choose_weights(files, policy)
    if not choice.sharded:
        return open_weight_file(files.path(choice.filename), choice.filename, choice.format)
    _, suffix = _STEMS[choice.format]
    return ShardedWeights.open(
        files,
        choice.filename,
        suffix,
        lambda path, name: open_weight_file(path, name, choice.format),
    )


def open_weight_file(path: str | os.PathLike[str], filename: str, expected: Format) -> WeightFile:
    """Open one file as ``expected``, after its first bytes agreed.

    Raises:
        UnsafeFile: it is a pickle under another name.
        CorruptFile: it is something else under this name, or damaged.

    """
    with open(path, "rb") as stream:
        head = stream.read(32)
    _check_magic(head, filename, expected)
    module, name = _READERS[expected]
    reader = getattr(importlib.import_module(f"hubloader.formats.{module}"), name)
    found: WeightFile = reader(path, filename)
    return found


def _check_magic(head: bytes, filename: str, expected: Format) -> None:
    if _looks_like(head, expected):
        return
    if head.startswith(_LFS):
        raise CorruptFile(
            f"{filename} is a git-lfs pointer, not the weights",
            hint="run `git lfs pull` in that folder",
            filename=filename,
        )
    if _looks_like(head, "pickle"):
        raise UnsafeFile(
            f"{filename} is named as {expected} and holds a PyTorch pickle or an archive",
            filename=filename,
        )
    others: tuple[Format, ...] = ("h5", "safetensors")
    found = next((name for name in others if _looks_like(head, name)), None)
    what = f"it holds {found}" if found else f"it begins with {head[:8]!r}"
    raise CorruptFile(f"{filename} is no {expected} file: {what}", filename=filename)


def _looks_like(head: bytes, name: Format) -> bool:
    """Whether a file that begins so can be of a format; no two are told apart by luck.

    A safetensors file begins with a length, which may be any bytes, those of a pickle too: what
    counts is the brace after it.
    """
    if name == "safetensors":
        return head[8:9] == b"{"
    if name == "flax":
        return not head.startswith((_ZIP, _HDF5, _LFS))
    return head.startswith(_HDF5 if name == "h5" else (_ZIP, *_PICKLES))
