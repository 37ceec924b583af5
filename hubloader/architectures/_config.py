"""config.json, read strictly: every fault named at once, and nothing believed that cannot be.

A family declares its keys as fields, each with a rule (``size``, ``share``, ``flag``, …). Names
and defaults are transformers' own. What no rule knows is kept in ``extra``, unread.

Source: transformers 5.23 (``configuration_utils.py`` and the families' ``configuration_*.py``).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.errors import CorruptFile, HubloaderError, UnsupportedArchitecture
from hubloader.nn.blocks import ACTIVATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

__all__ = [
    "MAX_LABELS",
    "MAX_LAYERS",
    "MAX_ROWS",
    "MAX_WIDTH",
    "Beyond",
    "Config",
    "activation",
    "amount",
    "checked",
    "flag",
    "optional",
    "share",
    "size",
    "split_words",
    "token",
    "word",
    "words",
]

MAX_ROWS = 2**27  # of an embedding; the largest vocabularies hold some 2**20
MAX_WIDTH = 2**20  # of a layer; the widest in use are below 2**17
MAX_LAYERS = 1024  # each costs a millisecond to build, weights or not
MAX_LABELS = 2**20
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")


class Beyond(str):
    """What a rule says of a value that is right, and that nobody here computes with.

    A fault makes the file corrupt; this makes the model one for an installed transformers.
    """

    __slots__ = ()


_LABEL_KEYS = frozenset({"id2label", "label2id", "num_labels", "_num_labels"})
_RULE = "hubloader-rule"


def checked(default: Any, fault: Callable[[Any], str | None]) -> Any:
    """Declare a key with a rule of its own: ``fault`` says what is wrong with a value, or None."""
    return field(default=default, metadata={_RULE: fault})


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _numbered(n: int) -> dict[int, str]:
    return {i: f"LABEL_{i}" for i in range(n)}


def _reversed(id2label: Mapping[int, str]) -> dict[str, int]:
    return {label: i for i, label in id2label.items()}


def size(default: int, *, least: int = 1, most: int = MAX_WIDTH) -> Any:
    """A whole number in bounds."""

    def fault(value: Any) -> str | None:
        if not _is_int(value):
            return f"{value!r} is not a whole number"
        if not least <= value <= most:
            return f"{value} is not between {least} and {most}"
        return None

    return checked(default, fault)


def token(default: int | None) -> Any:
    """A token id, or null."""

    def fault(value: Any) -> str | None:
        if value is None or (_is_int(value) and -MAX_ROWS <= value < MAX_ROWS):
            return None
        if isinstance(value, (list, tuple)) and value and all(map(_is_int, value)):
            return Beyond(f"{value!r}: one of several tokens is not looked for here")
        return f"{value!r} is not a token id"

    return checked(default, fault)


def share(default: float | None) -> Any:
    """A number from 0 to 1: a dropout; null only where the default is null."""

    def fault(value: Any) -> str | None:
        if value is None and default is None:
            return None
        if not _is_number(value) or not 0 <= value <= 1:
            return f"{value!r} is not a number from 0 to 1"
        return None

    return checked(default, fault)


def amount(default: float, *, positive: bool = True) -> Any:
    """A finite number, above 0 unless ``positive`` is False."""

    def fault(value: Any) -> str | None:
        if not _is_number(value) or not math.isfinite(value):
            return f"{value!r} is not a number"
        return f"{value} is not above 0" if positive and value <= 0 else None

    return checked(default, fault)


def flag(default: bool) -> Any:
    """True or false."""
    return checked(default, lambda v: None if isinstance(v, bool) else f"{v!r} is no true or false")


def optional(rule: Any, default: Any = None) -> Any:
    """The same as another rule, or null."""
    fault = rule.metadata[_RULE]
    return checked(default, lambda value: None if value is None else fault(value))


def word(default: str | None, choices: tuple[str, ...]) -> Any:
    """One of a few words; null only where the default is null."""

    def fault(value: Any) -> str | None:
        if (value is None and default is None) or value in choices:
            return None
        return f"{value!r} is none of {', '.join(choices)}"

    return checked(default, fault)


def words(default: tuple[str, ...], choices: tuple[str, ...], *, separator: str = "|") -> Any:
    """Several of a few words: a list, a string with a separator, or null for none."""

    def fault(value: Any) -> str | None:
        parts = split_words(value, separator)
        if parts is None or not all(part in choices for part in parts):
            return f"{value!r} is not made of {', '.join(choices)}"
        return None

    return checked(default, fault)


def split_words(value: Any, separator: str = "|") -> tuple[str, ...] | None:
    """Read what ``words`` accepts; None if it is something else."""
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(part.strip() for part in value.lower().split(separator))
    if isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value):
        return tuple(value)
    return None


def activation(default: str) -> Any:
    """The name of an activation, as transformers names it."""
    fault = word(default, tuple(ACTIVATIONS)).metadata[_RULE]

    def judged(value: Any) -> str | None:
        if value in _OTHER_ACTIVATIONS:
            return Beyond(f"{value!r} is not implemented here")
        found: str | None = fault(value)
        return found

    return checked(default, judged)


_OTHER_ACTIVATIONS = ("laplace", "prelu", "xielu")  # no numbers of a config's, or own parameters


@dataclass(frozen=True, kw_only=True)
class Config:
    """What every family's config has.

    ``num_labels`` is the number of ``id2label``; a config.json with neither has two labels.
    ``extra`` holds the keys that no field is for.
    """

    aliases: ClassVar[Mapping[str, str]] = {}
    """Other keys that config.json may write a field by: ``{"hidden_size": "dim"}``."""

    usual_labels: ClassVar[int] = 2
    """How many labels a classifier has whose config says nothing of them."""

    new_norms: ClassVar[float] = 1.0
    """What a normalisation's weights are, of a model that was not trained."""

    looks_back_alone: ClassVar[bool] = False
    """Whether the family's layers know ``is_decoder``, with which a token sees none after it."""

    problem_type: str | None = word(None, PROBLEM_TYPES)
    initializer_range: float = amount(0.02, positive=False)
    id2label: Mapping[int, str] = field(default_factory=lambda: _numbered(2))
    label2id: Mapping[str, int] = field(default_factory=lambda: _reversed(_numbered(2)))
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_labels(self) -> int:
        """How many labels a classifier has."""
        return len(self.id2label)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """Read a config.json.

        Raises:
            CorruptFile: naming every key that cannot be what it says.
            UnsupportedArchitecture: naming every key that says, rightly, what nobody here does.

        """
        rules = _rules(cls)
        given = {cls.aliases.get(key, key): value for key, value in raw.items()}
        found = [
            (key, problem)
            for key, rule in rules.items()
            if key in given and (problem := rule(given[key])) is not None
        ]
        faults = [f"{key}: {problem}" for key, problem in found if not isinstance(problem, Beyond)]
        beyond = [f"{key}: {problem}" for key, problem in found if isinstance(problem, Beyond)]
        labels, label_faults = _read_labels(given, cls.usual_labels)
        faults += label_faults
        if not found and not faults:
            values = {key: _plain(given[key]) for key in rules if key in given}
            extra = {k: v for k, v in given.items() if k not in rules and k not in _LABEL_KEYS}
            config = cls(**values, **labels, extra=extra)
            faults, beyond = config.faults(), config.beyond()
            if not faults and not beyond:
                return config
        raise _refusal(faults, beyond, raw.get("model_type"))

    def faults(self) -> list[str]:
        """What is wrong between the keys; a family adds its own."""
        if self.problem_type == "single_label_classification" and self.num_labels == 1:
            return ["problem_type: single_label_classification needs two labels or more"]
        return []

    def beyond(self) -> list[str]:
        """What the config asks for, rightly, that nobody here does; a family adds its own."""
        found = []
        for key in _PACKED:
            packing = self.extra.get(key)
            if packing:
                method = packing.get("quant_method") if isinstance(packing, dict) else packing
                found.append(f"{key}: weights packed by {method!r} are not unpacked here")
        if self.decodes and not self.looks_back_alone:
            found.append("is_decoder: this family's decoder is not implemented here")
        if self.extra.get("add_cross_attention"):
            found.append("add_cross_attention: cross-attention is not implemented here")
        return found

    @property
    def decodes(self) -> bool:
        """Whether a token may look at those before it alone."""
        return bool(self.extra.get("is_decoder"))

    @property
    def looks_ahead(self) -> bool:
        """Whether a decoder's token sees those after it too: models of embeddings say so."""
        return not self.extra.get("is_causal", True)

    def least_embeddings(self) -> int:
        """How many numbers the table of words has at the least; 0 for a family without one."""
        widths = (getattr(self, name, None) for name in _WIDTHS)
        width = min((value for value in widths if isinstance(value, int)), default=0)
        return getattr(self, "vocab_size", 0) * width

    def least_layers(self) -> int:
        """How many layers have weights of their own at the least."""
        shared = getattr(self, "num_hidden_groups", None)
        layers = getattr(self, "num_hidden_layers", 0) if shared is None else shared
        return layers if isinstance(layers, int) else 0

    def must_divide(self, width: str, heads: str) -> list[str]:
        """Fault if the field ``width`` is no multiple of the field ``heads``."""
        if getattr(self, width) % getattr(self, heads):
            return [f"{width}: {getattr(self, width)} is no multiple of {heads}"]
        return []

    def must_have_row(self, token_id: str, rows: str) -> list[str]:
        """Fault if the field ``token_id`` names no row of a table with ``rows`` rows."""
        value, limit = getattr(self, token_id), getattr(self, rows)
        if value is not None and not -limit <= value < limit:
            return [f"{token_id}: {value} is no row of {limit} ({rows})"]
        return []


