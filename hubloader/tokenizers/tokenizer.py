"""The tokenizer: the files of a repository, callable as transformers' tokenizers are.

Source: transformers 4.57.6 ``PreTrainedTokenizerFast``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tokenizers
from tokenizers import AddedToken

from hubloader.errors import about
from hubloader.tokenizers.chat import Chat
from hubloader.tokenizers.classes import GENERIC, TokenizerClass, family_named
from hubloader.tokenizers.config import read_tokenizer_config
from hubloader.tokenizers.config_values import SPECIAL_TOKEN_NAMES, limit_from
from hubloader.tokenizers.decoding import Decoding
from hubloader.tokenizers.engine import Engine
from hubloader.tokenizers.flags import apply_flags
from hubloader.tokenizers.framing import Framing
from hubloader.tokenizers.kept import convert
from hubloader.tokenizers.legacy_calls import LegacyCalls
from hubloader.tokenizers.reading import engine_errors
from hubloader.tokenizers.saving import Saving
from hubloader.tokenizers.selection import select_tokenizer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from typing_extensions import Self

    from hubloader.types import FileSet

__all__ = ["Tokenizer"]


class Tokenizer(Framing, Chat, LegacyCalls, Decoding, Saving):
    """Text to the model's inputs and back, on the Rust engine.

    Made by ``from_files`` (or ``AutoTokenizer.from_pretrained``). Equal calls may run in any number
    of threads at once: a call changes nothing that another sees.

    Args:
        backend: the engine; owned by the tokenizer from now on.
        kind: the class of transformers that this stands for: the defaults of everything below.
        settings: init arguments: special tokens, ``model_max_length``, ``padding_side``,
            ``truncation_side``, ``model_input_names``, ``clean_up_tokenization_spaces``,
            ``split_special_tokens``, ``additional_special_tokens``, ``chat_template``; others are
            kept for saving.
        added_tokens: tokens by id that the engine must have.

    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        kind: TokenizerClass = GENERIC,
        settings: Mapping[str, Any] | None = None,
        added_tokens: Mapping[int, AddedToken] | None = None,
    ) -> None:
        given = _with_baked_in(backend, dict(settings or {}))
        self._plans = {}
        self._warned = set()
        self.kind = kind
        self._engine = Engine(backend)
        self.name_or_path = str(given.pop("name_or_path", ""))
        self.init_kwargs = dict(given)
        # The class's own: what files and arguments say of it is ignored, as transformers does.
        self._pad_token_type_id = int(kind.options.get("pad_token_type_id", 0))
        self.model_max_length = limit_from(given.get("model_max_length", given.get("max_len")))
        self.padding_side = given.get("padding_side") or kind.padding_side
        self.truncation_side = given.get("truncation_side") or "right"
        self.model_input_names = list(given.get("model_input_names") or kind.model_input_names)
        self.clean_up_tokenization_spaces = bool(given.get("clean_up_tokenization_spaces", False))
        self.split_special_tokens = bool(given.get("split_special_tokens", False))
        self.chat_template = given.get("chat_template")
        self._set_special_tokens(given)
        self._add_missing_tokens(added_tokens or {})

    @classmethod
    def from_files(
        cls,
        files: FileSet,
        *,
        overrides: Mapping[str, Any] | None = None,
        asked: str | None = None,
        name_or_path: str = "",
    ) -> Self:
        """Choose, check and load.

        Args:
            files: the repository's files.
            overrides: init arguments that win over the files.
            asked: the class that the caller loads through, where it is a particular one.
            name_or_path: what the caller named, kept for saving and messages.

        Raises:
            UnknownTokenizer: nothing here makes a tokenizer of these files.
            CorruptFile: a file is damaged; names it.
            UnsafeFile: a file would exhaust the machine.
            RemoteCodeRefused: only code of the repository's own could make it.

        """
        with about(repo_id=name_or_path or None):
            config = read_tokenizer_config(files, overrides or {})
            selection = select_tokenizer(files.names(), config, asked=asked)
            kind = selection.kind
            defaults = {**kind.options, **kind.special_tokens}
            if not selection.from_tokenizer_json:
                defaults.update(kind.legacy_options)
            settings = {**defaults, **config.values, "name_or_path": name_or_path}
            family = family_named(kind.family) if kind.family else None
            if family is not None and hasattr(family, "settle"):
                settings = family.settle(kind, settings)
            if selection.from_tokenizer_json:
                normalized = [t.content for t in config.added_tokens.values() if t.normalized]
                backend = _load_tokenizer_json(files, selection.files[0], normalized)
                apply_flags(backend, kind, settings, config.values)
            else:
                first = selection.files[0]
                with engine_errors(files.describe(first), first):
                    backend = convert(files, selection, _listed(settings, config.added_tokens))
                settings = _flagged(kind, settings)
            made = cls._class_of(kind)
            tokenizer = made.__new__(made)
            # A class by name is called with the names of files: what it is made of is set here.
            Tokenizer.__init__(tokenizer, backend, kind, settings, config.added_tokens)
            if family is not None and (
                not selection.from_tokenizer_json or kind.framed_by & config.values.keys()
            ):
                tokenizer._frame_texts()  # noqa: SLF001 - one of this class
            if kind.legacy_files == selection.files and selection.files[0].endswith(".model"):
                tokenizer.vocab_file = str(files.path(selection.files[0]))
            return tokenizer

    @classmethod
    def from_engine(
        cls, backend: tokenizers.Tokenizer, kind: TokenizerClass, settings: Mapping[str, Any]
    ) -> Tokenizer:
        """Make a tokenizer of class ``kind`` around a copy of an engine.

        Args:
            backend: the engine; it stays the caller's.
            kind: the class: its special tokens and defaults hold where ``settings`` say nothing.
            settings: init arguments.

        """
        with engine_errors("the given tokenizer"):
            own = tokenizers.Tokenizer.from_str(backend.to_str())
        merged = {**kind.options, **kind.special_tokens, **settings}
        apply_flags(own, kind, merged, settings)
        return Tokenizer(own, kind, merged)

    def train_new_from_iterator(
        self,
        text_iterator: Iterable[Any],
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: Sequence[str | AddedToken] | None = None,
        special_tokens_map: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Train a tokenizer of the same class and pipeline on other texts.

        Args:
            text_iterator: texts, or batches of them.
            vocab_size: how many tokens it may have.
            length: how many texts there are, for the bar.
            new_special_tokens: special tokens that it has besides this one's.
            special_tokens_map: this one's special tokens that are called otherwise, by their text.
            **kwargs: the trainer's options, as in the ``tokenizers`` library.

        Raises:
            ValueError: the model is of no kind that can be trained.

        """
        from hubloader.tokenizers.training import renamed_roles, train_engine  # first use

        new, renamed = list(new_special_tokens or ()), dict(special_tokens_map or {})
        engine = train_engine(
            self._engine.backend, text_iterator, length=length, new=new, renamed=renamed,
            options={"vocab_size": vocab_size, **kwargs},
        )  # fmt: skip
        trained = Tokenizer.from_engine(engine, self.kind, renamed_roles(self, new, renamed))
        made = type(self).__new__(type(self))
        made.__setstate__(trained.__getstate__())
        return made

    @classmethod
    def _class_of(cls, kind: TokenizerClass) -> type[Self]:
        """Give the class that stands for ``kind``; classes by name are made a layer above."""
        del kind
        return cls

    def _set_special_tokens(self, given: Mapping[str, Any]) -> None:
        more = given.get("additional_special_tokens") or ()
        extra = given.get("extra_special_tokens") or {}
        roles = {name: given.get(name) or None for name in SPECIAL_TOKEN_NAMES}
        if isinstance(extra, dict):
            roles.update(extra)
        else:
            more = [*more, *extra]
        self._roles = roles
        self._more_special = list(more)

    def _add_missing_tokens(self, added_tokens: Mapping[int, AddedToken]) -> None:
        """Add what the files list and the engine lacks, then special tokens it does not know."""
        present = {
            token.content: token
            for token in self._engine.backend.get_added_tokens_decoder().values()
        }
        known = {repr(token) for token in present.values()}
        listed = [_matched_alike(token, present) for _, token in sorted(added_tokens.items())]
        missing = [token for token in listed if repr(token) not in known]
        texts = {*present, *(token.content for token in missing)}
        known |= {repr(token) for token in missing}
        for token in self.all_special_tokens_extended:
            marked = _matched_alike(_special(token), present)
            # One that has flags of its own changes those of the token that is there.
            own_flags = isinstance(token, AddedToken)
            if (repr(marked) not in known) if own_flags else (str(token) not in texts):
                missing.append(marked)
        special = set(self.all_special_tokens)
        for token in missing:
            token.special = token.special or token.content in special
        if missing:
            self.add_tokens(missing)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_plans"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _plans={})

    def __repr__(self) -> str:
        return (
            f"{self.kind.name}(name_or_path={self.name_or_path!r}, vocab_size={self.vocab_size}, "
            f"model_max_length={self.model_max_length}, padding_side={self.padding_side!r}, "
            f"truncation_side={self.truncation_side!r}, special_tokens={self.special_tokens_map})"
        )


def _special(token: str | AddedToken) -> AddedToken:
    if isinstance(token, str):
        return AddedToken(token, special=True)
    token.special = True
    return token


def _matched_alike(token: AddedToken, present: Mapping[str, AddedToken]) -> AddedToken:
    """Leave a token that the engine has matched where it is: before normalizing, or after.

    The engine of 4.57's time did, whatever a config said later. A `</s>` of a LLaMA model that is
    matched after normalizing is `▁</s>`, and no longer found behind a word.
    """
    old = present.get(token.content)
    if old is None or old.normalized == token.normalized:
        return token
    names = ("single_word", "lstrip", "rstrip", "special")
    flags = {name: getattr(token, name) for name in names}
    return AddedToken(token.content, **flags, normalized=old.normalized)


def _listed(settings: dict[str, Any], added: Mapping[int, AddedToken]) -> dict[str, Any]:
    """Give roles whose text the files list among the added tokens that very token."""
    by_text = {token.content: token for token in added.values()}
    roles = {name: settings[name] for name in SPECIAL_TOKEN_NAMES if name in settings}
    return {**settings, **{name: by_text.get(str(text), text) for name, text in roles.items()}}


def _flagged(kind: TokenizerClass, settings: dict[str, Any]) -> dict[str, Any]:
    """Give the special tokens that are only text the flags that their class gives them."""
    flagged = dict(settings)
    for name in SPECIAL_TOKEN_NAMES:
        text = settings.get(name)
        mask, unknown = name == "mask_token", name == "unk_token"
        lstrip = mask and kind.mask_lstrip
        normalized = kind.mask_normalized if mask else kind.specials_normalized
        normalized = normalized or (unknown and kind.unk_normalized)
        normalized = normalized and not (kind.pad_exact and name == "pad_token")
        if isinstance(text, str) and (lstrip or normalized):
            flagged[name] = AddedToken(text, special=True, lstrip=lstrip, normalized=normalized)
    return flagged


def _with_baked_in(backend: tokenizers.Tokenizer, given: dict[str, Any]) -> dict[str, Any]:
    """Let the padding and truncation saved in tokenizer.json fill in what nothing else says."""
    padding, truncation = backend.padding, backend.truncation
    if truncation is not None:
        given.setdefault("truncation_side", truncation["direction"])
    if padding is not None:
        given.setdefault("pad_token", padding["pad_token"])
        given.setdefault("pad_token_type_id", padding["pad_type_id"])
        given.setdefault("padding_side", padding["direction"])
    return given


def _load_tokenizer_json(
    files: FileSet, name: str, more_tokens: Collection[str]
) -> tokenizers.Tokenizer:
    from hubloader.tokenizers.checks import read_tokenizer_json  # first use: patterns to compile

    text = read_tokenizer_json(files, name, more_tokens)
    with engine_errors(files.describe(name), name):
        return tokenizers.Tokenizer.from_buffer(text)
