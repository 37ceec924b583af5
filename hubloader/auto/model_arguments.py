"""The keywords of a model's ``from_pretrained`` that are its loader's own, checked by themselves.

What can be told without a file is told before the Hub is asked for one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubloader.auto.select import Backend

__all__ = ["MODEL_KEYWORDS", "ModelArguments", "refuse_device"]

_TF_DEVICE = re.compile(r"(?:/?(?:job:.*/)?(?:device:)?)(?:cpu|gpu|tpu)(?::\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class ModelArguments:
    """The keywords of a model's ``from_pretrained`` that are neither the Hub's nor the config's.

    Args:
        config: a config to use instead of the repository's.
        dtype: of the parameters; ``"auto"`` for the checkpoint's.
        torch_dtype: the same, by its older name.
        device: where to put the model (torch; TensorFlow by its own names).
        device_map: a device for everything, or one for each part (torch).
        attn_implementation: ``"sdpa"`` or ``"eager"`` (torch).
        ignore_mismatched_sizes: make parameters new whose shape differs.
        output_loading_info: return (model, what became of each weight).
        from_tf: read the repository's TensorFlow weights.
        from_flax: read its Flax weights.
        from_pt: read its PyTorch weights.
        low_cpu_mem_usage: accepted: loading never holds the weights twice.
        add_pooling_layer: False leaves a bare encoder without its pooler.

    """

    config: Any = None
    dtype: Any = "auto"
    torch_dtype: Any = None
    device: Any = None
    device_map: Any = None
    attn_implementation: str | None = None
    ignore_mismatched_sizes: bool = False
    output_loading_info: bool = False
    from_tf: bool = False
    from_flax: bool = False
    from_pt: bool = False
    low_cpu_mem_usage: bool | None = None
    add_pooling_layer: bool = True

    @property
    def wanted_dtype(self) -> Any:
        """``dtype``, however it was called."""
        return self.dtype if self.torch_dtype is None else self.torch_dtype

    @property
    def only(self) -> Any:
        """The one framework whose files are to be read, or None."""
        asked = [
            name
            for name, flag in (("tf", self.from_tf), ("flax", self.from_flax), ("pt", self.from_pt))
            if flag
        ]
        if len(asked) > 1:
            raise ValueError("only one of from_tf, from_flax and from_pt can be given")
        return asked[0] if asked else None


MODEL_KEYWORDS = tuple(item.name for item in fields(ModelArguments))


def refuse_device(arguments: ModelArguments, backend: Backend) -> None:
    """Raise ValueError for a place that the backend has no such thing as.

    Args:
        arguments: ``device`` and ``device_map`` of a load.
        backend: where the model will run.

    """
    if arguments.device is not None and arguments.device_map is not None:
        raise ValueError("give device= or device_map=, not both")
    if backend == "torch":
        return
    if arguments.device_map is not None:
        raise ValueError(f"device_map={arguments.device_map!r} is for PyTorch")
    device = arguments.device
    if device is None or str(device) == "cpu":
        return
    if backend == "numpy":
        raise ValueError(f"device={device!r}: a numpy model computes on the CPU and nowhere else")
    if not _TF_DEVICE.fullmatch(str(device)):
        raise ValueError(f"device={device!r} is no device of TensorFlow: 'CPU:0', 'GPU:0'")
