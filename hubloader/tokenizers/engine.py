"""The Rust tokenizer beneath, never reconfigured while somebody may be using it.

A call's truncation is a setting of the engine, not an argument. Setting it on a shared object would
let one thread's call change another's, so each combination of settings gets a view of its own: a
second engine that shares model, normalizer and the rest, and costs a few hundred microseconds once.
Padding is done on the results (``rows``), so that it needs no view.

Adding tokens replaces the engine by a changed copy; whoever still uses the old one is not
disturbed. Once a caller has been handed the engine itself (``expose``), it is changed in place and
views are not kept, because the caller may change it too.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import tokenizers

from hubloader.tokenizers.panics import panics_as_errors
from hubloader.tokenizers.reading import engine_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Engine", "Renamed", "Truncation"]

_MAX_VIEWS = 64


class Truncation(NamedTuple):
    """How an engine cuts: to ``max_length`` tokens, special ones counted."""

    max_length: int
    stride: int
    strategy: str
    direction: str


class Renamed(NamedTuple):
    """An added token that the engine calls otherwise: ``own`` its word, ``written`` ours."""

    own: str
    written: str


class Engine:
    """A ``tokenizers.Tokenizer`` and its views."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        self._views: dict[tuple[Truncation | None, bool], tokenizers.Tokenizer] = {}
        self._lock = threading.Lock()
        self._renamed: dict[int, Renamed] | None = None
        self.exposed = False

    @property
    def backend(self) -> tokenizers.Tokenizer:
        """The engine, for reading: nobody outside changes what this returns."""
        return self._backend

    @property
    def renamed(self) -> Mapping[int, Renamed]:
        """Added tokens by id as they are written, where the engine gives them normalized."""
        if self._renamed is None or self.exposed:
            self._renamed = _renamed(self._backend)
        return self._renamed

    @panics_as_errors
    def decode(self, rows: list[list[int]], *, skip_special_tokens: bool) -> list[str]:
        """Turn rows of ids into texts.

        Of an added token that is matched after normalizing the engine gives the normalized text,
        "[cls]" or "▁<s>", and so does not find it among the special ones either. Where there is
        such a token the rows are put together here.
        """
        renamed = self.renamed
        if not renamed:
            decode, decode_batch = self._backend.decode, self._backend.decode_batch
            if len(rows) == 1:  # handing one row to the engine's threads takes longer than the row
                return [decode(rows[0], skip_special_tokens=skip_special_tokens)]
            texts: list[str] = decode_batch(rows, skip_special_tokens=skip_special_tokens)
            return texts
        names: dict[int, str | None] = {index: name.written for index, name in renamed.items()}
        if skip_special_tokens:
            added = self._backend.get_added_tokens_decoder()
            names.update(dict.fromkeys(i for i, token in added.items() if token.special))
        return [self._decode_row(row, names) for row in rows]

    def _decode_row(self, row: list[int], names: Mapping[int, str | None]) -> str:
        found = [names[i] if i in names else self._backend.id_to_token(i) for i in row]
        texts = [text for text in found if text is not None]
        decoder = self._backend.decoder
        return " ".join(texts) if decoder is None else str(decoder.decode(texts))

    def expose(self) -> tokenizers.Tokenizer:
        """Hand the engine itself to a caller, who may change it from now on."""
        with self._lock:
            self.exposed = True
            self._views = {}
        return self._backend

    def view(self, truncation: Truncation | None, *, split_special: bool) -> tokenizers.Tokenizer:
        """The engine with these settings, to be used and not changed.

        Args:
            truncation: how to cut, None for not at all.
            split_special: treat special tokens in a text as plain text.

        """
        if self.exposed:
            self._backend.no_truncation()
            self._backend.no_padding()
        elif truncation is None and not split_special:
            return self._backend
        key = (truncation, split_special)
        found = self._views.get(key)
        return found if found is not None else self._make_view(key)

    @panics_as_errors
    def _make_view(self, key: tuple[Truncation | None, bool]) -> tokenizers.Tokenizer:
        truncation, split_special = key
        with self._lock:
            made = _copy(self._backend)
            made.encode_special_tokens = split_special
            if truncation is not None:
                made.enable_truncation(**truncation._asdict())
            if not self.exposed:
                if len(self._views) >= _MAX_VIEWS:
                    self._views = {}
                self._views[key] = made
        return made

    @panics_as_errors
    def add_tokens(self, tokens: Sequence[str | tokenizers.AddedToken], *, special: bool) -> int:
        """Add tokens; returns how many were new."""
        with self._lock:
            changed = self._backend if self.exposed else _copy(self._backend)
            add = changed.add_special_tokens if special else changed.add_tokens
            count: int = add(list(tokens))
            self._backend = changed
            self._views = {}
            self._renamed = None
        return count

    @panics_as_errors
    def replace_part(self, name: str, part: Any) -> None:
        """Exchange the normalizer, pre-tokenizer, post-processor or decoder."""
        with self._lock:
            changed = self._backend if self.exposed else _copy(self._backend)
            setattr(changed, name, part)
            self._backend = changed
            self._views = {}
            self._renamed = None

    @panics_as_errors
    def with_part(self, name: str, part: Any) -> Engine:
        """Make a second engine that differs from this one in one part."""
        changed = _copy(self._backend)
        setattr(changed, name, part)
        return Engine(changed)

    def __getstate__(self) -> dict[str, Any]:
        return {"json": self._backend.to_str()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        with engine_errors("the pickled tokenizer"):
            backend = tokenizers.Tokenizer.from_str(state["json"])
        Engine.__init__(self, backend)


def _copy(engine: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """Make a second engine around the same parts; settings of calls are not copied."""
    made = tokenizers.Tokenizer(engine.model)
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        value = getattr(engine, part)
        if value is not None:
            setattr(made, part, value)
    added = engine.get_added_tokens_decoder()
    if added:
        made.add_tokens([added[index] for index in sorted(added)])
    return made


def _renamed(engine: tokenizers.Tokenizer) -> dict[int, Renamed]:
    """Give the added tokens that the engine calls otherwise than they are written."""
    added = engine.get_added_tokens_decoder()
    names = {
        index: Renamed(engine.id_to_token(index) or "", token.content)
        for index, token in added.items()
        if token.normalized
    }
    return {index: name for index, name in names.items() if name.own != name.written}
