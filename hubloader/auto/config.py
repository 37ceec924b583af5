"""config.json as an object: read under limits, changed by name, written back.

A config keeps what the file said and, beside it, the architecture's strict reading of it. Every
change is read anew, so a value that cannot be is refused where it is set. Keys that no architecture
knows are kept and written back; keys that would name code (``auto_map`` and the like) are not.

Source: transformers 5.23 ``configuration_utils.py``, ``models/auto/configuration_auto.py``.
"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import TYPE_CHECKING, Any, ClassVar

from hubloader.architectures import find
from hubloader.auto.config_file import CONFIG_NAME, read_config
from hubloader.auto.opening import open_files
from hubloader.auto.select import find_architecture
from hubloader.auto.source import asked_for, split_hub_arguments
from hubloader.errors import UnknownArchitecture, about
from hubloader.names import nearest, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from typing_extensions import Self

    from hubloader.architectures import Architecture
    from hubloader.architectures._config import Config
    from hubloader.types import FileSet

__all__ = ["CONFIG_NAME", "AutoConfig", "PretrainedConfig", "config_class", "read_config"]

_COMMON: Mapping[
    str, Any
] = {  # what every transformers config has, beside an architecture's fields
    "architectures": None,
    "attn_implementation": None,
    "chunk_size_feed_forward": 0,
    "dtype": None,
    "finetuning_task": None,
    "is_encoder_decoder": False,
    "output_attentions": False,
    "output_hidden_states": False,
    "return_dict": True,
    "tie_word_embeddings": True,
    "transformers_version": None,
}
_SURELY_MEANT = 0.85  # no key of any config in transformers is so like a loader's keyword
_LABELS = frozenset({"num_labels", "id2label", "label2id"})
# Code, or a place elsewhere; a config's attention kernel may be another repository's code
_NEEDED = frozenset({"_remove_final_layer_norm"})  # private keys that say how a model computes
_DROPPED = frozenset({"auto_map", "trust_remote_code", "name_or_path", "attn_implementation"})


class PretrainedConfig:
    """A model's config: attributes by config.json's names.

    Args:
        values: keys of config.json; what is left out has the architecture's default.

    Raises:
        CorruptFile: naming every value that cannot be.
        TypeError: a config class of no architecture was called.

    """

    model_type: ClassVar[str] = ""
    architecture: ClassVar[Architecture | None] = None

    _values: dict[str, Any]
    _typed: Config
    _name_or_path: str = ""
    _inferred_problem: str | None = None

    def __init__(self, **values: Any) -> None:
        self._read(_normalised(values))

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], **overrides: Any) -> Self:
        """Read what config.json said, changed by ``overrides`` that are known keys.

        Raises:
            CorruptFile: naming every value that cannot be.

        """
        return cls(**_overridden(raw, overrides))

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], **keywords: Any) -> PretrainedConfig:
        """Load a config; see ``AutoConfig.from_pretrained``."""
        config: PretrainedConfig = AutoConfig.from_pretrained(name, **keywords)
        return config

    def _read(self, values: dict[str, Any]) -> None:
        if self.architecture is None:
            raise TypeError("a config belongs to an architecture: use AutoConfig, or BertConfig …")
        typed = self.architecture.config.from_json(values)
        object.__setattr__(self, "_values", values)
        object.__setattr__(self, "_typed", typed)

    @property
    def typed(self) -> Config:
        """The architecture's strict reading, frozen: what layers are built from."""
        return self._typed

    @property
    def name_or_path(self) -> str:
        """What the config was loaded by; not saved, since it may be a place on this machine."""
        return self._name_or_path

    @name_or_path.setter
    def name_or_path(self, value: str) -> None:
        object.__setattr__(self, "_name_or_path", value)

    @property
    def num_labels(self) -> int:
        """How many labels a classifier has; setting it makes new labels ``LABEL_0`` …."""
        return self._typed.num_labels

    @property
    def problem_type(self) -> str | None:
        """The config's, or what the first labels were taken for."""
        return self._typed.problem_type or self._inferred_problem

    @problem_type.setter
    def problem_type(self, value: str | None) -> None:
        object.__setattr__(self, "_inferred_problem", None)
        self._read(_overridden(self._values, {"problem_type": value}))

    def infer_problem_type(self, value: str) -> None:
        """Note what a model took its labels for; cheap, and inside a traced graph too."""
        self._inferred_problem = value

    @property
    def use_return_dict(self) -> bool:
        """Whether calls return an output object rather than a tuple."""
        return bool(self.return_dict)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        name = {"torch_dtype": "dtype"}.get(name, name)
        typed = self._typed
        alias = typed.aliases.get(name, name)
        if hasattr(typed, alias) and alias != "extra":
            return getattr(typed, alias)
        if name in self._values:
            return self._values[name]
        if name in _COMMON:
            return _COMMON[name]
        near = suggestion(name, self.keys())
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{near}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in {"name_or_path", "problem_type"} or name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            self._read(_overridden(self._values, {name: value}))

    def keys(self) -> frozenset[str]:
        """Every key that this config knows."""
        fields = {item.name for item in dataclasses.fields(self._typed)} - {"extra"}
        return frozenset({*fields, *self._typed.aliases, *_COMMON, *_LABELS, *self._values})

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def update(self, values: Mapping[str, Any]) -> None:
        """Set several keys at once."""
        self._read(_overridden(self._values, values))

    def to_dict(self) -> dict[str, Any]:
        """Every key and its value, defaults included, as transformers writes them."""
        fields = {item.name: getattr(self._typed, item.name) for item in _fields(self._typed)}
        known = {self._typed.aliases.get(key, key): value for key, value in self._values.items()}
        # an empty value that the file does not write is a default here, and need not be elsewhere
        given = {k: v for k, v in fields.items() if k in known or v not in (None, ())}
        found = {**known, **given, "model_type": self.model_type}
        found["problem_type"] = self.problem_type
        found.pop("num_labels", None)  # id2label says it
        return {key: _jsonable(value) for key, value in found.items()}

    def to_diff_dict(self) -> dict[str, Any]:
        """The same; nothing is left out."""
        return self.to_dict()

    def to_json_string(self) -> str:
        """The text of config.json."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Write config.json into a folder, which is made if it is not there."""
        os.makedirs(save_directory, exist_ok=True)
        with open(os.path.join(save_directory, CONFIG_NAME), "w", encoding="utf-8") as stream:
            stream.write(self.to_json_string())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PretrainedConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # a config can be changed

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (self.model_type, self._values)


