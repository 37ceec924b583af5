"""Which format a vocabulary file is in, told from its bytes: names say little.

``tokenizer.model`` is SentencePiece in most repositories, tiktoken's list of ranks in some, and a
Git LFS pointer or a page of HTML where a download went wrong.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["VocabularyFormat", "sniff_vocabulary"]

_TIKTOKEN_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d+\r?(?:\n|$)")
_HEAD = 4096


class VocabularyFormat(Enum):
    """What a vocabulary file is; the value is for messages."""

    SENTENCEPIECE = "a SentencePiece model"
    TIKTOKEN = "a tiktoken vocabulary (lines of base64 and a rank)"
    JSON = "JSON"
    LFS_POINTER = "a Git LFS pointer, not the file itself"
    HTML = "a page of HTML"
    ZIP = "a zip archive"
    GGUF = "a GGUF file"
    EMPTY = "an empty file"
    UNKNOWN = "in no format known here"

    @property
    def hint(self) -> str:
        """What to do about a file that should have been something else."""
        return {
            VocabularyFormat.LFS_POINTER: "fetch the file itself: `git lfs pull`, or load the "
            "repository by its name",
            VocabularyFormat.TIKTOKEN: "declare PreTrainedTokenizerFast in tokenizer_config.json",
            VocabularyFormat.JSON: "call it tekken.json or tokenizer.json if that is what it is",
        }.get(self, "fetch the file again, or look for a tokenizer.json of the same tokenizer")


def sniff_vocabulary(raw: bytes) -> VocabularyFormat:
    """Tell the format from the first bytes."""
    head = raw[:_HEAD]
    return next((found for found, matches in _SIGNS if matches(head)), VocabularyFormat.UNKNOWN)


def _is_sentencepiece(head: bytes) -> bool:
    """Whether it begins with a piece: field 1, its length in one or two bytes, field 1 of it."""
    length = 1 if head[1:2] < b"\x80" else 2
    return head[:1] == b"\n" and head[1 + length : 2 + length] == b"\n"


def _first_letter(head: bytes) -> bytes:
    return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]


_SIGNS: tuple[tuple[VocabularyFormat, Callable[[bytes], object]], ...] = (
    (VocabularyFormat.EMPTY, lambda head: not head),
    (VocabularyFormat.LFS_POINTER, lambda head: head.startswith(b"version https://git-lfs")),
    (VocabularyFormat.ZIP, lambda head: head.startswith(b"PK\x03\x04")),
    (VocabularyFormat.GGUF, lambda head: head.startswith(b"GGUF")),
    (VocabularyFormat.SENTENCEPIECE, _is_sentencepiece),
    (VocabularyFormat.TIKTOKEN, _TIKTOKEN_LINE.match),
    (VocabularyFormat.JSON, lambda head: _first_letter(head) in {b"{", b"["}),
    (VocabularyFormat.HTML, lambda head: _first_letter(head) == b"<"),
)
