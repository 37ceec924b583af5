"""Where the parts of a PyTorch model lie: ``device_map`` as one device, or one for each part.

Parts are named by their module, ``""`` for the whole; the longest name wins. A part that lies
elsewhere than its caller moves what it is given, so that a forward needs no other change.

Source: accelerate 1.x ``big_modeling.py`` (``dispatch_model``), as transformers uses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["one_device", "place"]

_CHOSEN_FOR_US = frozenset({"auto", "balanced", "balanced_low_0", "sequential"})


def one_device(kit: Any, device: Any, device_map: Any) -> Any:
    """The device that everything is loaded onto; None for the framework's default.

    Raises:
        ValueError: both were given.

    """
    if device is not None and device_map is not None:
        raise ValueError("give device= or device_map=, not both")
    if device_map is None:
        return device
    if not kit.name.startswith("torch"):
        raise ValueError("device_map= is for PyTorch")
    if isinstance(device_map, dict):
        return device_map[""] if set(device_map) == {""} else None
    return kit.best_device() if device_map in _CHOSEN_FOR_US else device_map


def place(module: Any, device_map: Any) -> None:
    """Move the parts of a loaded model to their devices.

    Args:
        module: a loaded ``torch.nn.Module``.
        device_map: module names and devices; anything else is left alone.

    Raises:
        ValueError: a part that is not there, or parameters that no part covers.

    """
    if not isinstance(device_map, dict) or set(device_map) == {""}:
        return
    _check(module, device_map)
    for name in sorted(device_map, key=len):
        part = module.get_submodule(name)
        part.to(device_map[name])
        part.register_forward_pre_hook(_mover(device_map[name]), with_kwargs=True)
    module.hf_device_map = dict(device_map)


def _check(module: Any, device_map: Mapping[str, Any]) -> None:
    parts = {name for name, _ in module.named_modules()}
    unknown = sorted(set(device_map) - parts)
    if unknown:
        raise ValueError(f"device_map names parts that the model does not have: {unknown}")
    bare = [
        name
        for name, _ in module.named_parameters()
        if not any(part == "" or name.startswith(f"{part}.") for part in device_map)
    ]
    if bare:
        raise ValueError(f"device_map leaves out {', '.join(bare[:5])}")


def _mover(device: Any) -> Any:
    def move(_module: Any, args: Any, keywords: Any) -> tuple[Any, Any]:
        return _moved(args, device), _moved(keywords, device)

    return move


def _moved(value: Any, device: Any) -> Any:
    if hasattr(value, "to") and hasattr(value, "device"):
        return value.to(device)
    if isinstance(value, tuple):
        moved = (_moved(item, device) for item in value)
        return type(value)(*moved) if hasattr(value, "_fields") else tuple(moved)
    if isinstance(value, dict):
        return {key: _moved(item, device) for key, item in value.items()}
    return value