def _revive(model_type: str, values: dict[str, Any]) -> PretrainedConfig:
    return config_class(find(model_type))(**values)


def _fields(typed: Config) -> list[dataclasses.Field[Any]]:
    return [item for item in dataclasses.fields(typed) if item.name != "extra"]


def _jsonable(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, dict) else value


def _normalised(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a config may keep: no code, no private keys, one name for the dtype."""
    kept = {
        k: v
        for k, v in values.items()
        if k not in _DROPPED and (k in _NEEDED or not k.startswith("_"))
    }
    if "torch_dtype" in kept:
        kept.setdefault("dtype", kept.pop("torch_dtype"))
        kept.pop("torch_dtype", None)
    if kept.get("dtype") is not None:
        kept["dtype"] = str(kept["dtype"]).removeprefix("torch.")
    return kept


def _overridden(raw: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(raw)
    if _LABELS & overrides.keys():
        labels = dict.fromkeys(_LABELS & overrides.keys())
        if overrides.get("num_labels") == _number_of(raw) and not labels.keys() - {"num_labels"}:
            overrides = {k: v for k, v in overrides.items() if k != "num_labels"}  # names stay
        elif "label2id" not in overrides or "id2label" in overrides or "num_labels" in overrides:
            for key in (*_LABELS, "_num_labels"):
                values.pop(key, None)
    values.update(overrides)
    if "torch_dtype" in overrides:
        values["dtype"] = values.pop("torch_dtype")
    return _normalised(values)


def _number_of(raw: Mapping[str, Any]) -> int | None:
    names = raw.get("id2label")
    return len(names) if isinstance(names, dict) else None


def config_class(architecture: Architecture) -> type[PretrainedConfig]:
    """The config class of an architecture, by transformers' name: ``BertConfig``."""
    made = _CLASSES.get(architecture.model_type)
    if made is not None:
        return made
    body = {
        "__doc__": f"The config of {architecture.model_type}.",
        "__module__": "hubloader",
        "model_type": architecture.model_type,
        "architecture": architecture,
    }
    fresh = type(architecture.config_name, (PretrainedConfig,), body)
    return _CLASSES.setdefault(architecture.model_type, fresh)  # of two threads, one wins


_CLASSES: dict[str, type[PretrainedConfig]] = {}


class AutoConfig:
    """Loads the config that a repository's config.json asks for."""

    __module__ = "hubloader"

    def __init__(self) -> None:
        raise TypeError("AutoConfig is made by AutoConfig.from_pretrained(name)")

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **keywords: Any
    ) -> Any:
        """Load config.json of a Hub name or a folder.

        Args:
            pretrained_model_name_or_path: the name.
            keywords: where from (``revision``, ``subfolder``, ``token`` …, see
                ``hubloader.auto.source.HubArguments``) and keys of the config to change. With
                ``return_unused_kwargs=True`` the others come back beside the config.

        Returns:
            The config, or (config, unused keywords).

        Raises:
            UnknownArchitecture: nobody here implements it.
            CorruptFile: config.json is malformed.
            TypeError: a keyword that nothing knows, with the nearest name.

        """
        hub, overrides = split_hub_arguments(keywords)
        return_unused = overrides.pop("return_unused_kwargs", False)
        if not return_unused:
            refuse_misspelt(overrides)
        with asked_for(pretrained_model_name_or_path, hub):
            files = open_files(pretrained_model_name_or_path, hub, frozenset({"config"}))
            try:
                config, unused = load_config(files, overrides)
            except UnknownArchitecture as error:
                options = {**overrides, "return_unused_kwargs": return_unused}
                return _handed_over(files, options, error)
        config.name_or_path = os.fspath(pretrained_model_name_or_path)
        if return_unused:
            return config, unused
        refuse_unknown(unused, config)
        return config

    @classmethod
    def for_model(cls, model_type: str, **values: Any) -> PretrainedConfig:
        """Make a config of an architecture, with its defaults.

        Raises:
            UnknownArchitecture: nobody here implements it.

        """
        return config_class(find(model_type))(**values)


