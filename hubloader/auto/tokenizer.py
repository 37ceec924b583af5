"""``AutoTokenizer`` and the tokenizer classes by transformers' names."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

from hubloader.auto.source import open_files, split_hub_arguments
from hubloader.errors import UnknownTokenizer
from hubloader.tokenizers.classes import class_for_model_type, class_named, class_names
from hubloader.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from typing_extensions import Self

    from hubloader.tokenizers.classes import TokenizerClass

__all__ = ["AutoTokenizer", "PretrainedTokenizer", "tokenizer_class"]

_T = TypeVar("_T", bound=Tokenizer)
_USES = frozenset({"tokenizer"})
_WITHOUT_EFFECT = frozenset(
    {"use_fast", "from_slow", "config", "resume_download", "_commit_hash", "_from_auto"}
)


class PretrainedTokenizer(Tokenizer):
    """A tokenizer that can be loaded by name; base of ``BertTokenizer`` and all the others."""

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], **kwargs: Any) -> Self:
        """Load a tokenizer as one of this class, whatever the repository declares.

        Args:
            name: a Hub name, ``org/name@revision``, or a folder.
            **kwargs: as for ``AutoTokenizer.from_pretrained``.

        """
        return _load(cls, name, kwargs, asked=cls.kind.name)

    @classmethod
    def _class_of(cls, kind: TokenizerClass) -> type[Self]:
        named = tokenizer_class(kind.name)
        return named if named is not None and issubclass(named, cls) else cls


class AutoTokenizer:
    """Loads the tokenizer of any text model; not made itself."""

    def __init__(self) -> None:
        raise TypeError("AutoTokenizer is not made: use AutoTokenizer.from_pretrained(name)")

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> PretrainedTokenizer:
        """Load the tokenizer of a repository or a folder.

        tokenizer.json is run as it is; without it the legacy files of the declared class are
        converted as transformers 4.57 does.

        Args:
            pretrained_model_name_or_path: a Hub name, ``org/name@revision``, or a folder.
            **kwargs: where the files come from (``revision``, ``subfolder``, ``cache_dir``,
                ``token``, ``local_files_only``, ``force_download``, ``proxies``, ``endpoint``,
                ``refresh``, ``lock``); ``tokenizer_type``: the model type whose class to use. What
                else is given is an init argument and wins over the files: ``model_max_length``,
                ``padding_side``, ``do_lower_case``, ``pad_token`` ... ``use_fast`` has no effect.

        Returns:
            A tokenizer of the class that transformers names: ``type(tokenizer).__name__``.

        Raises:
            UnknownTokenizer: nothing here makes a tokenizer of what the repository holds.
            CorruptFile: a file is damaged.
            RemoteCodeRefused: only the repository's own code could make it, or it was asked for.
            HubloaderError: the files cannot be had; see ``hubloader.errors``.

        """
        model_type = kwargs.pop("tokenizer_type", None)
        asked = None if model_type is None else _class_of_type(model_type)
        return _load(PretrainedTokenizer, pretrained_model_name_or_path, kwargs, asked=asked)


@functools.cache
def tokenizer_class(name: str) -> type[PretrainedTokenizer] | None:
    """Find a class by transformers' name, with or without ``Fast``; None if there is none."""
    kind = class_named(name)
    if kind is None:
        return None
    if kind.name != name:
        return tokenizer_class(kind.name)
    members = {
        "__doc__": f"The tokenizer that transformers calls ``{name}``.",
        "__module__": __name__,
        "kind": kind,
    }
    return type(name, (PretrainedTokenizer,), members)


def __getattr__(name: str) -> Any:
    found = tokenizer_class(name) if name.isidentifier() else None
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found


def _load(
    cls: type[_T], name: str | os.PathLike[str], kwargs: Mapping[str, Any], *, asked: str | None
) -> _T:
    arguments, rest = split_hub_arguments(kwargs)
    overrides = {key: value for key, value in rest.items() if key not in _WITHOUT_EFFECT}
    files = open_files(name, arguments, _USES)
    return cls.from_files(files, overrides=overrides, asked=asked, name_or_path=str(name))


def _class_of_type(model_type: str) -> str:
    kind = class_for_model_type(model_type)
    if kind is None:
        raise UnknownTokenizer(
            f"tokenizer_type={model_type!r} is no model type that a tokenizer is known for",
            hint="the classes are " + ", ".join(class_names()),
        )
    return kind.name
