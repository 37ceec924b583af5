"""What a call returns: a mapping of rows or tensors, and the alignment of tokens with the text.

Source: transformers 4.57.6 and 5.23 ``BatchEncoding``, where both agree.
"""

from __future__ import annotations

import operator
from collections import UserDict
from typing import TYPE_CHECKING, Any, NamedTuple

from hubloader import notices
from hubloader.tokenizers import tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import tokenizers

    from hubloader.tokenizers.engine import Renamed

__all__ = ["RAGGED", "BatchEncoding", "CharSpan", "TokenSpan"]


class CharSpan(NamedTuple):
    """Characters of the original text, from ``start`` up to, not including, ``end``."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens of a row, from ``start`` up to, not including, ``end``."""

    start: int
    end: int


RAGGED = (
    "Unable to create tensor, you should probably activate truncation and/or padding with "
    "'padding=True' 'truncation=True' to have batched tensors with the same length. Perhaps your "
    "features (`{key}` in this case) have excessive nesting (inputs type `list` where type `int` "
    "is expected)."
)


class BatchEncoding(UserDict[str, Any]):
    """The model's inputs by name, and the encodings behind them.

    Args:
        data: rows by name.
        encoding: the engine's encodings, one a row.
        tensor_type: what the rows are turned into: "pt", "tf", "np", "jax"; None leaves them.
        prepend_batch_axis: give the tensors a batch axis of 1 first.
        n_sequences: how many texts make a row: 1, or 2 for pairs.
        source: makes the encodings when they are first asked for, or when this is pickled.
        renamed: tokens by id that the encodings give otherwise than they are written.

    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        encoding: tokenizers.Encoding | Sequence[tokenizers.Encoding] | None = None,
        tensor_type: Any = None,
        prepend_batch_axis: bool = False,
        n_sequences: int | None = None,
        *,
        source: Callable[[], list[tokenizers.Encoding]] | None = None,
        renamed: Mapping[int, Renamed] | None = None,
    ) -> None:
        self.data = data if type(data) is dict else dict(data or {})
        self._encodings = _as_list(encoding)
        self._source = source
        self._renamed = renamed
        self._n_sequences = n_sequences
        if tensor_type is not None:
            self.convert_to_tensors(tensor_type, prepend_batch_axis)

    @property
    def encodings(self) -> list[tokenizers.Encoding] | None:
        """The engine's encodings, one a row; None when this was not made by a tokenizer."""
        source = self._source  # read once: another thread may be here too
        if self._encodings is None and source is not None:
            self._encodings = source()
            self._source = None
        return self._encodings

    @property
    def n_sequences(self) -> int | None:
        """How many texts make a row: 1, or 2 for pairs; None when that is not known."""
        if self._n_sequences is None and self.encodings:
            self._n_sequences = self.encodings[0].n_sequences
        return self._n_sequences

    @property
    def is_fast(self) -> bool:
        """Whether tokens can be aligned with the text."""
        return self._encodings is not None or self._source is not None

    @property
    def tensors(self) -> dict[str, Any]:
        """The values that are arrays or tensors, as a plain dict: what a model takes."""
        return {key: value for key, value in self.data.items() if tensors.is_tensor(value)}

    def __getitem__(self, item: Any) -> Any:
        """Look up rows by name, an encoding by number, or a part of the batch by slice."""
        if isinstance(item, str):
            return self.data[item]
        number = _whole_number(item)
        if number is not None and self.encodings is not None:
            return self.encodings[number]
        if isinstance(item, slice):
            if self.encodings is not None:
                return self.encodings[item]
            return {key: value[item] for key, value in self.data.items()}
        raise KeyError(
            "Invalid key. Only three types of key are available: "
            "(1) string, (2) integers for backend Encoding, and (3) slices for data subsetting."
        )

    def __getattr__(self, name: str) -> Any:
        data = self.__dict__.get("data")
        if data is not None and name in data:
            return data[name]
        raise AttributeError(f"this {type(self).__name__} has no {name!r}")

    def __getstate__(self) -> dict[str, Any]:
        return {
            "data": self.data,
            "encodings": self.encodings,
            "n_sequences": self._n_sequences,
            "renamed": self._renamed,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        BatchEncoding.__init__(
            self,
            state["data"],
            state["encodings"],
            n_sequences=state.get("n_sequences"),
            renamed=state.get("renamed"),
        )

    def copy(self) -> BatchEncoding:
        """Make a second mapping of the same rows and encodings."""
        return BatchEncoding(
            dict(self.data), self.encodings, n_sequences=self._n_sequences, renamed=self._renamed
        )

    def convert_to_tensors(
        self, tensor_type: Any = None, prepend_batch_axis: bool = False
    ) -> BatchEncoding:
        """Turn every value into a tensor, in place.

        Args:
            tensor_type: "pt", "tf", "np", "jax"; None changes nothing.
            prepend_batch_axis: give each a batch axis of 1 first.

        Raises:
            ValueError: the rows have different lengths, or hold no numbers; names the key.
            BackendUnavailable: the framework is not installed.

        """
        kind = tensors.tensor_kind(tensor_type)
        if kind is None:
            return self
        for key, value in self.data.items():
            given = [value] if prepend_batch_axis and not tensors.is_tensor(value) else value
            try:
                self.data[key] = tensors.as_tensor(given, kind)
            except (TypeError, ValueError) as error:
                raise ValueError(RAGGED.format(key=key)) from error
        return self

    def to(self, device: Any, *, non_blocking: bool = False) -> BatchEncoding:
        """Send every PyTorch tensor to ``device``, in place; other values stay.

        Args:
            device: a device, its name or its number. A dtype is none: ids stay whole numbers, with
                a warning.
            non_blocking: as for a tensor's own ``to``.

        """
        if tensors.is_dtype(device):
            notices.warn(f"Attempting to cast a BatchEncoding to type {device}. Not supported.")
            return self
        self.data = {
            key: tensors.move(value, device, non_blocking=non_blocking)
            for key, value in self.data.items()
        }
        return self

    def tokens(self, batch_index: int = 0) -> list[str]:
        """Give the tokens of a row, as text."""
        row = self._row(batch_index)
        tokens: list[str] = row.tokens
        if not self._renamed:
            return tokens
        names = map(self._renamed.get, row.ids)
        # Of the unknown token the engine gives what stood there, which is not its name.
        return [
            token if name is None or name.own not in token else name.written
            for name, token in zip(names, tokens, strict=True)
        ]

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """Tell which text each token of a row is of: 0, 1, or None for special tokens."""
        ids: list[int | None] = self._row(batch_index).sequence_ids
        return ids

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """Tell which word each token of a row is of; None for special tokens."""
        ids: list[int | None] = self._row(batch_index).word_ids
        return ids

    def words(self, batch_index: int = 0) -> list[int | None]:
        """Do what ``word_ids`` does, by its older name."""
        return self.word_ids(batch_index)

    def token_to_sequence(
        self, batch_or_token_index: int, token_index: int | None = None
    ) -> int | None:
        """Tell which text the token is of."""
        row, token = self._token(batch_or_token_index, token_index)
        index: int | None = row.token_to_sequence(token)
        return index

    def token_to_word(
        self, batch_or_token_index: int, token_index: int | None = None
    ) -> int | None:
        """Tell which word the token is of."""
        row, token = self._token(batch_or_token_index, token_index)
        index: int | None = row.token_to_word(token)
        return index

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """Tell which tokens the word became; None if none did."""
        row, word = self._place(batch_or_word_index, word_index)
        span = row.word_to_tokens(word, sequence_index)
        return TokenSpan(*span) if span is not None else None

    def token_to_chars(
        self, batch_or_token_index: int, token_index: int | None = None
    ) -> CharSpan | None:
        """Tell which characters the token stands for; None for special tokens."""
        row, token = self._token(batch_or_token_index, token_index)
        span = row.token_to_chars(token)
        return CharSpan(*span) if span is not None else None

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """Tell which token the character is in; None for white space and what was dropped."""
        row, char = self._place(batch_or_char_index, char_index)
        index: int | None = row.char_to_token(char, sequence_index)
        return index

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """Tell which characters the word has; None if there is no such word."""
        row, word = self._place(batch_or_word_index, word_index)
        span = row.word_to_chars(word, sequence_index)
        return CharSpan(*span) if span is not None else None

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """Tell which word the character is in."""
        row, char = self._place(batch_or_char_index, char_index)
        index: int | None = row.char_to_word(char, sequence_index)
        return index

    def _row(self, batch_index: int) -> tokenizers.Encoding:
        if not self.encodings:
            raise ValueError("this batch was not made by a tokenizer: it knows no tokens or words")
        return self.encodings[batch_index]

    def _place(self, first: int, second: int | None) -> tuple[tokenizers.Encoding, int]:
        if second is None:
            return self._row(0), first
        return self._row(first), second

    def _token(self, first: int, second: int | None) -> tuple[tokenizers.Encoding, int]:
        row, token = self._place(first, second)
        return row, token + len(row) if token < 0 else token


def _whole_number(item: Any) -> int | None:
    """Read a whole number of any library, such as numpy's; None for what is none."""
    try:
        return operator.index(item)
    except TypeError:
        return None


def _as_list(
    encoding: Any,
) -> list[tokenizers.Encoding] | None:
    if encoding is None:
        return None
    return list(encoding) if isinstance(encoding, (list, tuple)) else [encoding]
