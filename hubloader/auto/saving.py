"""``save_pretrained``: config.json and safetensors with PyTorch's names, from every framework."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from hubloader.formats import save_sharded
from hubloader.names import suggestion

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

__all__ = ["save_model", "shard_bytes", "shared_twice"]

_SHARD = "50GB"  # of one file, as in transformers 5


def save_model(
    model: Any, save_directory: str | os.PathLike[str], options: Mapping[str, Any]
) -> None:
    """Write config.json and the weights of a model, as transformers would save its PyTorch twin.

    Args:
        model: any of this module's.
        save_directory: the folder, made if it is not there.
        options: transformers' keywords of ``save_pretrained``: ``variant``, ``max_shard_size``,
            ``state_dict`` to save instead of the model's, ``is_main_process=False`` to write
            nothing; ``safe_serialization=False`` is refused.

    Raises:
        TypeError: a keyword that nothing knows.
        ValueError: a pickle was asked for.

    """
    known = {"is_main_process", "state_dict", "variant", "safe_serialization", "max_shard_size"}
    for key in options.keys() - known:
        near = suggestion(key, known)
        raise TypeError(f"save_pretrained() got an unexpected keyword {key!r}{near}")
    if options.get("safe_serialization") is False:
        raise ValueError("weights are saved as safetensors only: a pickle can run code when read")
    if not options.get("is_main_process", True):
        return
    given = options.get("state_dict")
    tensors = _exported(model) if given is None else model.nn.arrays(given)
    os.makedirs(save_directory, exist_ok=True)
    limit = shard_bytes(options.get("max_shard_size", _SHARD))
    save_sharded(tensors, save_directory, max_shard_size=limit, variant=options.get("variant"))
    config = model.config
    config.architectures = [model.architecture.class_names[model.task]]
    config.dtype = _dtype_of(tensors)
    config.save_pretrained(save_directory)


def _exported(model: Any) -> Mapping[str, Any]:
    """A model's arrays, once where layers share one.

    Of numpy, which keeps some as stored and some as it computes, all in one dtype.
    """
    exported: Mapping[str, Any] = model.nn.export(model)
    twice = shared_twice(model, exported)
    tensors = {name: array for name, array in exported.items() if name not in twice}
    dtype = getattr(model, "saved_dtype", None)
    if dtype is None:
        return tensors
    return {name: _cast(array, dtype) for name, array in tensors.items()}


def shared_twice(model: Any, names: Collection[str]) -> frozenset[str]:
    """Return those of a model's parameters that are another one by a second name.

    What a family's layers may share, a config may keep apart.
    """
    tied: Mapping[str, str] = model.architecture.tied
    pairs = ((name, tied[name]) for name in names if tied.get(name) in names)
    return frozenset(name for name, owner in pairs if _holder(model, name) is _holder(model, owner))


def _holder(model: Any, name: str) -> Any:
    """Return the layer that holds a parameter."""
    for part in name.split(".")[:-1]:
        model = getattr(model, part)
    return model


def _cast(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    import numpy as np  # first use

    if (array.dtype.names or (array.dtype.name,))[0] == dtype:
        return array
    if array.dtype.names == ("bfloat16",):  # the upper half of a float32
        array = (array["bfloat16"].astype(np.uint32) << np.uint32(16)).view(np.float32)
    if array.dtype.kind != "f":
        return array
    if dtype != "bfloat16":
        return array.astype(np.dtype(dtype))
    bits = array.astype(np.float32).view(np.uint32)
    even = (bits >> np.uint32(16)) & np.uint32(1)  # ties go to the even neighbour
    rounded = (bits + np.uint32(0x7FFF) + even) >> np.uint32(16)
    quiet = (bits >> np.uint32(16)) | np.uint32(0x40)
    upper = np.where(np.isnan(array), quiet, rounded).astype("<u2")
    found: NDArray[Any] = upper.view(np.dtype([("bfloat16", "<u2")]))
    return found


def shard_bytes(size: int | str) -> int:
    """Read a size: bytes, or a number with KB, MB, GB (thousands), KiB, MiB, GiB (1024s).

    Raises:
        ValueError: it is neither.

    """
    found = re.fullmatch(r"(\d+) ?([KMG]?)(i?)B", str(size), re.IGNORECASE)
    if isinstance(size, int) and size > 0:
        return size
    if found is None or int(found[1]) == 0:
        raise ValueError(f"max_shard_size={size!r} is no size: 5_000_000, '5MB', '5MiB'")
    base = 1024 if found[3] else 1000
    scale: int = base ** " KMG".index(found[2].upper() or " ")
    return int(found[1]) * scale


def _dtype_of(tensors: Mapping[str, Any]) -> str:
    """The first float tensor's, which is the model's."""
    for array in tensors.values():
        if array.dtype.names is not None:
            return str(array.dtype.names[0])
        if array.dtype.kind == "f":
            return str(array.dtype.name)
    return "float32"
