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
_BOM = b"\xef\xbb\xbf"
_TEKKEN_KEYS = (b'"token_bytes"', b'"default_num_special_tokens"', b'"num_vocab_tokens"')
_TOKENIZER_KEYS = (b'"added_tokens"', b'"truncation"', b'"pre_tokenizer"')


class VocabularyFormat(Enum):
    """What a vocabulary file is; the value is for messages."""

    SENTENCEPIECE = "a SentencePiece model"
    TIKTOKEN = "a tiktoken vocabulary (lines of base64 and a rank)"
    TEKKEN = "Mistral's tekken.json"
    TOKENIZER_JSON = "a tokenizer.json"
    JSON = "JSON"
    LFS_POINTER = "a Git LFS pointer, not the file itself"
    HTML = "a page of HTML"
    ZIP = "a zip archive"
    GZIP = "compressed by gzip"
    PICKLE = "a pickle of Python"
    SAFETENSORS = "a safetensors file: weights"
    UTF16 = "text in UTF-16"
    GGUF = "a GGUF file"
    EMPTY = "an empty file"
    UNKNOWN = "in no format known here"

    @property
    def hint(self) -> str:
        """What to do about a file that should have been something else."""
        return {
            VocabularyFormat.SENTENCEPIECE: "no class says how it is used: load it through the one "
            "it is of, such as LlamaTokenizer or XLMRobertaTokenizer, or declare that as "
            "tokenizer_class in tokenizer_config.json",
            VocabularyFormat.TOKENIZER_JSON: "call it tokenizer.json",
            VocabularyFormat.TEKKEN: "call it tekken.json, and declare PreTrainedTokenizerFast in "
            "tokenizer_config.json",
            VocabularyFormat.GZIP: "unpack it",
            VocabularyFormat.UTF16: "save it as UTF-8",
            VocabularyFormat.LFS_POINTER: "fetch the file itself: `git lfs pull`, or load the "
            "repository by its name",
            VocabularyFormat.TIKTOKEN: "declare PreTrainedTokenizerFast in tokenizer_config.json",
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
    return head.removeprefix(_BOM).lstrip(b" \t\r\n")[:1]


def _is_safetensors(head: bytes) -> bool:
    """Whether it begins with the length of a JSON header, and that."""
    return head[4:8] == b"\0\0\0\0" and head[8:9] == b"{"


def _is_json_with(head: bytes, keys: tuple[bytes, ...]) -> bool:
    return _first_letter(head) == b"{" and any(key in head for key in keys)


_SIGNS: tuple[tuple[VocabularyFormat, Callable[[bytes], object]], ...] = (
    (VocabularyFormat.EMPTY, lambda head: not head),
    (VocabularyFormat.LFS_POINTER, lambda head: head.startswith(b"version https://git-lfs")),
    (VocabularyFormat.ZIP, lambda head: head.startswith(b"PK\x03\x04")),
    (VocabularyFormat.GZIP, lambda head: head.startswith(b"\x1f\x8b")),
    (VocabularyFormat.PICKLE, lambda head: head[:1] == b"\x80" and b"\x02" <= head[1:2] <= b"\x05"),
    (VocabularyFormat.UTF16, lambda head: head.startswith((b"\xff\xfe", b"\xfe\xff"))),
    (VocabularyFormat.SAFETENSORS, _is_safetensors),
    (VocabularyFormat.GGUF, lambda head: head.startswith(b"GGUF")),
    (VocabularyFormat.SENTENCEPIECE, _is_sentencepiece),
    (VocabularyFormat.TIKTOKEN, lambda head: _TIKTOKEN_LINE.match(head.removeprefix(_BOM))),
    (VocabularyFormat.TEKKEN, lambda head: _is_json_with(head, _TEKKEN_KEYS)),
    (VocabularyFormat.TOKENIZER_JSON, lambda head: _is_json_with(head, _TOKENIZER_KEYS)),
    (VocabularyFormat.JSON, lambda head: _first_letter(head) in {b"{", b"["}),
    (VocabularyFormat.HTML, lambda head: _first_letter(head) == b"<"),
)
