"""Which architectures there are, and how one is found by the ``model_type`` of a config.json.

There is no table: a ``model_type`` *is* the name of a file beside this one (``-`` written ``_``)
that holds one ``ARCHITECTURE``. config.json is untrusted, so a name is looked for among the files
that are here, and among the entry points of installed packages, before anything is imported.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hubloader.errors import UnknownArchitecture

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import EntryPoints

    from hubloader.architectures._config import Config
    from hubloader.nn.layer import Layer

__all__ = [
    "BEAM_ANSWERING",
    "DOCUMENT_ANSWERING",
    "ENCODER",
    "ENTRY_POINTS",
    "MASKED_LM",
    "MULTIPLE_CHOICE",
    "QUESTION_ANSWERING",
    "SEQUENCE_CLASSIFICATION",
    "TOKEN_CLASSIFICATION",
    "Architecture",
    "find",
    "supported",
]

ENCODER = "encoder"
SEQUENCE_CLASSIFICATION = "sequence-classification"
TOKEN_CLASSIFICATION = "token-classification"  # noqa: S105  a token of text
QUESTION_ANSWERING = "question-answering"
BEAM_ANSWERING = "question-answering-by-beams"  # by class name alone: no Auto class chooses it
DOCUMENT_ANSWERING = "document-question-answering"  # the same
MASKED_LM = "masked-lm"
MULTIPLE_CHOICE = "multiple-choice"
ENTRY_POINTS = "hubloader.architectures"

_SUFFIXES = {
    ENCODER: "Model",
    SEQUENCE_CLASSIFICATION: "ForSequenceClassification",
    TOKEN_CLASSIFICATION: "ForTokenClassification",
    QUESTION_ANSWERING: "ForQuestionAnswering",
    BEAM_ANSWERING: "ForQuestionAnswering",
    DOCUMENT_ANSWERING: "ForQuestionAnswering",
    MASKED_LM: "ForMaskedLM",
    MULTIPLE_CHOICE: "ForMultipleChoice",
}


@dataclass(frozen=True)
class Architecture:
    """One family of models: its config, its layers by task, and the names of its checkpoints.

    Args:
        model_type: what config.json calls it.
        config: reads config.json, strictly.
        prefix: where the encoder sits inside a task's model, ``"bert"``: a checkpoint of the bare
            encoder has its names without ``"bert."``.
        tasks: task -> layer; ``"encoder"``, ``"sequence-classification"``, ….
        class_prefix: what transformers' class names begin with, ``"Bert"``.
        suffixes: task -> what a class name ends with, where it is not what it is elsewhere.
        prefixes: task -> where the encoder sits inside that task's model, where it is not where it
            sits in the others.
        renames: (regular expression, replacement) for checkpoint names that changed over the years,
            tried in order on every name (besides ``gamma``/``beta``, which hold for all families).
        splits: (regular expression, replacements) for arrays that older checkpoints join along
            their first axis: one equal part for each replacement.
        tied: parameter -> the parameter it shares its value with.
        ignored_missing: regular expressions of parameters that a checkpoint may lack, with nothing
            said. A pooler is none: it starts afresh with the warning that a new head gets.
        ignored_unexpected: regular expressions of checkpoint names that mean nothing here, besides
            the buffers that transformers once saved, which hold for all families.
        passes_over: task -> the same, of that task's model alone: the parts that it does without.
        takes_besides: what a call on torch may give beside the layers' own inputs:
            ``inputs_embeds`` in the place of words, ``position_ids`` in that of the positions that
            a table is asked for; where both are used as they come, as in transformers.

    """

    model_type: str
    config: type[Config]
    prefix: str
    tasks: Mapping[str, type[Layer]]
    class_prefix: str
    suffixes: Mapping[str, str] = field(default_factory=dict)
    prefixes: Mapping[str, str] = field(default_factory=dict)
    renames: tuple[tuple[str, str], ...] = ()
    splits: tuple[tuple[str, tuple[str, ...]], ...] = ()
    tied: Mapping[str, str] = field(default_factory=dict)
    ignored_missing: tuple[str, ...] = ()
    ignored_unexpected: tuple[str, ...] = ()
    passes_over: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    takes_besides: tuple[str, ...] = ()

    @property
    def class_names(self) -> dict[str, str]:
        """Task -> transformers' class name: ``BertModel``, ``BertForSequenceClassification``."""
        suffixes = {**_SUFFIXES, **self.suffixes}
        return {task: f"{self.class_prefix}{suffixes[task]}" for task in self.tasks}

    def prefix_of(self, task: str | None) -> str:
        """Where the encoder sits inside a task's model."""
        return self.prefixes.get(task or ENCODER, self.prefix)

    @property
    def config_name(self) -> str:
        """Transformers' name of the config class: ``BertConfig``."""
        return f"{self.class_prefix}Config"

    def renamed(self, model_type: str, class_prefix: str) -> Architecture:
        """The same architecture under another ``model_type``."""
        return replace(self, model_type=model_type, class_prefix=class_prefix)


def find(model_type: str) -> Architecture:
    """Return the architecture that config.json names.

    Raises:
        UnknownArchitecture: none is here and no installed package brings it.

    """
    module = model_type.replace("-", "_")
    if module in _modules():
        found = _architecture(module)
        if found.model_type == model_type:
            return found
    for point in _plugged():
        if point.name == model_type:
            plugged: Architecture = point.load()
            return plugged
    raise _unknown(model_type)


def supported() -> tuple[str, ...]:
    """Every ``model_type`` that ``find`` knows, sorted; imports no framework."""
    here = {_architecture(module).model_type for module in _modules()}
    return tuple(sorted(here | {point.name for point in _plugged()}))


def _modules() -> frozenset[str]:
    package = importlib.import_module(__package__)
    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    return frozenset(name for name in names if not name.startswith("_"))


def _plugged() -> EntryPoints:
    """What installed packages bring."""
    from importlib import metadata  # first use: 25 ms, for what is not a file here

    return metadata.entry_points(group=ENTRY_POINTS)


def _architecture(module: str) -> Architecture:
    found: Architecture = importlib.import_module(f"{__package__}.{module}").ARCHITECTURE
    return found


def _unknown(model_type: str) -> UnknownArchitecture:
    known = supported()
    close = tuple(difflib.get_close_matches(model_type, known))
    nearest = f"nearest: {', '.join(close)}; " if close else ""
    return UnknownArchitecture(
        f"nobody here implements the architecture {model_type!r}",
        hint=f"{nearest}hubloader implements {', '.join(known)}; another one needs transformers: "
        "pip install transformers",
        model_type=model_type,
        close_matches=close,
    )
