"""A call's arguments, worked out once, and the rows that the engine's encodings become.

Equal arguments mean the same plan until the tokenizer changes, so a plan is made once and kept.
What is left to do for a text is here, and is kept short: this is the path of every call.
"""

from __future__ import annotations

import functools
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from hubloader.tokenizers import tensors
from hubloader.tokenizers.batch import RAGGED, BatchEncoding
from hubloader.tokenizers.inputs import refused_text
from hubloader.tokenizers.panics import panics_as_errors
from hubloader.tokenizers.reading import engine_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import tokenizers

    from hubloader.tokenizers.engine import Renamed
    from hubloader.tokenizers.strategies import Padding

__all__ = ["COLUMNS", "CallPlan"]

_READ: Mapping[str, Callable[[Any], Any]] = {
    "input_ids": attrgetter("ids"),
    "token_type_ids": attrgetter("type_ids"),
    "attention_mask": attrgetter("attention_mask"),
    "special_tokens_mask": attrgetter("special_tokens_mask"),
    "offset_mapping": attrgetter("offsets"),
    "length": len,
}
COLUMNS = tuple(_READ)
"""What a call can return, in the order in which transformers returns it."""


class CallPlan(NamedTuple):
    """What one set of arguments asks of the engine.

    Attributes:
        view: the engine with the truncation asked for.
        columns: what is returned, out of ``COLUMNS``.
        padding: how rows are filled up, None for not at all.
        add_special_tokens: whether texts are framed.
        split_into_words: whether a list is one text in words.
        overflow: whether what was cut off comes back as rows of its own.
        tensors: the kind of tensor, None for lists.
        eager: whether the engine has to keep track of offsets at once (always with ``overflow``);
            if not, it is made to when somebody asks for them.
        renamed: tokens by id that the engine gives otherwise than they are written.
        warn_above: the length above which a row is too long for the model, None not to look.

    """

    view: tokenizers.Tokenizer
    columns: tuple[str, ...]
    padding: Padding | None
    add_special_tokens: bool
    split_into_words: bool
    overflow: bool
    tensors: str | None
    eager: bool
    renamed: Mapping[int, Renamed]
    warn_above: int | None

    def run(self, items: list[Any], *, batched: bool) -> BatchEncoding:
        """Encode texts and lay out what was asked for.

        Args:
            items: the engine's items, as ``inputs.read_texts`` gives them.
            batched: whether rows were asked for, even of one text.

        """
        if not self.eager:  # the texts are read again later: by then the caller may change a list
            items = [item if type(item) is str else _kept(item) for item in items]
        encodings = self._encode(items, fast=not self.eager)
        if not encodings:
            raise IndexError("list index out of range: the batch holds no text")
        origin = None
        if self.overflow:
            encodings, origin = _with_overflow(encodings)
        lengths = self._fill(encodings) if self.padding is not None else None
        if self.tensors is not None:
            data = self._tensors(encodings, lengths, self.tensors)
            if origin is not None:
                data["overflow_to_sample_mapping"] = tensors.as_tensor(origin, self.tensors)
        elif batched or self.overflow:
            data = {name: list(map(_READ[name], encodings)) for name in self.columns}
            if origin is not None:
                data["overflow_to_sample_mapping"] = origin
        else:
            data = {name: _READ[name](encodings[0]) for name in self.columns}
            if "length" in data:
                data["length"] = [data["length"]]
        if self.eager:
            return BatchEncoding(data, encodings, renamed=self.renamed)
        source = functools.partial(self.encodings, items)
        return BatchEncoding(data, source=source, renamed=self.renamed)

    def encodings(self, items: list[Any]) -> list[tokenizers.Encoding]:
        """Encode once more, with offsets, as ``run`` laid the rows out."""
        encodings = self._encode(items, fast=False)
        if self.padding is not None:
            self._fill(encodings)
        return encodings

    def _encode(self, items: list[Any], *, fast: bool) -> list[tokenizers.Encoding]:
        encode = self.view.encode_batch_fast if fast else self.view.encode_batch
        try:
            encodings: list[tokenizers.Encoding] = encode(
                items,
                is_pretokenized=self.split_into_words,
                add_special_tokens=self.add_special_tokens,
            )
        except TypeError as error:
            raise TypeError(refused_text(items) or str(error)) from error
        except BaseException as error:  # a panic of the Rust engine is no Exception
            failure = self._too_long_a_stride(error) or engine_failure(error)
            if failure is error:
                raise
            raise failure from error
        return encodings

    def _too_long_a_stride(self, error: BaseException) -> ValueError | None:
        """Give the caller's own mistake: whether it is one depends on how long the texts are."""
        truncation = self.view.truncation
        if truncation is None or "stride" not in str(error):
            return None
        stride, most = truncation["stride"], truncation["max_length"]
        return ValueError(
            f"Truncation error: stride={stride} is too long for max_length={most}. It has to be "
            "less than the tokens left to a text beside special ones and the other text of a pair"
        )

    @panics_as_errors
    def _fill(self, encodings: list[tokenizers.Encoding]) -> list[int]:
        padding = self.padding
        if padding is None:
            raise AssertionError("rows are filled up only by a plan that pads")
        lengths = list(map(len, encodings))
        width = padding.width(max(lengths))
        for encoding, length in zip(encodings, lengths, strict=True):
            if length < width:
                encoding.pad(
                    width,
                    direction=padding.side,
                    pad_id=padding.pad_id,
                    pad_type_id=padding.pad_type_id,
                    pad_token=padding.pad_token,
                )
        return lengths

    def _tensors(
        self, encodings: list[tokenizers.Encoding], lengths: list[int] | None, kind: str
    ) -> dict[str, Any]:
        width = len(encodings[0])
        ragged = any(len(encoding) != width for encoding in encodings)
        data: dict[str, Any] = {}
        for name in self.columns:
            rows = list(map(_READ[name], encodings))
            if ragged or name in {"length", "offset_mapping"}:
                data[name] = _as_tensor(rows, kind, name)
            elif name == "attention_mask" and lengths is not None and self.padding is not None:
                data[name] = tensors.wrap(
                    tensors.mask_block(lengths, width, self.padding.side), kind
                )
            else:
                data[name] = tensors.wrap(tensors.block(rows, width), kind)
        return data


def _kept(item: Any) -> Any:
    """Copy the lists of words, or of a pair, that make one item."""
    return type(item)(map(_kept, item)) if type(item) in {list, tuple} else item


def _as_tensor(rows: list[Any], kind: str, name: str) -> Any:
    try:
        return tensors.as_tensor(rows, kind)
    except ValueError as error:
        raise ValueError(RAGGED.format(key=name)) from error


def _with_overflow(
    encodings: list[tokenizers.Encoding],
) -> tuple[list[tokenizers.Encoding], list[int]]:
    rows: list[tokenizers.Encoding] = []
    origin: list[int] = []
    for index, encoding in enumerate(encodings):
        more = encoding.overflowing
        rows += [encoding, *more]
        origin += [index] * (1 + len(more))
    return rows, origin
