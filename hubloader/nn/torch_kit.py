# ruff: noqa: D102 - the ops are described where they are declared, on Kit
"""The torch kit: the layers *are* ``torch.nn``, and a bound ``Layer`` is a real ``nn.Module``.

So hooks, peft, quantizers, ``torch.compile`` and ``torch.export`` find what they look for. Models
are built on the ``meta`` device, where nothing is allocated, and the checkpoint's tensors are then
put in place of the empty ones: a mapped file is used where it lies.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional, init
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from hubloader.nn.layer import UNTRACED, Kit, Layer, Tensor, Trace
from hubloader.types import LoadReport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["KITS", "TorchKit"]

_STRUCTURED = {  # how numbers that numpy cannot name are seen through numbers of the same size
    "bfloat16": ("<i2", torch.bfloat16),
    "float8_e4m3fn": ("u1", torch.float8_e4m3fn),
    "float8_e5m2": ("u1", torch.float8_e5m2),
}


_REGISTERING = threading.Lock()  # torch refuses to register a type twice


class Conv1d(torch.nn.Conv1d):
    """torch's convolution, on (B, T, width) as everything here is."""

    def __init__(
        self, n_in: int, n_out: int, kernel: int, /, *, groups: int = 1, bias: bool = True
    ) -> None:
        super().__init__(n_in, n_out, kernel, padding=kernel // 2, groups=groups, bias=bias)

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's own name
        """(B, T, in) -> (B, T, out)."""
        return super().forward(input.transpose(1, 2)).transpose(1, 2)


class RMSNorm(torch.nn.Module):
    """The mean square in float32, whatever the weights' dtype."""

    def __init__(self, width: int, /, *, eps: float = 1e-6, offset: float = 0.0) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(width) - offset)
        self.eps, self.offset = eps, offset

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., width) -> the same shape."""
        wide = x if x.dtype == torch.float64 else x.float()
        size = wide.square().mean(-1, keepdim=True)
        y = wide * torch.rsqrt(size + self.eps)
        return (y * (self.weight.to(y.dtype) + self.offset)).to(x.dtype)

    def extra_repr(self) -> str:
        """What stands between the brackets of its name."""
        return f"{self.weight.shape[0]}, eps={self.eps}"


class StandsIn:
    """A layer that tools know from another library: it answers to that one's class, once imported.

    peft adapts GPT-2's transposed linear layers, and merges into them the right way round, where
    ``isinstance`` says that they are transformers'. Pickles name the layer's own class.
    """

    stands_for: tuple[str, str]
    """Module and name of the class."""

    @property  # type: ignore[misc]  # object's can be set; ours follows what is imported
    def __class__(self) -> type[Any]:
        module, name = self.stands_for
        known: type[Any] = getattr(sys.modules.get(module), name, type(self))
        return known


class _WithoutValues(TorchFunctionMode):
    """Where layers do not fill the parameters they make: the checkpoint will.

    On the ``meta`` device there is nothing to fill, and torch would import its compiler to find
    that out: 1.6 s.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func in _FILLERS:
            filled = named["tensor"] if "tensor" in named else args[0]
            if filled.is_meta:
                return filled
        return func(*args, **named)


_FILLERS = frozenset(
    {
        *(torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.fill_, torch.Tensor.zero_),
        *(init.normal_, init.uniform_, init.constant_, init.kaiming_uniform_),
    }
)


