"""From a selection and its files to a module with weights, and the report of what became of each.

Order matters: the checkpoint's headers are opened, the module is built without weights, and every
name and shape is compared, before one number is read or one byte allocated. A config that claims
more than the file holds is therefore an error, not an allocation.

What a checkpoint lacks: the body's parameters are an error (a wrong checkpoint would otherwise
become random numbers in silence), a head's are made new, with one warning.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubloader import notices
from hubloader.architectures import ENCODER, MASKED_LM
from hubloader.auto.names import NameMap, Rules, Source, map_names
from hubloader.errors import CorruptFile, UnsupportedDtype, WeightsMismatch
from hubloader.types import LoadReport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from hubloader.architectures import Architecture
    from hubloader.architectures._config import Config
    from hubloader.formats.base import WeightFile
    from hubloader.nn import Kit
    from hubloader.types import TensorSpec

__all__ = [
    "Assembly",
    "check_sizes",
    "choose_dtype",
    "dtype_name",
    "fill",
    "initial_weights",
]

_FLOATS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
_MAX_NAMED = 8
_FEW_LAYERS = 64  # that many are built in a moment, and what differs is told by name
_FEW_NUMBERS = 2**24
# What scores masked words is the table of words and a bias; some checkpoints have both once more.
_TIED_BIASES = ((r"\.decoder\.bias$", ".bias"),)
_TIED_WORDS = (
    r"(?:^|\.)decoder\.(?:weight|bias)$",
    r"(?:^|\.)(?:generator_lm_head|lm_head|vocab_projector|proj)\.weight$",
)
_ROOM = 256 * 2**20  # bytes of new parameters that any checkpoint may be given
_Mismatch = tuple[str, tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Assembly:
    """How weights are to be put into a module.

    Args:
        kit: the module's.
        architecture: whose names the checkpoint uses.
        dtype: the parameters' dtype, by name.
        device: where they go; the framework's default if None.
        ignore_mismatched_sizes: make parameters new whose shape differs, rather than refuse.
        spread: standard deviation of new weights: the config's ``initializer_range``.

    """

    kit: Kit
    architecture: Architecture
    dtype: str | None = None
    device: Any = None
    ignore_mismatched_sizes: bool = False
    spread: float = 0.02


def check_sizes(config: Config, weights: WeightFile) -> None:
    """Hold what a config asks for against what the weights are, by arithmetic alone.

    Where it asks for twice as much as there is, no module is built to find that out. Smaller
    differences are told name by name, by ``fill``.

    Raises:
        CorruptFile: config.json cannot be these weights' config.

    """
    specs = [weights.spec(name) for name in weights.names()]
    held = sum(math.prod(spec.shape) for spec in specs)
    asked = config.least_embeddings()
    if asked > max(2 * held, _FEW_NUMBERS):
        raise CorruptFile(
            f"config.json: vocab_size and the width ask for {asked} numbers at the least, and "
            f"{weights.describe()} holds {held}",
            filename="config.json",
        )
    layers = config.least_layers()
    if layers > max(len(specs), _FEW_LAYERS):
        raise CorruptFile(
            f"config.json: num_hidden_layers asks for {layers} layers, and {weights.describe()} "
            f"holds {len(specs)} arrays",
            filename="config.json",
        )


def fill(module: Any, weights: WeightFile, plan: Assembly) -> LoadReport:
    """Put a checkpoint's arrays into a module built without weights.

    Raises:
        WeightsMismatch: shapes differ, or the body's weights are not there; the report lists all.

    """
    shapes = plan.kit.parameters(module)
    stored = {name: weights.spec(name) for name in weights.names()}
    rules = _rules(plan.architecture, getattr(module, "task", None))
    found = map_names(
        {name: len(spec.shape) for name, spec in stored.items()}, shapes, rules, weights.naming
    )
    mismatched = tuple(
        (name, source.shape(stored[source.name].shape), shapes[name])
        for name, source in found.sources.items()
        if source.shape(stored[source.name].shape) != shapes[name]
    )
    _refuse_packed(found, stored, weights.describe())
    report = _report(found, mismatched)
    _judge(report, plan, weights.describe(), prefix=rules.prefix)
    taken = {n: s for n, s in found.sources.items() if n in set(report.loaded)}
    absent = {name: shape for name, shape in shapes.items() if name not in taken}
    _check_room(absent, stored.values(), weights.describe())
    plan.kit.load(
        module,
        _Tensors(weights, taken, initial_weights(absent, plan.spread)),
        dtype=plan.dtype,
        device=plan.device,
    )
    return report


def _refuse_packed(found: NameMap, stored: Mapping[str, TensorSpec], what: str) -> None:
    """Refuse numbers that mean nothing without a scale: no parameter of ours is whole numbers."""
    for name, source in found.sources.items():
        word = stored[source.name].dtype
        if word not in _FLOATS:
            raise UnsupportedDtype(
                f"{what} holds {name} as {word}: packed weights, and config.json has no "
                "quantization_config that says how",
                hint="load the checkpoint that this one was packed from",
            )


def _rules(architecture: Architecture, task: str | None) -> Rules:
    scores_words = task == MASKED_LM
    prefix = architecture.prefix_of(task)
    others = {architecture.prefix, *architecture.prefixes.values()} - {prefix}
    return Rules(
        prefix,
        architecture.renames + (_TIED_BIASES if scores_words else ()),
        architecture.splits,
        architecture.tied,
        architecture.ignored_missing,
        architecture.ignored_unexpected
        + architecture.passes_over.get(task or ENCODER, ())
        + (_TIED_WORDS if scores_words else ()),
        tuple(sorted(others)),
    )


def _report(found: NameMap, mismatched: tuple[_Mismatch, ...]) -> LoadReport:
    wrong = {name for name, _, _ in mismatched}
    return LoadReport(
        loaded=tuple(name for name in found.sources if name not in wrong),
        missing=found.missing,
        unexpected=found.unexpected,
        mismatched=mismatched,
        renamed=found.renamed,
    )


def _judge(report: LoadReport, plan: Assembly, what: str, *, prefix: str) -> None:
    """Refuse, warn or say nothing; each kind of finding once, by name."""
    if report.mismatched and not plan.ignore_mismatched_sizes:
        raise WeightsMismatch(
            f"{what} does not fit the config: {_shapes(report.mismatched)}",
            hint="check num_labels and the config; ignore_mismatched_sizes=True makes these "
            "parameters new",
            report=report,
        )
    names = {*report.loaded, *report.missing, *(name for name, _, _ in report.mismatched)}
    is_bare = not any(name.startswith(f"{prefix}.") for name in names)
    body = [name for name in report.missing if _is_body(name, prefix, is_bare=is_bare)]
    if body:
        raise WeightsMismatch(
            f"{what} holds {len(report.loaded)} of {len(names)} parameters; the encoder lacks "
            f"{_some(body)}",
            hint="the checkpoint is of another architecture, or incomplete",
            report=report,
        )
    told = []
    if report.missing:
        told.append(f"{what} does not hold {_some(list(report.missing))}: made new, at random.")
    if report.mismatched:
        told.append(
            f"{what} holds in another shape: {_shapes(report.mismatched)}: made new, at random."
        )
    if told:
        told.append("Train the model before its answers mean anything.")
    if report.unexpected:
        told.append(f"{what} holds what the model does not use: {_some(list(report.unexpected))}.")
    if told:
        notices.warn(" ".join(told))


def _check_room(
    absent: Mapping[str, tuple[int, ...]], stored: Iterable[TensorSpec], what: str
) -> None:
    """New parameters are made in memory: a config must not claim more than the file could be."""
    held = sum(math.prod(spec.shape) for spec in stored) * 4
    wanted = sum(math.prod(shape) for shape in absent.values()) * 4
    if wanted > max(_ROOM, held):
        raise CorruptFile(
            f"the config asks for {wanted} bytes of parameters that {what} does not hold",
            filename="config.json",
        )


_HEADS = (
    *("classification_head.", "pooler.", "classifier.", "pre_classifier.", "head.", "score."),
    "qa_outputs.",
)


def _is_body(name: str, prefix: str, *, is_bare: bool) -> bool:
    """Whether a parameter belongs to the encoder; a pooler is trained with a head.

    Args:
        name: the parameter's.
        prefix: where the encoder sits inside the model, if it does.
        is_bare: whether the model is the encoder itself, with a head beside its parts or without.

    """
    within = f"{prefix}." if prefix else ""
    if not is_bare and not name.startswith(within):
        return False
    return not name.removeprefix(within).startswith(_HEADS)


def _shapes(mismatched: tuple[_Mismatch, ...]) -> str:
    return _some([f"{name} is {old} there and {new} in the model" for name, old, new in mismatched])


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_MAX_NAMED])
    more = len(names) - _MAX_NAMED
    return f"{shown} and {more} more" if more > 0 else shown


class _Tensors(Mapping[str, Any]):
    """The model's parameters, each read from the checkpoint when it is asked for."""

    def __init__(
        self,
        weights: WeightFile,
        sources: Mapping[str, Source],
        fresh: Mapping[str, NDArray[Any]],
    ) -> None:
        self._weights = weights
        self._sources = sources
        self._fresh = fresh

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name in self._fresh:
            return self._fresh[name]
        source = self._sources[name]
        array = self._weights.read(source.name)
        if source.part is not None:
            array = array[source.rows(len(array))]
        return array.transpose(source.axes) if source.axes else array

    def __iter__(self) -> Iterator[str]:
        yield from self._sources
        yield from self._fresh

    def __len__(self) -> int:
        return len(self._sources) + len(self._fresh)


