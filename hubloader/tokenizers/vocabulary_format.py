"""Which format a vocabulary file is in, told from its bytes: names say little.

``tokenizer.model`` is SentencePiece in most repositories, tiktoken's list of ranks in some, and a
Git LFS pointer or a page of HTML where a download went wrong.
"""

from __future__ import annotations

import re
from enum import Enum

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
    if not raw:
        return VocabularyFormat.EMPTY
    head = raw[:_HEAD]
    for start, found in (
        (b"version https://git-lfs", VocabularyFormat.LFS_POINTER),
        (b"PK\x03\x04", VocabularyFormat.ZIP),
        (b"GGUF", VocabularyFormat.GGUF),
    ):
        if head.startswith(start):
            return found
    # A SentencePiece model begins with its first piece: field 1, a length, field 1 of the piece.
    if len(head) > 2 and head[0] == 0x0A and head[2 if head[1] < 0x80 else 3 : 4][:1] == b"\x0a":
        return VocabularyFormat.SENTENCEPIECE
    if _TIKTOKEN_LINE.match(head):
        return VocabularyFormat.TIKTOKEN
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:1] in {b"{", b"["}:
        return VocabularyFormat.JSON
    if text[:1] == b"<":
        return VocabularyFormat.HTML
    return VocabularyFormat.UNKNOWN
