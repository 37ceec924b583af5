"""Ids back to text.

Source: transformers 4.57.6 ``_decode``; nested ids give a list of texts, as in 5.23.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubloader.names import suggestion
from hubloader.tokenizers.inputs import refused_id
from hubloader.tokenizers.panics import panics_as_errors
from hubloader.tokenizers.state import TokenizerState
from hubloader.tokenizers.tensors import to_lists

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Decoding"]

# What white space before it is dropped, in this order: Source: transformers, clean_up_tokenization.
_CLEAN_UP = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)
_ARGUMENTS = ("token_ids", "sequences", "skip_special_tokens", "clean_up_tokenization_spaces")
_WITHOUT_EFFECT = ("use_source_tokenizer", "spaces_between_special_tokens")


class Decoding(TokenizerState):
    """``decode``, ``batch_decode`` and what they are made of."""

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Turn ids into a text, or rows of ids into a list of texts.

        Args:
            token_ids: an id, ids, or rows of ids: lists, an array or a tensor.
            skip_special_tokens: leave special tokens out.
            clean_up_tokenization_spaces: join " ." and the like; None for the tokenizer's setting.
            **kwargs: ``use_source_tokenizer`` and ``spaces_between_special_tokens``, taken for
                transformers' sake; without effect here.

        Raises:
            TypeError: an argument that does not exist.

        """
        _refuse_unknown(kwargs)
        ids = to_lists(token_ids)
        if isinstance(ids, int):
            ids = [ids]
        if ids and isinstance(ids[0], list):
            return self._decode_rows(ids, skip_special_tokens, clean_up_tokenization_spaces)
        return self._decode_rows([ids], skip_special_tokens, clean_up_tokenization_spaces)[0]

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Turn rows of ids into a list of texts; takes what ``decode`` takes."""
        _refuse_unknown(kwargs)
        rows = to_lists(sequences)
        rows = [[row] if isinstance(row, int) else row for row in rows]
        return self._decode_rows(rows, skip_special_tokens, clean_up_tokenization_spaces)

    def _decode_rows(
        self, rows: list[list[int]], skip_special_tokens: bool, clean_up: bool | None
    ) -> list[str]:
        try:
            texts = self._engine.decode(rows, skip_special_tokens=skip_special_tokens)
        except (OverflowError, TypeError) as error:
            words = next(filter(None, map(refused_id, rows)), str(error))
            raise type(error)(words) from error
        end = self.kind.word_end
        if end:
            texts = [text.replace(end, " ").strip() for text in texts]
        if self.clean_up_tokenization_spaces if clean_up is None else clean_up:
            return [self.clean_up_tokenization(text) for text in texts]
        return texts

    @panics_as_errors
    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Join tokens, as text, into the text that they stand for."""
        if isinstance(tokens, str) or not all(isinstance(token, str) for token in tokens):
            raise TypeError("convert_tokens_to_string takes a list of tokens, each of them a str")
        decoder = self._engine.backend.decoder
        return " ".join(tokens) if decoder is None else str(decoder.decode(list(tokens)))

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """Drop the white space that splitting put before punctuation and English endings."""
        for spaced, joined in _CLEAN_UP:
            out_string = out_string.replace(spaced, joined)
        return out_string


def _refuse_unknown(given: Mapping[str, Any]) -> None:
    for name in given:
        if name not in _WITHOUT_EFFECT:
            near = suggestion(name, (*_ARGUMENTS, *_WITHOUT_EFFECT))
            raise TypeError(f"decoding has no argument {name!r}{near}")