def initial_weights(
    shapes: Mapping[str, tuple[int, ...]], spread: float, norms: float = 1.0
) -> dict[str, NDArray[Any]]:
    """Values for parameters that no checkpoint has.

    Biases are 0, a normalisation's weights ``norms``, all else normal with standard deviation
    ``spread``, as transformers does. numpy's global generator makes them, so ``numpy.random.seed``
    repeats them.
    """
    return {name: _initial(name, shape, spread, norms) for name, shape in shapes.items()}


def _initial(name: str, shape: tuple[int, ...], spread: float, norms: float) -> NDArray[Any]:
    import numpy as np  # first use: most loads make nothing new

    if name.endswith("bias"):
        return np.zeros(shape, np.float32)
    if len(shape) == 1:
        return np.full(shape, norms, np.float32)
    return np.random.normal(0.0, spread, shape).astype(np.float32)  # noqa: NPY002  the generator that users seed


def dtype_name(dtype: Any) -> str:
    """The name of a dtype, however it was given: ``"float32"``, ``torch.float32``, ``np.float32``.

    Raises:
        ValueError: it is none that parameters can have.

    """
    text = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype)
    text = text.removeprefix("torch.")
    name = {"half": "float16", "float": "float32", "double": "float64"}.get(text, text)
    if name not in _FLOATS.values():
        raise ValueError(
            f"dtype={dtype!r} is none that a model can have: 'auto', {', '.join(_FLOATS.values())}"
        )
    return name


def choose_dtype(asked: Any, stated: Any, weights: WeightFile) -> str:
    """The dtype of a model's parameters.

    Args:
        asked: the caller's; ``"auto"`` or None for the checkpoint's.
        stated: the config's, or None.
        weights: their first float tensor decides when neither says it.

    Raises:
        ValueError: the caller named no dtype that parameters can have.
        CorruptFile: the config did.

    """
    if asked is not None and asked != "auto":
        return dtype_name(asked)
    if stated is not None and stated != "auto":
        try:
            return dtype_name(stated)
        except ValueError as error:
            raise CorruptFile(str(error), filename="config.json") from None
    words = (weights.spec(name).dtype for name in weights.names())
    return next((_FLOATS[word] for word in words if word in _FLOATS), "float32")