class TorchKit(Kit):
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
        with torch.device("meta"), _WithoutValues():
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
                values[name] = _native(tensor, wanted).to(device)
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

    def weight(self, module: Any, name: str, shape: tuple[int, ...]) -> None:
        module.register_parameter(name, torch.nn.Parameter(torch.empty(shape)))

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
        with torch.device("meta"), _WithoutValues():
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
                    layer.forward = _Recomputed(layer, layer.forward, dict(options))

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

    # --- shapes ---------------------------------------------------------------------------------

    def shape(self, x: Tensor) -> tuple[Any, ...]:
        return tuple(x.shape)

    def reshape(self, x: Tensor, shape: Sequence[Any]) -> Tensor:
        return x.reshape(shape)

    def transpose(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        return x.permute(axes)

    def concat(self, xs: Sequence[Tensor], axis: int = -1) -> Tensor:
        return torch.cat(list(xs), axis)

    def split(self, x: Tensor, parts: int) -> Sequence[Tensor]:
        chunks: Sequence[Tensor] = x.chunk(parts, dim=-1)
        return chunks

    # --- making and changing tensors ------------------------------------------------------------

    def arange(self, n: Any, like: Tensor) -> Tensor:
        return torch.arange(n, device=like.device)

    def zeros_like(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def cumsum(self, x: Tensor, axis: int) -> Tensor:
        return torch.cumsum(x, axis)

    def cast_int(self, x: Tensor) -> Tensor:
        return x.to(torch.int64)

    def cast_bool(self, x: Tensor) -> Tensor:
        return x.to(torch.bool)

    def cast_like(self, x: Tensor, like: Tensor) -> Tensor:
        return x.to(like.dtype)

    def clip(self, x: Tensor, low: int, high: int) -> Tensor:
        return x.clamp(low, high)

    def take(self, table: Tensor, index: Tensor) -> Tensor:
        return table[index]

    def take_along(self, x: Tensor, index: Tensor) -> Tensor:
        return torch.gather(x, -1, index.expand(*x.shape[:-1], index.shape[-1]))

    def unembed(self, x: Tensor, words: Any) -> Tensor:
        return functional.linear(x, words.weight)

    def detached(self, x: Tensor) -> Tensor:
        return x.detach()

    # --- arithmetic -----------------------------------------------------------------------------

    def depthwise(self, x: Tensor, taps: Tensor) -> Tensor:
        channels, kernel = taps.shape
        y = functional.conv1d(
            x.transpose(1, 2), taps[:, None], padding=kernel // 2, groups=channels
        )
        return y.transpose(1, 2)

    def fourier(self, x: Tensor) -> Tensor:
        # Only some devices have this transform for less than float32.
        return torch.fft.fft2(x.float()).real.to(x.dtype)

    def gelu(self, x: Tensor) -> Tensor:
        return functional.gelu(x)

    def gelu_tanh(self, x: Tensor) -> Tensor:
        return functional.gelu(x, approximate="tanh")

    def relu(self, x: Tensor) -> Tensor:
        return functional.relu(x)

    def silu(self, x: Tensor) -> Tensor:
        return functional.silu(x)

    def sigmoid(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    def softplus(self, x: Tensor) -> Tensor:
        return functional.softplus(x)

    def tanh(self, x: Tensor) -> Tensor:
        return torch.tanh(x)

    def cos(self, x: Tensor) -> Tensor:
        return torch.cos(x)

    def sin(self, x: Tensor) -> Tensor:
        return torch.sin(x)

    def sum(self, x: Tensor, axis: int) -> Tensor:
        return x.sum(axis)

    def softmax(self, x: Tensor) -> Tensor:
        return functional.softmax(x, dim=-1)

    def log_softmax(self, x: Tensor) -> Tensor:
        return functional.log_softmax(x, dim=-1)

    def masks_nothing(self, mask: Tensor) -> bool:
        if torch.compiler.is_compiling() or _is_tracing() or mask.is_meta:
            return False  # the answer depends on the data, which a graph does not have
        if mask.is_cuda and torch.cuda.is_current_stream_capturing():
            return False
        return bool(mask.all())

    def attention(  # noqa: PLR0913  one op, so that a kit may use its fused kernel
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None = None,
        bias: Tensor | None = None,
        *,
        dropout: float = 0.0,
        scale: float | None = None,
        softcap: float | None = None,
        trace: Trace = UNTRACED,
    ) -> Tensor:
        if self.fused and not trace.attentions and softcap is None:
            if mask is not None and (q.requires_grad or _is_tracing()):
                q, mask, bias = _open_blind_rows(q, mask, bias)
            bias = _additive(q, mask, bias)
            return functional.scaled_dot_product_attention(
                q, k, v, attn_mask=bias, dropout_p=dropout, scale=scale
            )
        scores = torch.matmul(q, k.transpose(-1, -2))
        scores = scores * (q.shape[-1] ** -0.5 if scale is None else scale)
        if softcap is not None:
            scores = torch.tanh(scores / softcap) * softcap
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        probabilities = functional.dropout(functional.softmax(scores, dim=-1), p=dropout)
        trace.attention(probabilities)
        return torch.matmul(probabilities, v)

    # --- losses ---------------------------------------------------------------------------------

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(logits, labels)

    def mse(self, values: Tensor, targets: Tensor) -> Tensor:
        return functional.mse_loss(values, targets)

    def bce_with_logits(self, logits: Tensor, targets: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(logits, targets)


class _Recomputed:
    """A layer's ``forward`` whose results are computed again on the way back."""

    def __init__(self, layer: Any, forward: Any, options: dict[str, Any]) -> None:
        self._layer, self._forward, self._options = layer, forward, options

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        if self._layer.training and torch.is_grad_enabled():
            from torch.utils.checkpoint import checkpoint  # first use: few train so

            return checkpoint(self._forward, *args, **self._options, **keywords)
        return self._forward(*args, **keywords)


def _is_tracing() -> bool:
    """Whether ``torch.jit.trace`` looks on: what it sees must not hang on gradients or numbers."""
    if torch.compiler.is_compiling():
        return False
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]  # torch's
    return tracing


def _additive(q: torch.Tensor, mask: Tensor | None, bias: Tensor | None) -> Tensor | None:
    """Mask and bias as one number to add to each score.

    A fused kernel given a boolean mask turns it into -inf, and a row that may see nothing into
    NaN or zeros. The lowest number swallows whatever it is added to, so such a row is uniform.
    """
    if mask is None:
        return None if bias is None else bias.to(q.dtype)
    lowest = torch.finfo(q.dtype).min
    if bias is None:
        return torch.zeros(mask.shape, dtype=q.dtype, device=q.device).masked_fill(~mask, lowest)
    return bias.to(q.dtype).masked_fill(~mask, lowest)


def _open_blind_rows(
    q: torch.Tensor, mask: torch.Tensor, bias: Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, Tensor | None]:
    """Make a row that may see nothing one that sees everything alike: the same, by other numbers.

    Of a row of lowest numbers a fused kernel knows the result but not the gradient: the logarithm
    of the sum that it keeps for the way back is swallowed like all else.
    """
    seeing = mask.any(-1, keepdim=True)
    return q * seeing, mask | ~seeing, None if bias is None else bias * seeing


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