_WIDTHS = ("hidden_size", "embedding_width", "embedding_size", "input_embedding_size")
_PACKED = ("quantization_config", "compression_config")


def _refusal(faults: list[str], beyond: list[str], model_type: Any) -> HubloaderError:
    if faults:
        return CorruptFile(
            f"the config cannot be used: {'; '.join(faults)}",
            hint="ask the repository's author, or pass the right values as keywords",
        )
    return UnsupportedArchitecture(
        f"the config asks for what is not implemented here: {'; '.join(beyond)}",
        hint="it needs transformers, on PyTorch: pip install transformers",
        model_type=model_type if isinstance(model_type, str) else None,
    )


def _rules(cls: type[Config]) -> dict[str, Callable[[Any], str | None]]:
    return {f.name: f.metadata[_RULE] for f in dataclasses.fields(cls) if _RULE in f.metadata}


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _read_labels(raw: Mapping[str, Any], usual: int) -> tuple[dict[str, Any], list[str]]:
    """Read id2label and label2id: what names the labels wins over what counts them."""
    names, number = raw.get("id2label"), raw.get("num_labels", raw.get("_num_labels"))
    if names is None:
        if number is not None and not (_is_int(number) and 1 <= number <= MAX_LABELS):
            return {}, [f"num_labels: {number!r} is not between 1 and {MAX_LABELS}"]
        id2label = _numbered(usual if number is None else number)
        return {"id2label": id2label, "label2id": _reversed(id2label)}, []
    fault = _labels_fault(names)
    if fault is not None:
        return {}, [f"id2label: {fault}"]
    id2label = {int(key): str(label) for key, label in names.items()}
    given = raw.get("label2id")
    if given is None:
        return {"id2label": id2label, "label2id": _reversed(id2label)}, []
    if not isinstance(given, dict) or not all(_is_int(i) for i in given.values()):
        return {}, ["label2id: it is not a table of label and number"]
    return {"id2label": id2label, "label2id": dict(given)}, []


def _labels_fault(names: Any) -> str | None:
    if not isinstance(names, dict) or not 1 <= len(names) <= MAX_LABELS:
        return f"it is not a table of 1 to {MAX_LABELS} labels"
    if not all(_is_int(key) or (isinstance(key, str) and _is_digits(key)) for key in names):
        return "its keys are not numbers"
    return None


def _is_digits(key: str) -> bool:
    return key.isascii() and key.isdigit() and len(key) <= 9
