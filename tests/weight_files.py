"""Makes weight files byte by byte, honest and hostile, without the libraries that write them."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

STORAGES = {"f4": "FloatStorage", "f2": "HalfStorage", "i8": "LongStorage", "u2": "BFloat16Storage"}


def safetensors_bytes(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


class Pickle:
    """An assembler for protocol 2: each method adds one value."""

    def __init__(self) -> None:
        self.code = bytearray(b"\x80\x02")

    def add(self, value: Any) -> Pickle:
        if isinstance(value, bytes):
            self.code += value
        elif isinstance(value, bool):
            self.code += b"\x88" if value else b"\x89"
        elif isinstance(value, int):
            self.code += b"\x8a\x09" + value.to_bytes(9, "little", signed=True)
        elif isinstance(value, str):
            text = value.encode()
            self.code += b"X" + struct.pack("<I", len(text)) + text
        elif isinstance(value, tuple):
            self.code += b"("
            for item in value:
                self.add(item)
            self.code += b"t"
        return self

    def name(self, module: str, name: str) -> bytes:
        return f"c{module}\n{name}\n".encode()

    def storage(self, key: str, count: int, kind: str = "FloatStorage") -> bytes:
        inside = Pickle()
        inside.add(b"(").add("storage").add(self.name("torch", kind)).add(key).add("cpu").add(count)
        return bytes(inside.code[2:]) + b"tQ"

    def tensor(self, storage: bytes, shape: tuple[int, ...], strides: tuple[int, ...], at: int = 0):
        self.add(self.name("torch._utils", "_rebuild_tensor_v2"))
        self.add(b"(").add(storage).add(at).add(shape).add(strides).add(False)
        return self.add(self.name("collections", "OrderedDict") + b")R").add(b"tR")

    def done(self) -> bytes:
        return bytes(self.code) + b"."


def one_tensor(
    shape: tuple[int, ...] = (2, 3),
    strides: tuple[int, ...] = (3, 1),
    *,
    count: int = 6,
    at: int = 0,
    name: str = "w",
) -> bytes:
    made = Pickle().add(b"}(").add(name)
    return made.tensor(made.storage("0", count), shape, strides, at).add(b"u").done()


def torch_zip(
    path: Path,
    program: bytes,
    records: dict[str, bytes],
    *,
    compression: int = zipfile.ZIP_STORED,
    byteorder: bytes = b"little",
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/byteorder", byteorder)
        for key, data in records.items():
            archive.writestr(f"archive/data/{key}", data)
    return path


def msgpack(value: Any) -> bytes:
    """Just enough MessagePack to write what Flax writes."""
    out = io.BytesIO()
    _pack(value, out)
    return out.getvalue()


def flax_array(array: Any) -> tuple[int, bytes]:
    inside = msgpack([list(array.shape), array.dtype.name, array.tobytes()])
    return (1, inside)


def _pack(value: Any, out: io.BytesIO) -> None:
    if isinstance(value, dict):
        out.write(b"\xde" + struct.pack(">H", len(value)))
        for key, item in value.items():
            _pack(key, out)
            _pack(item, out)
    elif isinstance(value, list):
        out.write(b"\xdc" + struct.pack(">H", len(value)))
        for item in value:
            _pack(item, out)
    elif isinstance(value, str):
        text = value.encode()
        out.write(b"\xd9" + bytes([len(text)]) + text)
    elif isinstance(value, bool):
        out.write(b"\xc3" if value else b"\xc2")
    elif isinstance(value, int):
        out.write(b"\xce" + struct.pack(">I", value))
    elif isinstance(value, bytes):
        out.write(b"\xc6" + struct.pack(">I", len(value)) + value)
    elif isinstance(value, tuple):
        code, data = value
        out.write(b"\xc9" + struct.pack(">Ib", len(data), code) + data)


def flax_tree(arrays):
    """PyTorch's names and layout as Flax' own: Dense kernels turned, LayerNorm scale."""
    tree: dict = {}
    for name, array in arrays.items():
        *path, leaf = name.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        if leaf == "weight" and "norm" in path[-1].lower():
            leaf = "scale"
        elif leaf == "weight":
            leaf = "embedding" if path[-1].endswith("embeddings") else "kernel"
        stored = array.T if leaf == "kernel" else array
        node[leaf] = flax_array(np.ascontiguousarray(stored))
    return tree
