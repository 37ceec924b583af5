"""Layers on PyTorch that ``torch.nn`` has not, and what changes how layers are made and called."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch.nn import init
from torch.overrides import TorchFunctionMode

__all__ = ["Conv1d", "RMSNorm", "Recomputed", "StandsIn", "WithoutValues"]


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


class WithoutValues(TorchFunctionMode):
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


class Recomputed:
    """A layer's ``forward`` whose results are computed again on the way back."""

    def __init__(self, layer: Any, forward: Any, options: dict[str, Any]) -> None:
        self._layer, self._forward, self._options = layer, forward, options

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Compute the layer, keeping its inputs alone while it trains."""
        if self._layer.training and torch.is_grad_enabled():
            from torch.utils.checkpoint import checkpoint  # first use: few train so

            return checkpoint(self._forward, *args, **self._options, **keywords)
        return self._forward(*args, **keywords)
