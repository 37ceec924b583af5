"""The kit: what an architecture is written in, and the frameworks it runs on.

``get_kit`` is the only door to a framework; importing this package imports none.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from hubloader.errors import BackendUnavailable
from hubloader.nn.layer import UNTRACED, Kit, Layer, Tensor, Trace

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KIT_NAMES", "UNTRACED", "Kit", "Layer", "Tensor", "Trace", "get_kit"]

_MODULES = {
    "numpy": ("numpy_kit", "numpy"),
    "torch": ("torch_kit", "torch"),
    "torch-eager": ("torch_kit", "torch"),
    "tf": ("tf_kit", "tensorflow"),
}
KIT_NAMES = tuple(_MODULES)


def get_kit(name: str) -> Kit:
    """Return a kit, importing its framework at the first call.

    Args:
        name: one of ``KIT_NAMES``; ``"torch-eager"`` computes attention without fused kernels.

    Raises:
        BackendUnavailable: the framework is not installed.
        ValueError: there is no kit of that name.

    """
    if name not in _MODULES:
        raise ValueError(f"{name!r} is none of {', '.join(_MODULES)}")
    module, framework = _MODULES[name]
    try:
        kits: Mapping[str, Kit] = importlib.import_module(f"{__package__}.{module}").KITS
    except ModuleNotFoundError as error:
        if error.name != framework:  # a broken installation is told as it is
            raise
        raise BackendUnavailable(
            f"{framework} is not installed",
            hint=f"pip install 'hubloader[{framework}]'",
        ) from error
    return kits[name]
