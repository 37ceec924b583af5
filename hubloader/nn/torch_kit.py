# ruff: noqa: D102 - what kits do is described where it is declared, on Kit
"""The torch kit: the layers *are* ``torch.nn``, and a bound ``Layer`` is a real ``nn.Module``.

So hooks, peft, quantizers, ``torch.compile`` and ``torch.export`` find what they look for. Models
are built on the ``meta`` device, where nothing is allocated, and the checkpoint's tensors are then
put in place of the empty ones: a mapped file is used where it lies.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from hubloader.nn.layer import Kit, Layer
from hubloader.nn.torch_modules import Conv1d, Recomputed, RMSNorm, StandsIn, WithoutValues
from hubloader.nn.torch_ops import TorchOps
from hubloader.types import LoadReport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

__all__ = ["KITS", "TorchKit"]

_STRUCTURED = {  # how numbers that numpy cannot name are seen through numbers of the same size
    "bfloat16": ("<i2", torch.bfloat16),
    "float8_e4m3fn": ("u1", torch.float8_e4m3fn),
    "float8_e5m2": ("u1", torch.float8_e5m2),
}


_REGISTERING = threading.Lock()  # torch refuses to register a type twice


class TorchKit(TorchOps, Kit):
    """See ``Kit``.

    Args:
        name: ``"torch"`` or ``"torch-eager"``.
        fused: whether attention may use ``scaled_dot_product_attention``.

    """

    Module = torch.nn.Module
    Linear, Embedding, LayerNorm = torch.nn.Linear, torch.nn.Embedding, torch.nn.LayerNorm
    RMSNorm = RMSNorm
    Dropout, Identity, ModuleList = torch.nn.Dropout, torch.nn.Identity, torch.nn.ModuleList
    Conv1d = Conv1d

    def __init__(self, name: str, *, fused: bool) -> None:
        super().__init__()
        self.name = name
        self.fused = fused

    def bind(
        self, cls: type[Layer], mixin: type | None = None, *, name: str | None = None
    ) -> type[Any]:
        if mixin is None and hasattr(cls, "stands_for"):
            mixin = StandsIn
        return super().bind(cls, mixin, name=name)

    # --- a model's life -------------------------------------------------------------------------

    def build(self, cls: type[Layer], *args: Any, **options: Any) -> Any:
        bound = self.bind(cls, options.get("mixin"), name=options.get("name"))
        with torch.device("meta"), WithoutValues():
            return bound(*args).eval()

    def load(
        self,
        module: Any,
        tensors: Mapping[str, Any],
        *,
        dtype: str | None = None,
        device: Any = None,
    ) -> LoadReport:
        shapes = self.parameters(module)
        wanted = None if dtype is None else getattr(torch, dtype)
        device = torch.get_default_device() if device is None else device
        kept = _kept_wide(module) if wanted == torch.float16 else frozenset()
        values: dict[str, Any] = {}
        mismatched = []
        own = {name: id(value) for name, value in module.state_dict(keep_vars=True).items()}
        first: dict[int, str] = {}  # of a parameter that several layers share, the name taken
        for name in (n for n in shapes if n in tensors):
            alike = first.setdefault(own[name], name)
            if alike in values:
                values[name] = values[alike]
                continue
            tensor = tensors[name]
            if tuple(tensor.shape) == shapes[name]:
                values[name] = _native(tensor, torch.float32 if name in kept else wanted).to(device)
            else:
                mismatched.append((name, tuple(tensor.shape), shapes[name]))
        module.load_state_dict(values, strict=False, assign=True)
        _move_buffers(module, device)
        return LoadReport(
            loaded=tuple(values),
            missing=tuple(n for n in shapes if n not in tensors),
            unexpected=tuple(sorted(set(tensors) - set(shapes))),
            mismatched=tuple(mismatched),
        )

    def parameters(self, module: Any) -> dict[str, tuple[int, ...]]:
        return {name: tuple(value.shape) for name, value in module.state_dict().items()}

    def export(self, module: Any) -> dict[str, NDArray[Any]]:
        return {name: _to_numpy(value) for name, value in module.state_dict().items()}

    def buffer(self, module: Any, name: str, array: NDArray[Any]) -> None:
        # The device is named, so that a table is there even while a model is built on meta.
        table = torch.tensor(array, device="cpu")
        module.register_buffer(name, table, persistent=False)

    def weight(
        self, module: Any, name: str, shape: tuple[int, ...], *, trained: bool = True
    ) -> None:
        if trained:
            module.register_parameter(name, torch.nn.Parameter(torch.empty(shape)))
        else:
            module.register_buffer(name, torch.empty(shape))

    def train(self, module: Any, mode: bool = True) -> None:
        module.train(mode)

    def best_device(self) -> str:
        """An accelerator if there is one."""
        return "cuda" if torch.cuda.is_available() else "cpu"

    def tensor(self, array: NDArray[Any]) -> torch.Tensor:
        """A checkpoint's array as a tensor of the same dtype, on the same memory where it may."""
        return _from_numpy(array)

    def shapes_of(self, make: Callable[[], Any]) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter of a module that is made for that, without values."""
        with torch.device("meta"), WithoutValues():
            return self.parameters(make())

    def arrays(self, tensors: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        return {name: _to_numpy(value) for name, value in tensors.items()}

    def holds_values(self) -> bool:
        return torch.get_default_device().type != "meta"

    def inference(self) -> Any:
        return torch.no_grad()

    def resize_rows(self, table: Any, rows: int, more: NDArray[Any]) -> None:
        """Cut a table of rows, or lengthen it by ``more``."""
        old = table.weight
        fresh = _from_numpy(more).to(old)
        weight = torch.cat([old.detach()[:rows], fresh]) if rows > len(old) else old.detach()[:rows]
        table.weight = torch.nn.Parameter(weight.clone(), requires_grad=old.requires_grad)
        table.num_embeddings = rows

    def resize_scores(
        self,
        module: Any,
        body: Any,
        sizes: tuple[int, int],
        make: Callable[[tuple[int, ...]], NDArray[Any]],
    ) -> None:
        """Let what scores words beside a body score as many as its table has now.

        Args:
            module: the model.
            body: whose own parameters stay.
            sizes: how many words there were, and are.
            make: values for new ones, of a shape; new biases are 0.

        """
        old, new = sizes
        inside = {id(child) for child in body.modules()}
        for child in (child for child in module.modules() if id(child) not in inside):
            own = [*child.named_parameters(recurse=False), *child.named_buffers(recurse=False)]
            for name, value in ((name, value) for name, value in own if old in value.shape):
                axis = value.shape.index(old)
                more = [*value.shape[:axis], max(new - old, 0), *value.shape[axis + 1 :]]
                fresh = _from_numpy(make(tuple(more))).to(value) * (not name.endswith("bias"))
                kept = value.detach().narrow(axis, 0, min(old, new))
                data = torch.cat([kept, fresh], axis)
                is_parameter = isinstance(value, torch.nn.Parameter)
                setattr(child, name, torch.nn.Parameter(data) if is_parameter else data)
            if getattr(child, "out_features", None) == old:
                child.out_features = new

    def recompute(self, module: Any, options: Mapping[str, Any] | None) -> None:
        """Let training compute each layer of a stack again, rather than keep what it computed.

        Args:
            module: the model.
            options: of ``torch.utils.checkpoint.checkpoint``; None: layers keep what they compute.

        """
        for stack in (m for m in module.modules() if isinstance(m, torch.nn.ModuleList)):
            for layer in stack:
                vars(layer).pop("forward", None)
                if options is not None:
                    layer.forward = Recomputed(layer, layer.forward, dict(options))

    def as_weights(self, x: Any, layer: Any) -> Any:
        return x.to(layer.weight.dtype)

    def register(self, mapping: type[Any]) -> None:
        # torch.export and DataParallel look into registered types only
        with _REGISTERING:
            if mapping not in pytree.SUPPORTED_NODES:
                pytree.register_pytree_node(
                    mapping,
                    lambda found: (list(found.values()), list(found)),
                    lambda values, names: mapping(zip(names, values, strict=True)),
                    serialized_type_name=f"{mapping.__module__}.{mapping.__name__}",
                )
                # torch.jit.trace would make a script class of it, where it may see a dictionary
                torch.jit.ignore(mapping)  # type: ignore[no-untyped-call]  # torch's


def _kept_wide(module: Any) -> frozenset[str]:
    """Names of what stays in float32 in a model in float16."""
    layers = ((n, m) for n, m in module.named_modules() if getattr(m, "keeps_float32", False))
    return frozenset(f"{name}.{own}" for name, m in layers for own, _ in m.named_parameters())


def _native(tensor: Any, dtype: torch.dtype | None) -> torch.Tensor:
    """Return a float tensor on the same memory, where dtype and permission to write allow it."""
    value = tensor if isinstance(tensor, torch.Tensor) else _from_numpy(np.asarray(tensor))
    if dtype is None and not value.is_floating_point():
        dtype = torch.float32
    return value if dtype is None else value.to(dtype)


def _from_numpy(array: NDArray[Any]) -> torch.Tensor:
    if not array.flags.writeable:  # torch would write into a mapping that must not be written
        array = array.copy()
    if array.dtype.names is None:
        return torch.from_numpy(array)
    kind = array.dtype.names[0]
    twin, dtype = _STRUCTURED[kind]
    return torch.from_numpy(array[kind].view(twin)).view(dtype)


def _to_numpy(value: torch.Tensor) -> NDArray[Any]:
    value = value.detach().cpu()
    for kind, (twin, dtype) in _STRUCTURED.items():
        if value.dtype == dtype:
            plain: Any = torch.int16 if twin == "<i2" else torch.uint8
            stored = "<u2" if twin == "<i2" else "u1"
            return value.contiguous().view(plain).numpy().view(np.dtype([(kind, stored)]))
    return value.numpy()


def _move_buffers(module: torch.nn.Module, device: Any) -> None:
    for child in module.modules():
        for name, table in list(child.named_buffers(recurse=False)):
            setattr(child, name, table.to(device))


KITS = {
    "torch": TorchKit("torch", fused=True),
    "torch-eager": TorchKit("torch-eager", fused=False),
}
