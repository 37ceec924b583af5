"""``pad``: encodings made earlier, filled up to one length and turned into tensors.

Source: transformers 4.57.6 ``PreTrainedTokenizerBase.pad``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import TYPE_CHECKING, Any

from hubloader.names import suggestion
from hubloader.tokenizers import tensors
from hubloader.tokenizers.batch import BatchEncoding
from hubloader.tokenizers.calling import Calling
from hubloader.tokenizers.options import CallOptions, checked
from hubloader.tokenizers.strategies import choose_strategies

if TYPE_CHECKING:
    from hubloader.tokenizers.strategies import Padding

__all__ = ["PaddingLater"]

_ARGUMENTS = (
    "encoded_inputs",
    "padding",
    "max_length",
    "pad_to_multiple_of",
    "padding_side",
    "return_attention_mask",
    "return_tensors",
    "verbose",
)


class PaddingLater(Calling):
    """``tokenizer.pad``, for batches put together after tokenization."""

    def pad(
        self,
        encoded_inputs: Any,
        padding: Any = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: Any = None,
        verbose: bool = True,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Fill rows up to one length; nothing is cut.

        Only the tokenizer's own columns are filled up: others, such as ``labels``, stay.

        Args:
            encoded_inputs: one encoding, a list of them, or a mapping of columns of rows; lists,
                arrays or tensors.
            padding: True or "longest", "max_length", False or "do_not_pad".
            max_length: the length to reach with "max_length"; None for the model's limit.
            pad_to_multiple_of: round the length up.
            padding_side: "right" or "left"; None for the tokenizer's.
            return_attention_mask: 1 for tokens, 0 for padding; None: if the model takes it.
            return_tensors: "pt", "tf", "np", "jax"; None: what came in.
            verbose: say once when there is no length to pad to.
            **kwargs: none: here to name the argument that was meant.

        Raises:
            TypeError: an argument that does not exist.
            ValueError: the model's first input is missing, the columns differ in length, or the
                tokenizer has no padding token.

        """
        for name in kwargs:
            raise TypeError(f"pad has no argument {name!r}{suggestion(name, _ARGUMENTS)}")
        columns = _as_columns(encoded_inputs)
        main = self.model_input_names[0]
        if main not in columns:
            raise ValueError(
                "You should supply an encoding or a list of encodings to this method that includes "
                f"{main}, but you provided {list(columns)}"
            )
        first = columns[main]
        if first is None or (isinstance(first, Sized) and len(first) == 0):
            if return_attention_mask:
                columns["attention_mask"] = []
            return BatchEncoding(columns)
        kind = tensors.tensor_kind(return_tensors) or _kind_of_rows(first)
        columns = {name: tensors.to_lists(rows) for name, rows in columns.items()}
        options = CallOptions(
            padding=padding, max_length=max_length, pad_to_multiple_of=pad_to_multiple_of,
            padding_side=padding_side, return_attention_mask=return_attention_mask, verbose=verbose,
        )  # fmt: skip
        options = checked(options)
        single = not isinstance(columns[main][0], (list, tuple))
        if single:
            columns = {name: [row] for name, row in columns.items()}
        filled = self._pad_rows(columns, options)
        if single:
            filled = {name: rows[0] for name, rows in filled.items()}
        return BatchEncoding(filled, tensor_type=kind)

    def _pad_rows(
        self, columns: dict[str, list[Any]], options: CallOptions
    ) -> dict[str, list[Any]]:
        main = self.model_input_names[0]
        rows = columns[main]
        if any(len(column) != len(rows) for column in columns.values()):
            raise ValueError(
                "Some items in the output dictionary have a different batch size than others."
            )
        chosen = choose_strategies(
            options.padding, False, options.max_length,
            model_max_length=self.model_max_length,
            warn=self._warn_once if options.verbose else _say_nothing,
        )  # fmt: skip
        asked = options.return_attention_mask
        wants_mask = "attention_mask" in self.model_input_names if asked is None else asked
        filled = dict(columns)
        if wants_mask and "attention_mask" not in filled:
            filled["attention_mask"] = [[1] * len(row) for row in rows]
        padding = self._padding(chosen, options)
        if padding is None:
            return filled
        width = padding.width(max(map(len, rows)))
        for name, filler in _fillers(padding, main, mask=wants_mask).items():
            if name in filled:
                filled[name] = [_fill(row, filler, width, padding.side) for row in filled[name]]
        return filled


def _fillers(padding: Padding, main: str, *, mask: bool) -> dict[str, int]:
    fillers = {
        "token_type_ids": padding.pad_type_id,
        "special_tokens_mask": 1,
        main: padding.pad_id,
    }
    return {**fillers, "attention_mask": 0} if mask else fillers


def _fill(row: list[int], filler: int, width: int, side: str) -> list[int]:
    more = [filler] * (width - len(row))
    return list(row) + more if side == "right" else more + list(row)


def _as_columns(encoded: Any) -> dict[str, Any]:
    if isinstance(encoded, (list, tuple)) and encoded and isinstance(encoded[0], Mapping):
        return {name: [example[name] for example in encoded] for name in encoded[0]}
    if not isinstance(encoded, Mapping):
        raise TypeError(
            f"pad takes an encoding or a list of encodings, not a {type(encoded).__name__}"
        )
    return dict(encoded)


def _kind_of_rows(rows: Any) -> str | None:
    kind = tensors.kind_of(rows)
    if kind is None and isinstance(rows, (list, tuple)):
        kind = tensors.kind_of(rows[0])
    return kind


def _say_nothing(key: str, sentence: str) -> None:
    del key, sentence
