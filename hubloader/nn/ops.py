"""The ops: what a layer may compute with, the same on every kit.

Rules of the ops, the same on every kit (``tests/contract/test_kits.py`` holds each to numpy):

* shapes are given in comments as ``B`` batch, ``T`` tokens, ``H`` heads, ``D`` width of a head;
* a mask is boolean, and True attends;
* a row of attention that may look at nothing attends everywhere alike (what transformers' eager
  attention does), never NaN;
* weights keep the layout of the checkpoint: ``Linear.weight`` is ``(out, in)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from hubloader.nn.trace import UNTRACED, Tensor, Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Ops"]


class Ops(ABC):
    """What layers compute with.

    An op enters all kits at once, with its row in ``tests/contract/test_kits.py``.
    """

    # --- shapes ---------------------------------------------------------------------------------

    @abstractmethod
    def shape(self, x: Tensor) -> tuple[Any, ...]:
        """Sizes: ints where known, the framework's scalars where not."""

    @abstractmethod
    def reshape(self, x: Tensor, shape: Sequence[Any]) -> Tensor:
        """The same numbers in another shape; one size may be -1."""

    @abstractmethod
    def transpose(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        """Axes in another order, all of them named."""

    @abstractmethod
    def concat(self, xs: Sequence[Tensor], axis: int = -1) -> Tensor:
        """Join along an axis."""

    @abstractmethod
    def split(self, x: Tensor, parts: int) -> Sequence[Tensor]:
        """Cut the last axis into equal parts."""

    # --- making and changing tensors ------------------------------------------------------------

    @abstractmethod
    def arange(self, n: Any, like: Tensor) -> Tensor:
        """0, 1, … n-1 as integers, beside ``like``: (n,)."""

    @abstractmethod
    def zeros_like(self, x: Tensor) -> Tensor:
        """Zeros of the same shape, dtype and place."""

    @abstractmethod
    def cumsum(self, x: Tensor, axis: int) -> Tensor:
        """Running sum along an axis."""

    @abstractmethod
    def cast_int(self, x: Tensor) -> Tensor:
        """To the framework's index dtype."""

    @abstractmethod
    def cast_bool(self, x: Tensor) -> Tensor:
        """Nonzero is True."""

    @abstractmethod
    def cast_like(self, x: Tensor, like: Tensor) -> Tensor:
        """To the dtype of ``like``."""

    @abstractmethod
    def clip(self, x: Tensor, low: int, high: int) -> Tensor:
        """Bounded on both sides, bounds included."""

    @abstractmethod
    def take(self, table: Tensor, index: Tensor) -> Tensor:
        """Rows of ``table`` (N, ...) at int ``index`` (...): (..., *rest of table)."""

    @abstractmethod
    def take_along(self, x: Tensor, index: Tensor) -> Tensor:
        """X (..., T, N) at index (T, S) on the last axis: (..., T, S)."""

    @abstractmethod
    def top(self, x: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """The ``n`` largest along the last axis, the largest first: they, and where they stand."""

    @abstractmethod
    def unembed(self, x: Tensor, words: Any) -> Tensor:
        """Score every row of an ``Embedding`` layer: x (..., width) -> (..., rows)."""

    @abstractmethod
    def detached(self, x: Tensor) -> Tensor:
        """The same numbers, through which no gradient flows."""

    # --- arithmetic -----------------------------------------------------------------------------

    @abstractmethod
    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum of two of one shape, in the wider dtype of both."""

    @abstractmethod
    def depthwise(self, x: Tensor, taps: Tensor) -> Tensor:
        """Convolve each channel of x (B, T, C) over tokens with its own taps (C, odd kernel).

        Zeros lie beyond both ends: (B, T, C).
        """

    @abstractmethod
    def fourier(self, x: Tensor) -> Tensor:
        """Real part of the discrete Fourier transform over the last two axes, in float32."""

    @abstractmethod
    def gelu(self, x: Tensor) -> Tensor:
        """X Φ(x), exact (erf)."""

    @abstractmethod
    def gelu_tanh(self, x: Tensor) -> Tensor:
        """X Φ(x) by the tanh approximation."""

    @abstractmethod
    def relu(self, x: Tensor) -> Tensor:
        """The larger of x and 0."""

    @abstractmethod
    def silu(self, x: Tensor) -> Tensor:
        """The product of x and its sigmoid."""

    @abstractmethod
    def sigmoid(self, x: Tensor) -> Tensor:
        """1 / (1 + e⁻ˣ)."""

    @abstractmethod
    def softplus(self, x: Tensor) -> Tensor:
        """log(1 + eˣ)."""

    @abstractmethod
    def tanh(self, x: Tensor) -> Tensor:
        """Hyperbolic tangent."""

    @abstractmethod
    def cos(self, x: Tensor) -> Tensor:
        """Cosine."""

    @abstractmethod
    def sin(self, x: Tensor) -> Tensor:
        """Sine."""

    @abstractmethod
    def sum(self, x: Tensor, axis: int) -> Tensor:
        """Sum over one axis, which goes away."""

    @abstractmethod
    def softmax(self, x: Tensor) -> Tensor:
        """Along the last axis."""

    @abstractmethod
    def log_softmax(self, x: Tensor) -> Tensor:
        """Along the last axis."""

    def choose(self, condition: Any, yes: Callable[[], Tensor], no: Callable[[], Tensor]) -> Tensor:
        """Compute one of two things, by a comparison of sizes: a bool, or a graph's scalar.

        Both give as many tensors, of shapes that may differ.
        """
        return yes() if condition else no()

    @abstractmethod
    def masks_nothing(self, mask: Tensor) -> bool:
        """Whether a boolean mask is True everywhere; False too where asking would break a graph."""

    @abstractmethod
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
        """softmax(q kᵀ · scale + bias, where mask) v.

        Args:
            q: (B, H, T, D).
            k: (B, H, S, D).
            v: (B, H, S, D).
            mask: bool, True attends, broadcastable to (B, H, T, S).
            bias: float, added to the scores, broadcastable to (B, H, T, S).
            dropout: share of the probabilities to drop; give 0 unless training.
            scale: of q kᵀ; D ** -0.5 if None.
            softcap: bends q kᵀ · scale, softly, to stay within ± this; no bound if None.
            trace: keeps the probabilities if asked to.

        Returns:
            (B, H, T, D).

        """

    # --- losses ---------------------------------------------------------------------------------

    @abstractmethod
    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean over rows: logits (N, C), int labels (N,), of which -100 count nothing.

        In float32 at the least, whatever the logits are.
        """

    @abstractmethod
    def mse(self, values: Tensor, targets: Tensor) -> Tensor:
        """Mean of the squared difference."""

    @abstractmethod
    def bce_with_logits(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean binary cross-entropy of sigmoid(logits) against targets in [0, 1], all (N, C)."""
