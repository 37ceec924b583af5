"""``AutoTokenizer`` and the tokenizer classes by transformers' names."""

from __future__ import annotations

import contextlib
import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from hubloader.auto.config_file import CONFIG_NAME, read_config
from hubloader.auto.opening import open_files
from hubloader.auto.source import asked_for, split_hub_arguments
from hubloader.errors import CorruptFile, RemoteCodeRefused, UnknownTokenizer, UnsafeFile
from hubloader.tokenizers.classes import class_for_model_type, class_named, class_names
from hubloader.tokenizers.config import read_tokenizer_config
from hubloader.tokenizers.given_files import GivenFiles
from hubloader.tokenizers.own_calls import OWN_CALLS
from hubloader.tokenizers.selection import TOKENIZER_FILE, select_tokenizer
from hubloader.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    import tokenizers
    from typing_extensions import Self

    from hubloader.tokenizers.classes import TokenizerClass
    from hubloader.types import FileSet

__all__ = [
    "AutoTokenizer",
    "PretrainedTokenizer",
    "TokenizerChoice",
    "convert_ahead",
    "explain_tokenizer",
    "tokenizer_class",
]

_T = TypeVar("_T", bound=Tokenizer)
_USES = frozenset({"tokenizer"})
_WITHOUT_EFFECT = frozenset(
    {"use_fast", "from_slow", "config", "resume_download", "_commit_hash", "_from_auto"}
)


class PretrainedTokenizer(Tokenizer):
    """A tokenizer that can be loaded by name; base of ``BertTokenizer`` and all the others.

    ``from_pretrained`` loads a repository; calling a class makes a tokenizer of single files:
    ``BertTokenizer("vocab.txt")``, ``GPT2Tokenizer("vocab.json", "merges.txt")``,
    ``PreTrainedTokenizerFast(tokenizer_file="tokenizer.json")``.

    Args:
        *legacy: the class's legacy files, in transformers' order.
        vocab_file: the first of them (``vocab`` in transformers 5).
        merges_file: the second (``merges``).
        tokenizer_file: a tokenizer.json; it wins over legacy files.
        tokenizer_object: a ``tokenizers.Tokenizer``; it is copied, and wins over files.
        **settings: init arguments: special tokens, ``do_lower_case``, ``model_max_length`` ...

    Raises:
        TypeError: no file was named, or more than the class reads.
        EntryNotFound: a file is not there.
        CorruptFile: a file is damaged.

    """

    def __init__(
        self,
        *legacy: str | os.PathLike[str],
        tokenizer_file: str | os.PathLike[str] | None = None,
        tokenizer_object: tokenizers.Tokenizer | None = None,
        **settings: Any,
    ) -> None:
        settings = {key: item for key, item in settings.items() if key not in _WITHOUT_EFFECT}
        paths = _legacy_paths(self.kind, legacy, settings)
        if tokenizer_object is not None:
            made = Tokenizer.from_engine(tokenizer_object, self.kind, settings)
        else:
            if tokenizer_file is not None:
                paths = {TOKENIZER_FILE: tokenizer_file}
            if not paths:
                raise TypeError(
                    f"{type(self).__name__} is made of files: {_signature(self.kind)}; "
                    f"a repository is loaded by {type(self).__name__}.from_pretrained(name)"
                )
            made = Tokenizer.from_files(GivenFiles(paths), overrides=settings, asked=self.kind.name)
        self.__setstate__(made.__getstate__())

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> Self:
        """Load a tokenizer as one of this class, whatever the repository declares.

        Args:
            pretrained_model_name_or_path: a Hub name, ``org/name@revision``, or a folder.
            **kwargs: as for ``AutoTokenizer.from_pretrained``.

        """
        return _load(cls, pretrained_model_name_or_path, kwargs, asked=cls.kind.name)

    @classmethod
    def _class_of(cls, kind: TokenizerClass) -> type[Self]:
        named = tokenizer_class(kind.name)
        return named if named is not None and issubclass(named, cls) else cls


class AutoTokenizer:
    """Loads the tokenizer of any text model; not made itself."""

    __module__ = "hubloader"

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


@dataclass(frozen=True)
class TokenizerChoice:
    """What a repository's tokenizer would be: its class, the files it is built from, and why.

    ``kind`` is None where it cannot be made, or cannot be told yet; ``reasons`` then say why not.
    """

    kind: str | None
    files: tuple[str, ...]
    reasons: tuple[str, ...]


