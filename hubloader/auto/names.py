"""Which array of a checkpoint belongs to which parameter of a model: names only, no data.

Checkpoints of one architecture differ in what their names begin with and in what they call things:

* a bare encoder's checkpoint has ``embeddings.…`` where a classifier has ``bert.embeddings.…``;
* models saved from a data-parallel wrapper begin with ``module.``;
* before 2019 LayerNorm had ``gamma`` and ``beta``; a family may have old names of its own;
* Keras and Flax join with "/", call a weight ``kernel``, ``embeddings`` or ``scale``, and store the
  kernel the other way round.

Each rule proposes names; the first that the model has wins, and a name that is right as it stands
always wins. What no rule can place is unexpected; what no array fills is missing.

Source: transformers 5.23 ``modeling_utils.py`` and 4.57 ``modeling_tf_pytorch_utils.py``
(``convert_tf_weight_name_to_pt_weight_name``), ``modeling_flax_pytorch_utils.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

__all__ = ["NameMap", "Rules", "Source", "map_names", "new_name"]

_AXES = {2: (1, 0), 3: (2, 1, 0), 4: (3, 2, 0, 1)}  # a Keras or Flax kernel -> PyTorch's
_KERNELS = frozenset({"kernel", "depthwise_kernel", "pointwise_kernel"})
_LEAVES = {
    "kernel": "weight",
    "depthwise_kernel": "weight",
    "pointwise_kernel": "weight",
    "embeddings": "weight",
    "embedding": "weight",
    "gamma": "weight",
    "scale": "weight",
    "beta": "bias",
}
_MAX_LEVELS = 3  # of layer, class and scope that Keras puts before a weight's own name
_BUFFERS = re.compile(
    r"(?:^|\.)(?:position_ids|token_type_ids|rotary_emb\.inv_freq|num_batches_tracked)$"
)


@dataclass(frozen=True)
class Rules:
    """What an architecture knows about its checkpoints' names.

    ``prefixes`` are those of its other models, where they are not this one's: a checkpoint of one
    is read into another.
    """

    prefix: str
    renames: tuple[tuple[str, str], ...] = ()
    splits: tuple[tuple[str, tuple[str, ...]], ...] = ()
    tied: Mapping[str, str] = field(default_factory=dict)
    ignored_missing: tuple[str, ...] = ()
    ignored_unexpected: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """Where a parameter comes from: a checkpoint's name, and the order its axes are read in.

    ``part`` is (which, of how many) equal parts of the first axis, where an array holds several.
    """

    name: str
    axes: tuple[int, ...] | None = None
    part: tuple[int, int] | None = None

    def rows(self, stored: int) -> slice:
        """Which rows of an array with ``stored`` of them."""
        which, of = self.part or (0, 1)
        return slice(which * (stored // of), (which + 1) * (stored // of))

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """The parameter's shape, of the array's."""
        if self.part is not None:
            of = self.part[1]
            first = stored[0] // of if stored and stored[0] % of == 0 else -1
            return (first, *stored[1:])
        return tuple(stored[axis] for axis in self.axes) if self.axes else stored


@dataclass(frozen=True)
class NameMap:
    """Every parameter's source, and every name that found no partner."""

    sources: Mapping[str, Source]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    @property
    def renamed(self) -> tuple[tuple[str, str], ...]:
        """(checkpoint's name, model's name) where they differ."""
        return tuple((s.name, name) for name, s in self.sources.items() if s.name != name)


def map_names(
    ranks: Mapping[str, int],
    parameters: Collection[str],
    rules: Rules,
    naming: Literal["pt", "tf", "flax"] = "pt",
) -> NameMap:
    """Find each parameter's array.

    Args:
        ranks: the checkpoint's names, each with its number of axes.
        parameters: the model's names.
        rules: the architecture's.
        naming: whose names the checkpoint uses.

    """
    wanted = frozenset(parameters)
    wrapped = bool(ranks) and all(name.startswith("module.") for name in ranks)
    left = set(parameters)
    found: dict[str, Source] = {}
    unplaced: set[str] = set()
    # exact names first, so that a rule never takes a parameter from its own array
    for name in sorted(ranks, key=lambda n: n not in wanted):
        plain = name.removeprefix("module.") if wrapped else name
        placed = _place(plain, ranks[name], left, rules, naming)
        if not placed:
            unplaced.add(name)
        left.difference_update(placed)
        found.update({target: replace(source, name=name) for target, source in placed.items()})
    _tie(found, wanted, rules.tied)
    order = {name: found[name] for name in parameters if name in found}
    return NameMap(
        order,
        tuple(n for n in parameters if n not in found and not _any(rules.ignored_missing, n)),
        tuple(n for n in ranks if n in unplaced and not _ignorable(n, rules)),
    )


