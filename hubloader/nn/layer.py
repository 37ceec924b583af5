"""The words an architecture is written in: ``Layer``, and the ``Kit`` that binds it to a framework.

An architecture is text: ``Layer`` subclasses that build their children from ``self.nn`` and
compute in ``forward``. A kit binds such a class to one framework's own module base, so that on
torch a layer *is* a ``torch.nn.Module`` with the checkpoint's parameter names, on TensorFlow a
``tf.Module``, and with numpy a plain object. Nothing here imports a framework.
"""

from __future__ import annotations

import contextlib
import importlib
import types
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from hubloader.nn.ops import Ops
from hubloader.nn.trace import UNTRACED, Tensor, Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray
    from typing_extensions import ParamSpec

    from hubloader.types import LoadReport

    P = ParamSpec("P")

__all__ = ["UNTRACED", "Kit", "Layer", "Tensor", "Trace"]

L = TypeVar("L", bound="Layer")


class Layer:
    """A piece of network, written once, that runs on any kit.

    Attribute paths are the checkpoint's parameter names. A ``Layer`` is never instantiated
    directly: ``kit.make(cls, config)`` first binds it to the framework's module base.
    """

    nn: ClassVar[Kit]
    origin: ClassVar[type[Layer]]

    training: bool

    if TYPE_CHECKING:  # at run time these are the framework's

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            """Compute; every layer has its own."""

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """Compute, with what the framework does around it."""


class _LinearMaker(Protocol):
    def __call__(self, n_in: int, n_out: int, /, bias: bool = True) -> Any: ...


class _EmbeddingMaker(Protocol):
    def __call__(self, rows: int, width: int, /, padding_idx: int | None = None) -> Any: ...


class _NormMaker(Protocol):
    def __call__(self, width: int, /, *, eps: float = 1e-5, bias: bool = True) -> Any: ...


class _RMSNormMaker(Protocol):
    def __call__(self, width: int, /, *, eps: float = 1e-6, offset: float = 0.0) -> Any: ...


class _DropoutMaker(Protocol):
    def __call__(self, p: float = 0.5) -> Any: ...