def explain_tokenizer(
    names: AbstractSet[str], at_hand: Mapping[str, str | os.PathLike[str]]
) -> TokenizerChoice:
    """Say which tokenizer a repository has, fetching and building nothing.

    Args:
        names: every file of the repository.
        at_hand: where those of them are that are on this disk, by name.

    """
    needed = [name for name in ("tokenizer_config.json", "config.json") if name in names]
    lacking = [name for name in needed if name not in at_hand]
    if lacking:
        verb = "decides" if len(lacking) == 1 else "decide"
        sentence = f"{' and '.join(lacking)}, not in the cache, {verb} which class it is"
        return TokenizerChoice(None, (), (sentence,))
    try:
        config = read_tokenizer_config(GivenFiles({name: at_hand[name] for name in needed}), {})
        chosen = select_tokenizer(names, config)
    except (UnknownTokenizer, RemoteCodeRefused, CorruptFile, UnsafeFile) as error:
        return TokenizerChoice(None, (), (error.message,))
    return TokenizerChoice(chosen.kind.name, chosen.files, chosen.reasons)


def convert_ahead(files: FileSet) -> None:
    """Convert legacy files now where the conversion is kept, so that no load has to write it.

    Does nothing where there is nothing to keep. What cannot be converted is told at the load.

    Args:
        files: a repository's, just brought.

    """
    if TOKENIZER_FILE in files.names():
        return
    with contextlib.suppress(UnknownTokenizer, RemoteCodeRefused, CorruptFile, UnsafeFile):
        config = read_tokenizer_config(files, {})
        chosen = select_tokenizer(files.names(), config)
        if chosen.kind.keep_conversion and not chosen.from_tokenizer_json:
            Tokenizer.from_files(files)


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
        "__module__": "hubloader",
        "kind": kind,
        "model_input_names": list(kind.model_input_names),
        "padding_side": kind.padding_side,
        "truncation_side": "right",
        "vocab_files_names": _vocabulary_files(kind),
    }
    own = OWN_CALLS.get(name)
    bases = (PretrainedTokenizer,) if own is None else (own, PretrainedTokenizer)
    return type(name, bases, members)


def __getattr__(name: str) -> Any:
    found = tokenizer_class(name) if name.isidentifier() else None
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found


_PARAMETERS = (("vocab_file", "vocab"), ("merges_file", "merges"))


def _vocabulary_files(kind: TokenizerClass) -> dict[str, str]:
    """Give transformers' words for the files that the class is made of."""
    named = {names[0]: file for names, file in zip(_PARAMETERS, kind.legacy_files)}  # noqa: B905 - one file or two
    return {**named, "tokenizer_file": TOKENIZER_FILE}


def _legacy_paths(
    kind: TokenizerClass, given: tuple[str | os.PathLike[str], ...], settings: dict[str, Any]
) -> dict[str, str | os.PathLike[str]]:
    """Take the legacy files out of a constructor's arguments, by their names in a repository."""
    if len(given) > len(kind.legacy_files):
        raise TypeError(
            f"{kind.name} takes at most {len(kind.legacy_files)} files by position, not "
            f"{len(given)}: "
            f"{_signature(kind)}"
        )
    paths = dict(zip(kind.legacy_files, given))  # noqa: B905 - the later ones may be keywords
    for file, names in zip(kind.legacy_files, _PARAMETERS):  # noqa: B905 - one file or two
        for name in names:
            path = settings.pop(name, None)
            if path is None:
                continue
            if not isinstance(path, (str, os.PathLike)):
                raise TypeError(f"{name}= is the path of a file, not a {type(path).__name__}")
            paths.setdefault(file, path)
    return paths


def _signature(kind: TokenizerClass) -> str:
    files = zip(kind.legacy_files, _PARAMETERS)  # noqa: B905 - one file or two
    parameters = [f"{names[0]}=<{file}>" for file, names in files]
    legacy = f"{kind.name}({', '.join(parameters)}) or " if parameters else ""
    return f"{legacy}{kind.name}(tokenizer_file=<tokenizer.json>) or tokenizer_object="


def _load(
    cls: type[_T], name: str | os.PathLike[str], kwargs: Mapping[str, Any], *, asked: str | None
) -> _T:
    arguments, rest = split_hub_arguments(kwargs)
    overrides = {key: value for key, value in rest.items() if key not in _WITHOUT_EFFECT}
    with asked_for(name, arguments):
        files = open_files(name, arguments, _USES)
        if files.exists(CONFIG_NAME):
            read_config(files)  # a model that cannot be loaded has no tokenizer either
        return cls.from_files(files, overrides=overrides, asked=asked, name_or_path=str(name))


def _class_of_type(model_type: str) -> str:
    kind = class_for_model_type(model_type)
    if kind is None:
        raise UnknownTokenizer(
            f"tokenizer_type={model_type!r} is no model type that a tokenizer is known for",
            hint="the classes are " + ", ".join(class_names()),
        )
    return kind.name
