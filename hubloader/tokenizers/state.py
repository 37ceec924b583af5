"""What a tokenizer remembers between calls, and the look-up of tokens and ids.

The rest of a tokenizer is built on this, one concern a module: ``special_tokens``, ``calling``,
``legacy_calls``, ``decoding``, ``saving``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from hubloader import notices
from hubloader.tokenizers.classes import GENERIC, TokenizerClass
from hubloader.tokenizers.config_values import limit_from
from hubloader.tokenizers.inputs import refused_id
from hubloader.tokenizers.panics import panics_as_errors

if TYPE_CHECKING:
    from collections.abc import Iterable

    import tokenizers
    from tokenizers import AddedToken

    from hubloader.tokenizers.engine import Engine
    from hubloader.tokenizers.plan import CallPlan

__all__ = ["TokenizerState"]

_SIDES = ("right", "left")


class TokenizerState:
    """The engine, the settings that calls depend on, and the vocabulary.

    Attributes:
        model_max_length: the most tokens the model takes; 10**30 when nobody said.
        padding_side: where padding stands, "right" or "left".
        truncation_side: which end is cut, "right" or "left".
        model_input_names: what a call returns unless told otherwise.
        clean_up_tokenization_spaces: whether decoding joins " ." and the like.
        split_special_tokens: whether special tokens inside a text are plain text.
        name_or_path: where it was loaded from.
        vocab_file: the SentencePiece model it was made of, None if it was made of another file.

    """

    kind: TokenizerClass = GENERIC
    vocab_file: str | None = None
    model_max_length: int
    padding_side: str
    truncation_side: str
    model_input_names: list[str]
    clean_up_tokenization_spaces: bool
    split_special_tokens: bool
    chat_template: Any
    name_or_path: str
    init_kwargs: dict[str, Any]
    _engine: Engine
    _roles: dict[str, str | AddedToken | None]
    _more_special: list[str | AddedToken]
    _pad_token_type_id: int
    _plans: dict[Any, CallPlan]
    _warned: set[str]

    is_fast = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in {"padding_side", "truncation_side"} and value not in _SIDES:
            title = name.split("_", maxsplit=1)[0].capitalize()
            raise ValueError(
                f"{title} side should be selected between 'right' and 'left', "
                f"current value: {value}"
            )
        super().__setattr__(name, limit_from(value) if name == "model_max_length" else value)
        if name != "_plans":
            self._forget_plans()

    def _forget_plans(self) -> None:
        self.__dict__["_plans"] = {}

    def _warn_once(self, key: str, sentence: str) -> None:
        if key not in self._warned:
            self._warned.add(key)
            notices.warn(sentence)

    @property
    def backend_tokenizer(self) -> tokenizers.Tokenizer:
        """The engine itself. Changing it changes this tokenizer, and is not for several threads."""
        self._forget_plans()
        return self._engine.expose()

    @property
    def _tokenizer(self) -> tokenizers.Tokenizer:
        return self.backend_tokenizer

    @property
    def continuing_subword_prefix(self) -> str | None:
        """What begins a token that goes on with a word, ``##`` of WordPiece; None without one."""
        found: str | None = getattr(self._engine.backend.model, "continuing_subword_prefix", None)
        return found or None

    @property
    def decoder(self) -> Any:
        """The engine's part that joins tokens to a text, None for no such part."""
        return self._engine.backend.decoder

    @property
    def vocab_size(self) -> int:
        """How many tokens the vocabulary has, without added ones."""
        return int(self._engine.backend.get_vocab_size(with_added_tokens=False))

    def __len__(self) -> int:
        return int(self._engine.backend.get_vocab_size(with_added_tokens=True))

    def __bool__(self) -> bool:
        return True

    def get_vocab(self) -> dict[str, int]:
        """Give every token with its id, added ones included."""
        vocabulary: dict[str, int] = self._engine.backend.get_vocab(with_added_tokens=True)
        return vocabulary

    @property
    def vocab(self) -> dict[str, int]:
        """Every token with its id, added ones included."""
        return self.get_vocab()

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Added tokens by id."""
        added: dict[int, AddedToken] = self._engine.backend.get_added_tokens_decoder()
        return added

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """Ids of added tokens, in the order of the ids."""
        return {token.content: index for index, token in sorted(self.added_tokens_decoder.items())}

    def get_added_vocab(self) -> dict[str, int]:
        """Give the ids of added tokens, in the order of the ids."""
        return self.added_tokens_encoder

    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> Any:
        """Look up one token's id, or several; unknown ones have the unknown token's, or None."""
        if isinstance(tokens, str):
            return self._token_id(tokens)
        return [self._token_id(token) for token in tokens]

    def _token_id(self, token: str) -> int | None:
        if not isinstance(token, str):
            raise TypeError(f"{token!r} is no token: a token is a str")
        index: int | None = self._engine.backend.token_to_id(token)
        if index is not None:
            return index
        unknown = self._roles["unk_token"]
        return None if unknown is None else self._engine.backend.token_to_id(str(unknown))

    @overload
    def convert_ids_to_tokens(self, ids: int, skip_special_tokens: bool = False) -> str | None: ...
    @overload
    def convert_ids_to_tokens(
        self, ids: Iterable[int], skip_special_tokens: bool = False
    ) -> list[str | None]: ...
    def convert_ids_to_tokens(
        self, ids: int | Iterable[int], skip_special_tokens: bool = False
    ) -> str | list[str | None] | None:
        """Look up one id's token, or several; an id outside the vocabulary has None.

        Args:
            ids: one, or several: numbers, an array or a tensor.
            skip_special_tokens: leave special tokens out of several.

        """
        single = isinstance(ids, int)
        given = [ids] if isinstance(ids, int) else list(map(int, ids))
        skipped = self._special_ids() if skip_special_tokens and not single else set()
        try:
            tokens = self._tokens([index for index in given if index not in skipped])
        except OverflowError as error:
            raise OverflowError(refused_id(given)) from error
        return tokens[0] if single else tokens

    @panics_as_errors
    def _tokens(self, ids: list[int]) -> list[str | None]:
        look_up, renamed = self._engine.backend.id_to_token, self._engine.renamed
        return [renamed[index].written if index in renamed else look_up(index) for index in ids]

    def _special_ids(self) -> set[int | None]:
        given = (*self._roles.values(), *self._more_special)
        return {self._token_id(str(token)) for token in given if token}

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Count the special tokens that framing one text, or a pair, takes."""
        return int(self._engine.backend.num_special_tokens_to_add(pair))

    @property
    def max_len_single_sentence(self) -> int:
        """The most tokens of one text that fit between the special ones."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=False)

    @property
    def max_len_sentences_pair(self) -> int:
        """The most tokens of two texts together that fit between the special ones."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)