class Kit(Ops):
    """What a framework gives to architectures: a module base, eight layers, ops, and loading.

    A kit grows by reason only.
    """

    name: str
    """``numpy``, ``torch``, ``torch-eager``, ``tf``: what ``hubloader.nn.get_kit`` finds it by."""

    Module: type[Any]
    Linear: _LinearMaker
    """y = x Wᵀ + b with weight (out, in): (..., in) -> (..., out)."""
    Embedding: _EmbeddingMaker
    """Rows of weight (rows, width): int (...) -> (..., width). The padding row has no gradient."""
    LayerNorm: _NormMaker
    """Mean 0 and variance 1 over the last axis, then scaled and shifted."""
    RMSNorm: _RMSNormMaker
    """Mean square 1 over the last axis, then times ``offset`` + weight (Gemma's offset is 1)."""
    Dropout: _DropoutMaker
    """Zeroes a share ``p`` while training, nothing otherwise; ``.p`` is readable."""
    Identity: Callable[[], Any]
    ModuleList: Callable[[Sequence[Any]], Any]
    Conv1d: Callable[..., Any]
    """Over tokens, to the same length: weight (out, in // groups, kernel), of which the kernel is
    odd, x (B, T, in) -> (B, T, out); ``groups`` and ``bias`` by keyword."""

    def __init__(self) -> None:
        self._bound: dict[tuple[type[Layer], type | None, str], type[Any]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _kit_of, (type(self).__module__, self.name)

    # --- binding --------------------------------------------------------------------------------

    def bind(
        self, cls: type[Layer], mixin: type | None = None, *, name: str | None = None
    ) -> type[Any]:
        """Return the framework's own class for ``cls``: the same object every time.

        Args:
            cls: the layer.
            mixin: a class put before it in the method order (its ``forward`` may call
                ``super().forward``); children are bound without it.
            name: the class's name; the layer's own unless given.

        """
        key = (cls, mixin, name or cls.__name__)
        if key not in self._bound:
            body = {
                "nn": self,
                "origin": cls,
                "mixin": mixin,
                "__doc__": cls.__doc__,
                "__module__": (mixin or cls).__module__,
                "__reduce_ex__": _reduce,
            }
            bases = (cls, self.Module) if mixin is None else (mixin, cls, self.Module)
            made = types.new_class(key[2], bases, exec_body=lambda ns: ns.update(body))
            return self._bound.setdefault(key, made)  # one class, whichever thread was first
        return self._bound[key]

    def make(self, cls: Callable[P, L], *args: P.args, **kwargs: P.kwargs) -> L:
        """Build a layer on this kit, as a child of the layer that is being built."""
        bound: Callable[P, L] = self.bind(cls)  # type: ignore[arg-type]  # a Layer class: see L
        return bound(*args, **kwargs)

    def stack(self, cls: Callable[P, L], n: int, *args: P.args, **kwargs: P.kwargs) -> Sequence[L]:
        """Build ``n`` alike layers; iterates, has a length, and names its children 0, 1, …."""
        layers: Sequence[L] = self.ModuleList([self.make(cls, *args, **kwargs) for _ in range(n)])
        return layers

    # --- a model's life -------------------------------------------------------------------------

    @abstractmethod
    def build(self, cls: type[Layer], *args: Any, **options: Any) -> Any:
        """Build a whole model in eval mode and without weights: nothing large is allocated.

        Args:
            cls: the model's layer.
            args: what its ``__init__`` takes.
            options: ``mixin`` and ``name``, as in ``bind``.

        """

    @abstractmethod
    def load(
        self,
        module: Any,
        tensors: Mapping[str, Any],
        *,
        dtype: str | None = None,
        device: Any = None,
    ) -> LoadReport:
        """Put weights into a module built by ``build``.

        Args:
            module: the model.
            tensors: parameter name -> numpy array, or the framework's own tensor. numpy has no
                bfloat16: it travels as the structured dtype ``[("bfloat16", "<u2")]``. On torch a
                writable array is used in place, never copied, if its dtype is the wanted one.
            dtype: ``"float32"``, ``"float16"``, ``"bfloat16"``, ``"float64"``; None keeps what the
                tensors have. numpy computes in float32 always.
            device: where to; the framework's default if None.

        Returns:
            What was loaded, is missing (still without a value), unexpected, or of another shape
            (not loaded).

        """

    @abstractmethod
    def parameters(self, module: Any) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter, in definition order; needs no weights."""

    @abstractmethod
    def export(self, module: Any) -> dict[str, NDArray[Any]]:
        """Every parameter as a numpy array (bfloat16 as in ``load``), sharing memory if it can."""

    @abstractmethod
    def buffer(self, module: Any, name: str, array: NDArray[Any]) -> None:
        """Give a layer a constant table under ``module.<name>``, in no checkpoint.

        It lies where the module's parameters lie, and is there although ``build`` allocates none.
        """

    @abstractmethod
    def weight(
        self, module: Any, name: str, shape: tuple[int, ...], *, trained: bool = True
    ) -> None:
        """Give a layer a parameter of its own under ``module.<name>``, as checkpoints name it.

        One that is not ``trained`` is loaded and saved like others, and left as it is by training.
        """

    @abstractmethod
    def train(self, module: Any, mode: bool = True) -> None:
        """Switch dropout on or off, in the module and in everything below it."""

    def arrays(self, tensors: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Return the framework's own tensors as numpy arrays (bfloat16 as in ``load``)."""
        import numpy as np  # first use: importing this module needs none

        return {name: np.asarray(value) for name, value in tensors.items()}

    def holds_values(self) -> bool:
        """Whether what is made now has values; not where the framework was told to make shapes."""
        return True

    def inference(self) -> AbstractContextManager[Any]:
        """Where nothing is noted for gradients; outside of training frameworks: nothing special."""
        return contextlib.nullcontext()

    def as_weights(self, x: Tensor, layer: Any) -> Tensor:
        """To the dtype of a layer's weights, where one is wider than the others of its model.

        A linear layer whose ``keeps_float32`` is true is loaded in float32 where the model is in
        float16, whose range its sums would leave; numpy computes in float32 anyway.
        """
        del layer
        return x

    def register(self, mapping: type[Any]) -> None:
        """Let the framework look into a dictionary type of ours, made of its items, as into dict.

        Where frameworks walk any mapping, nothing is to do.
        """


def _reduce(self: Any, _protocol: object) -> tuple[Any, ...]:
    """Pickle a bound layer as kit, layer, mixin and state: the bound class itself is made anew."""
    cls = type(self)
    revive = (cls.nn, cls.origin, cls.mixin, cls.__name__)
    return _revive, revive, self.__dict__


def _revive(kit: Kit, cls: type[Layer], mixin: type | None, name: str) -> Any:
    return object.__new__(kit.bind(cls, mixin, name=name))


def _kit_of(module: str, name: str) -> Kit:
    kits: Mapping[str, Kit] = importlib.import_module(module).KITS
    return kits[name]