def _handed_over(files: FileSet, overrides: Mapping[str, Any], error: UnknownArchitecture) -> Any:
    """The config as an installed transformers reads it; without one, the error goes on."""
    from hubloader.auto import handover  # first use: it knows the formats, which a config does not

    raw = read_config(files)
    if not handover.knows(raw):
        raise handover.refined(error, "torch") from error.__cause__
    return handover.load_config(files, raw, overrides)


def load_config(
    files: FileSet, overrides: Mapping[str, Any]
) -> tuple[PretrainedConfig, dict[str, Any]]:
    """Read config.json, change it by the overrides it knows, and return the others."""
    raw = read_config(files)
    with about(filename=CONFIG_NAME):
        architecture, _ = find_architecture(raw)
        config = config_class(architecture).from_dict(raw)
    known = config.keys() | {"torch_dtype"}
    config.update({key: value for key, value in overrides.items() if key in known})
    return config, {key: value for key, value in overrides.items() if key not in known}


def refuse_unknown(
    unused: Iterable[str], config: PretrainedConfig, more: Iterable[str] = ()
) -> None:
    """Raise TypeError for keywords that nothing knows, with the nearest name.

    Args:
        unused: the keywords.
        config: whose keys could have been meant.
        more: what else the caller takes, beside the Hub's keywords.

    """
    for key in unused:
        near = suggestion(key, [*config.keys(), *split_names(), *more])
        raise TypeError(f"from_pretrained() got an unexpected keyword {key!r}{near}")


def refuse_misspelt(keywords: Iterable[str], more: Iterable[str] = ()) -> None:
    """Raise TypeError for what is nearly a loader's keyword: told before anything is asked.

    What is like none of them may be a key of the config, which only config.json can tell.

    Args:
        keywords: those that are neither the Hub's nor the caller's own.
        more: what the caller takes, beside the Hub's keywords.

    """
    from hubloader.auto.model_arguments import MODEL_KEYWORDS

    taken = frozenset({*split_names(), *more})
    for key in keywords:
        near = nearest(key, {*taken, *MODEL_KEYWORDS}, cutoff=_SURELY_MEANT)
        if near is not None:
            whose = "" if near in taken else " That is a keyword of a model's from_pretrained()."
            raise TypeError(
                f"from_pretrained() got an unexpected keyword {key!r}: "
                f"did you mean {near!r}?{whose}"
            )


def split_names() -> tuple[str, ...]:
    """The keywords that say where files come from."""
    from hubloader.auto.source import HubArguments

    return tuple(item.name for item in dataclasses.fields(HubArguments))