def _tie(found: dict[str, Source], wanted: Collection[str], tied: Mapping[str, str]) -> None:
    """Give what layers share to all of them, by whichever of its names a checkpoint holds it."""
    for parameter, owner in tied.items():
        if owner in wanted and owner not in found and parameter in found:
            found[owner] = found[parameter]
    for parameter, owner in tied.items():
        if parameter in wanted and parameter not in found and owner in found:
            found[parameter] = found[owner]


def _place(
    name: str,
    rank: int,
    wanted: Collection[str],
    rules: Rules,
    naming: Literal["pt", "tf", "flax"],
) -> dict[str, Source]:
    """Which parameters an array is for: one, several that it holds joined, or none."""
    if naming == "pt":
        target = next((n for n in _candidates(name, rules) if n in wanted), None)
        return _parts(name, wanted, rules) if target is None else {target: Source(name)}
    for plain, is_kernel in _translated(name, naming):
        target = next((n for n in _candidates(plain, rules) if n in wanted), None)
        if target is not None:
            return {target: Source(name, _AXES.get(rank) if is_kernel else None)}
    return {}


def _parts(name: str, wanted: Collection[str], rules: Rules) -> dict[str, Source]:
    for pattern, replacements in rules.splits:
        if re.search(pattern, name) is None:
            continue
        names = [re.sub(pattern, replacement, name) for replacement in replacements]
        placed = [next((n for n in _candidates(m, rules) if n in wanted), None) for m in names]
        targets = [target for target in placed if target is not None]
        if len(targets) == len(names):
            return {n: Source(name, part=(i, len(names))) for i, n in enumerate(targets)}
    return {}


def _candidates(name: str, rules: Rules) -> Iterator[str]:
    for variant in dict.fromkeys((name, new_name(name, rules))):
        yield variant
        if rules.prefix:
            yield f"{rules.prefix}.{variant}"
            if variant.startswith(f"{rules.prefix}."):
                yield variant.removeprefix(f"{rules.prefix}.")
        for other in rules.prefixes:
            if variant.startswith(f"{other}."):
                bare = variant.removeprefix(f"{other}.")
                yield from (bare, f"{rules.prefix}.{bare}")


def new_name(name: str, rules: Rules) -> str:
    """The name as it would be written today: ``gamma`` and ``beta``, and the family's renames."""
    head, dot, leaf = name.rpartition(".")
    name = f"{head}{dot}{ {'gamma': 'weight', 'beta': 'bias'}.get(leaf, leaf) }"
    for pattern, replacement in rules.renames:
        name = re.sub(pattern, replacement, name)
    return name


def _translated(name: str, naming: Literal["tf", "flax"]) -> Iterator[tuple[str, bool]]:
    """The name in PyTorch's words, with none to three of its first levels left out."""
    parts = _keras_parts(name) if naming == "tf" else name.split("/")
    leaf = parts[-1]
    parts = [*parts[:-1], _LEAVES.get(leaf, leaf)]
    for level in range(min(_MAX_LEVELS + 1, len(parts))):
        yield ".".join(parts[level:]), leaf in _KERNELS


def _keras_parts(name: str) -> list[str]:
    name = name.removesuffix(":0")
    name = re.sub(r"[^/]*___([^/]*)/", r"\1/", name)
    return re.sub(r"//+", "/", name.replace("_._", "/")).split("/")


def _ignorable(name: str, rules: Rules) -> bool:
    return _BUFFERS.search(name) is not None or _any(rules.ignored_unexpected, name)


def _any(patterns: Iterable[str], name: str) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)
