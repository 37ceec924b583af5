"""Byte-level BPE given by ranks: tiktoken's lines and Mistral's tekken.json.

Both list byte strings, the earlier the sooner merged. The engine wants pairs: every two listed
strings that join to a third may be merged, at the third's rank.

Source: transformers 4.57.6 ``convert_slow_tokenizer.py``: TikTokenConverter, and 5.23
``integrations/mistral/tokenizer.py``: MistralConverter. 4.57 gave tekken's special tokens ids that
its byte strings have too, which no model was trained with.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE

from hubloader.errors import CorruptFile, UnknownTokenizer, UnsafeFile
from hubloader.tokenizers.checks import check_pattern
from hubloader.tokenizers.merging import check_merges, check_tokens, splits_of
from hubloader.tokenizers.sentencepiece_model import read_model_bytes
from hubloader.tokenizers.vocabulary_format import VocabularyFormat, sniff_vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hubloader.types import FileSet

__all__ = ["RankedVocabulary", "build_ranked", "parse_tekken", "parse_tiktoken", "special_of"]

# How a text is cut into words where the file does not say: Llama 3's pattern.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_MAX_TOKENS = 1 << 19
_MAX_TOKEN_BYTES = 1024
_MAX_SPECIAL = 1 << 16
_NOT_TEKKEN = (
    AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError,
)  # fmt: skip


class RankedVocabulary(NamedTuple):
    """Byte strings by id, and how a text is cut before them.

    ``leading`` are special tokens with the first ids; byte strings come after them.
    """

    ranks: Mapping[bytes, int]
    leading: tuple[AddedToken, ...] = ()
    pattern: str = _WORDS


def build_ranked(files: FileSet, name: str, special: Sequence[str | AddedToken]) -> Tokenizer:
    """Make an engine of a tiktoken vocabulary or a tekken.json.

    Args:
        files: where it is.
        name: which file.
        special: special tokens that come after a tiktoken vocabulary; tekken.json has its own.

    Raises:
        CorruptFile: the file is damaged.
        UnsafeFile: something in it is beyond its bound.
        UnknownTokenizer: it is in another format; says which.

    """
    raw = read_model_bytes(files, name)
    try:
        vocabulary = _parse(raw)
        engine = _engine(vocabulary)
    except (CorruptFile, UnsafeFile, UnknownTokenizer) as error:
        message = f"{files.describe(name)}: {error.message}"
        raise type(error)(message, hint=error.hint, filename=name) from None
    if vocabulary.leading:
        engine.add_special_tokens(list(vocabulary.leading))
    else:
        engine.add_special_tokens(
            [AddedToken(str(token), normalized=False, special=True) for token in special]
        )
    return engine


def _parse(raw: bytes) -> RankedVocabulary:
    found = sniff_vocabulary(raw)
    if found is VocabularyFormat.TIKTOKEN:
        return parse_tiktoken(raw)
    if found in {VocabularyFormat.TEKKEN, VocabularyFormat.JSON}:
        return parse_tekken(raw)
    raise UnknownTokenizer(
        f"it is {found.value}, not a tiktoken vocabulary or a tekken.json", hint=found.hint
    )


def parse_tiktoken(raw: bytes) -> RankedVocabulary:
    """Read lines of base64 and a rank.

    Raises:
        CorruptFile: a line is something else, or says what another said.
        UnsafeFile: there are too many, or one is too long.

    """
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        if not line:
            continue
        encoded, _, rank = line.partition(b" ")
        if not rank.isdigit() or len(rank) > 9:
            raise CorruptFile(f"line {number} is not base64 and a rank")
        _put(ranks, encoded, int(rank), f"line {number}")
    if not ranks:
        raise CorruptFile("it has no tokens")
    if len(set(ranks.values())) != len(ranks):
        raise CorruptFile("two of its tokens have the same rank")
    return RankedVocabulary(ranks)


def parse_tekken(raw: bytes) -> RankedVocabulary:
    """Read Mistral's tekken.json.

    Raises:
        CorruptFile: it is not JSON of that form.
        UnsafeFile: it has too many tokens, or one that is too long.

    """
    try:
        whole = json.loads(raw)
        config = whole["config"]
        pattern = config["pattern"]
        listed = [entry["token_bytes"].encode("ascii") for entry in whole["vocab"]]
        named = sorted(
            (int(entry["rank"]), str(entry["token_str"])) for entry in whole["special_tokens"]
        )
        first = int(config.get("default_num_special_tokens") or len(named))
        size = config.get("default_vocab_size")
        last = len(listed) if size is None else int(size) - first
    except _NOT_TEKKEN as error:
        raise CorruptFile(f"it is not a tekken.json: {type(error).__name__}: {error}") from None
    if not isinstance(pattern, str):
        raise CorruptFile("its pattern is no text")
    check_pattern("its config", pattern)
    if [rank for rank, _ in named] != list(range(len(named))) or last < 0:
        raise CorruptFile("its special tokens are not numbered from 0 without a gap")
    if not len(named) <= first <= _MAX_SPECIAL:
        raise UnsafeFile(f"it has {first} special tokens: not {len(named)} to {_MAX_SPECIAL}")
    texts = [text for _, text in named]
    texts += [f"<SPECIAL_{number}>" for number in range(len(named), first)]
    if len(set(texts)) != first or "" in texts:
        raise CorruptFile("one of its special tokens stands twice, or is empty")
    ranks: dict[bytes, int] = {}
    for rank, encoded in enumerate(listed[:last]):
        _put(ranks, encoded, rank, f"token {rank}")
    leading = tuple(AddedToken(text, special=True) for text in texts)
    return RankedVocabulary(ranks, leading, pattern)


def _put(ranks: dict[bytes, int], encoded: bytes, rank: int, where: str) -> None:
    try:
        token = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise CorruptFile(f"{where} is not base64") from None
    if not token or token in ranks:
        raise CorruptFile(f"{where} is {'a token that stands twice' if token else 'empty'}")
    if len(token) > _MAX_TOKEN_BYTES or len(ranks) >= _MAX_TOKENS:
        raise UnsafeFile(
            f"{where}: more than {_MAX_TOKENS} tokens, or one of more than {_MAX_TOKEN_BYTES} bytes"
        )
    ranks[token] = rank


def _engine(vocabulary: RankedVocabulary) -> Tokenizer:
    letters = _byte_letters()
    texts = {token: "".join(map(letters.__getitem__, token)) for token in vocabulary.ranks}
    first = len(vocabulary.leading)
    ids = {texts[token]: first + rank for token, rank in vocabulary.ranks.items()}
    ids.update({token.content: index for index, token in enumerate(vocabulary.leading)})
    model = BPE(ids, _merges(vocabulary.ranks, texts), fuse_unk=False)
    model.ignore_merges = True
    engine = Tokenizer(model)
    engine.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(vocabulary.pattern), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    engine.decoder = decoders.ByteLevel()
    engine.post_processor = processors.ByteLevel(trim_offsets=False)
    return engine


def _merges(ranks: Mapping[bytes, int], texts: Mapping[bytes, str]) -> list[tuple[str, str]]:
    check_tokens(ranks)
    own = {token: token for token in ranks}
    found: list[tuple[int, int, int, str, str]] = []
    for token, rank in ranks.items():
        for left, right in splits_of(token, own):
            found.append((rank, ranks[left], ranks[right], texts[left], texts[right]))
        check_merges(len(found))
    found.sort(key=lambda merge: merge[:3])
    return [(left, right) for _, _, _, left, right in found]


def _byte_letters() -> dict[int, str]:
    """Give the letter that stands for each byte in a byte-level vocabulary."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {byte: chr(byte) for byte in shown}
    hidden = [byte for byte in range(256) if byte not in letters]
    letters.update({byte: chr(256 + index) for index, byte in enumerate(hidden)})
    return letters


def special_of(options: Mapping[str, Any]) -> Sequence[str | AddedToken]:
    """Give the special tokens without a role among init arguments."""
    more: Sequence[str | AddedToken] = options.get("additional_special_tokens") or ()
    return more
