"""tokenizer.json is looked at before the engine sees it.

The engine trusts its input: a hostile file makes it abort the process, allocate without bound or
run for minutes. All of that comes from the small parts (normalizer, patterns, padding ...), so
these are read and bounded here; the vocabulary, nearly all of the bytes, is left to the engine.

============================  ====================================================================
part                          bound
============================  ====================================================================
the file                      64 MiB, 64 parts, 2**21 lists and objects
padding, truncation           lengths up to 2**20
added tokens                  2**18 of them, 8 MiB of text together; normalizing them takes no
                              more than about a second (``added_tokens_cost``)
normalizer ... decoder        64 steps each, which make a text at most 32 times longer; normalizer
                              and pre-tokenizer together no more than that
a pattern                     4,096 characters, counted repetitions up to 10**6 in all
a precompiled normalizer      a character becomes at most 1,024 bytes
a template                    each text once, 256 pieces and 256 special tokens
the model                     words of at most 1,000 characters: its time is quadratic in them
============================  ====================================================================

Source: faults seen with tokenizers 0.23: ``Fixed: 2**33`` padding aborts, five chained ``Replace``
make 10**10 characters, a backtracking pattern panics.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hubloader.errors import CorruptFile, UnsafeFile
from hubloader.tokenizers.added_tokens_cost import check_normalizing
from hubloader.tokenizers.charsmap import check_charsmap
from hubloader.tokenizers.reading import read_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from hubloader.types import FileSet

__all__ = ["check_added_tokens", "check_pattern", "check_tokenizer_json", "read_tokenizer_json"]

_MAX_PARTS = 64
_MAX_NESTED = 1 << 21
_MAX_LENGTH = 1 << 20
_MAX_ADDED_TOKENS = 1 << 18
_MAX_ADDED_TEXT = 8 << 20
_MAX_STEPS = 64
_MAX_GROWTH = 32
_MAX_PATTERN = 4096
_MAX_REPETITION = 10**6
_MAX_REPLACEMENT = 1024
_MAX_TEMPLATE = 256
_MAX_WORD = 1000

_BLANK = re.compile(r"[ \t\n\r]*")
# A key of an object or a list: in what follows the vocabulary's head, only these two are expected.
_NESTED = re.compile(r'"[ \t\n\r]*:[ \t\n\r]*[\[{]')
_EXPECTED = ('"vocab', '"merges')
_REPETITION = re.compile(r"\{(\d+)(?:,(\d*))?\}")
# The model's bound as it is always written, and any letter written as an escape, as it never is.
_WORD_LENGTH = re.compile(r'"max_input_chars_per_word"[ \t\n\r]*:[ \t\n\r]*(\d+)')
_LETTER_ESCAPED = re.compile(r"\\u00[4-7]")
_TEXT_GROWS = ("normalizer", "pre_tokenizer")
_NO_STEPS = frozenset({"pair", "pattern", "single", "special_tokens"})
_MAY_BE_EMPTY = re.compile(r"[*?|^$]|\{0|\\[bBAzZG]")


def read_tokenizer_json(files: FileSet, name: str, more_tokens: Collection[str] = ()) -> bytes:
    """Read tokenizer.json for the engine.

    Args:
        files: where it is.
        name: what it is called there.
        more_tokens: tokens that other files add and that are normalized too.

    Raises:
        UnsafeFile: it would exhaust the machine; says what is too much.
        CorruptFile: it is not UTF-8, not JSON, or not an object.

    """
    text = read_text(files, name)
    try:
        check_tokenizer_json(text, more_tokens)
    except (UnsafeFile, CorruptFile) as error:
        raise type(error)(f"{files.describe(name)}: {error.message}", filename=name) from None
    return text.encode("utf-8")


def check_tokenizer_json(text: str, more_tokens: Collection[str] = ()) -> None:
    """Bound everything in the text of a tokenizer.json that the engine takes on trust.

    Args:
        text: the file's.
        more_tokens: tokens that other files add and that are normalized too.

    Raises:
        UnsafeFile: something is beyond its bound.
        CorruptFile: it is not JSON, or not an object.

    """
    nested = text.count("[") + text.count("{")
    if nested > _MAX_NESTED:
        raise UnsafeFile(f"{nested} lists and objects are more than {_MAX_NESTED}")
    try:
        growth = dict.fromkeys(_TEXT_GROWS, 1.0)
        steps, texts = list[Mapping[str, Any]](), list(more_tokens)
        for key, value in _small_parts(text):
            longer = _check_part(key, value)
            growth[key] = max(growth.get(key, 1.0), longer)
            if key == "normalizer":
                steps += _steps(key, value)
            elif key == "added_tokens":
                texts += _normalized_texts(value)
        _check_growth(" and ".join(_TEXT_GROWS), math.prod(map(growth.__getitem__, _TEXT_GROWS)))
        patterns = [_pattern_text(step["pattern"]) for step in steps if _is_regex(step)]
        check_normalizing(texts, patterns, len(steps), growth["normalizer"])
    except RecursionError:
        raise CorruptFile("it is nested too deeply") from None
    except ValueError as error:
        if isinstance(error, (UnsafeFile, CorruptFile)):
            raise
        raise CorruptFile(f"it is not JSON: {error}") from None


def _small_parts(text: str) -> Iterator[tuple[str, Any]]:
    """Give every key and value of the outermost object.

    ``model``, which is usually the last, is left out where nothing in it can be beyond a bound.
    """
    decoder = json.JSONDecoder()
    parts, may_skip = 0, True
    position = _blank(text, 0)
    if text[position : position + 1] != "{":
        raise CorruptFile("it does not hold an object")
    position = _blank(text, position + 1)
    while text[position : position + 1] != "}":
        parts += 1
        if parts > _MAX_PARTS:
            raise UnsafeFile(f"it has more than {_MAX_PARTS} parts")
        key, position = decoder.raw_decode(text, position)
        position = _blank(text, position)
        if not isinstance(key, str) or text[position : position + 1] != ":":
            raise json.JSONDecodeError("expected a key and a colon", text, position)
        position = _blank(text, position + 1)
        if key == "model" and may_skip:
            may_skip = False  # looking ahead goes to the end of the file, so it is done once
            if _has_short_words(text, position) and _is_last(text, position):
                return
        value, position = decoder.raw_decode(text, position)
        yield key, value
        position = _blank(text, position)
        if text[position : position + 1] == ",":
            position = _blank(text, position + 1)
        elif text[position : position + 1] != "}":
            raise json.JSONDecodeError("expected a comma or the end", text, position)


def _blank(text: str, position: int) -> int:
    found = _BLANK.match(text, position)
    return position if found is None else found.end()


def _is_last(text: str, position: int) -> bool:
    """Whether no part that has to be checked can follow: no key but the vocabulary's nests."""
    return all(
        text.endswith(_EXPECTED, 0, found.start()) or text[found.start() - 1] == "\\"
        for found in _NESTED.finditer(text, position)
    )


def _has_short_words(text: str, position: int) -> bool:
    """Whether it can be seen without decoding that no word's bound is beyond ours."""
    return _LETTER_ESCAPED.search(text, position) is None and all(
        len(found[1]) <= len(str(_MAX_WORD)) and int(found[1]) <= _MAX_WORD
        for found in _WORD_LENGTH.finditer(text, position)
    )


def _check_part(key: str, value: Any) -> float:
    """Check one part; returns how many times longer it can make a text."""
    if key in {"padding", "truncation"}:
        _check_lengths(key, value)
    elif key == "added_tokens":
        tokens = value if isinstance(value, list) else []
        check_added_tokens(
            [str(token.get("content")) if isinstance(token, dict) else "" for token in tokens]
        )
    elif key == "model":
        _check_model(value)
    elif key in {"normalizer", "pre_tokenizer", "post_processor", "decoder"}:
        return _check_steps(key, value)
    return 1


def _check_model(value: Any) -> None:
    longest = value.get("max_input_chars_per_word") if isinstance(value, dict) else None
    if isinstance(longest, int) and longest > _MAX_WORD:
        raise UnsafeFile(f"model: max_input_chars_per_word={longest} is more than {_MAX_WORD}")


def _check_lengths(key: str, value: Any) -> None:
    for name, number in _numbers(value):
        if number > _MAX_LENGTH:
            raise UnsafeFile(f"{key}: {name}={number} is more than {_MAX_LENGTH}")


def _numbers(value: Any) -> Iterator[tuple[str, int]]:
    if isinstance(value, dict):
        for name, item in value.items():
            if isinstance(item, int):
                yield name, item
            else:
                yield from _numbers(item)


def check_added_tokens(texts: Collection[str]) -> None:
    """Bound the tokens that a file adds to the vocabulary.

    Raises:
        UnsafeFile: they are too many, or too long together.

    """
    if len(texts) > _MAX_ADDED_TOKENS:
        raise UnsafeFile(f"added_tokens: {len(texts)} are more than {_MAX_ADDED_TOKENS}")
    size = sum(map(len, texts))
    if size > _MAX_ADDED_TEXT:
        raise UnsafeFile(f"added_tokens: {size} characters are more than {_MAX_ADDED_TEXT}")


def _normalized_texts(value: Any) -> Iterator[str]:
    for token in value if isinstance(value, list) else ():
        if isinstance(token, dict) and token.get("normalized") is not False:
            yield str(token.get("content"))


def _is_regex(step: Mapping[str, Any]) -> bool:
    pattern = step.get("pattern")
    return isinstance(pattern, dict) and "Regex" in pattern


def _check_steps(key: str, value: Any) -> float:
    steps = list(_steps(key, value))
    if len(steps) > _MAX_STEPS:
        raise UnsafeFile(f"{key}: {len(steps)} steps are more than {_MAX_STEPS}")
    growth = 1.0
    for step in steps:
        check_pattern(key, step.get("pattern"))
        _check_charsmap(key, step.get("precompiled_charsmap"))
        _check_template(key, step)
        growth *= _growth(step)
    _check_growth(key, growth)
    return growth


def _check_growth(what: str, growth: float) -> None:
    if growth > _MAX_GROWTH:
        raise UnsafeFile(
            f"{what}: its steps can make a text {growth:.0f} times longer, "
            f"more than {_MAX_GROWTH} times"
        )


def _steps(key: str, value: Any) -> Iterator[Mapping[str, Any]]:
    """Give every object, the members of sequences included.

    What a step does is told by its keys: the engine guesses the type where none is written. An
    object written as a list of its values, which no writer makes, is refused.
    """
    if isinstance(value, dict):
        yield value
        for name, item in value.items():
            if name in _NO_STEPS or not isinstance(item, (dict, list)):
                continue
            for member in item if isinstance(item, list) else [item]:
                yield from _steps(key, member)
    elif isinstance(value, list):
        raise UnsafeFile(f"{key}: a step is written as a list")


def check_pattern(key: str, pattern: Any) -> None:
    """Bound a pattern: its length, and what it counts.

    Raises:
        UnsafeFile: it is beyond its bound.

    """
    text = _pattern_text(pattern)
    if len(text) > _MAX_PATTERN:
        raise UnsafeFile(f"{key}: a pattern of {len(text)} characters, more than {_MAX_PATTERN}")
    repetition = 1
    for low, high in _REPETITION.findall(text):
        repetition *= max(int(low), int(high or 0), 1)
    if repetition > _MAX_REPETITION:
        raise UnsafeFile(f"{key}: a pattern that repeats more than {_MAX_REPETITION} times")


def _pattern_text(pattern: Any) -> str:
    if isinstance(pattern, dict):
        pattern = pattern.get("Regex", pattern.get("String"))
    return pattern if isinstance(pattern, str) else ""


def _growth(step: Mapping[str, Any]) -> float:
    """How many times longer ``step`` can make a text."""
    content = step.get("content")
    if "pattern" not in step or not isinstance(content, str):
        prepended = step.get("prepend")
        if isinstance(prepended, str) and len(prepended) > _MAX_REPLACEMENT:
            return _MAX_GROWTH + 1
        return 2 if step.get("type") == "ByteLevel" or "use_regex" in step else 1
    pattern, text = step.get("pattern"), _pattern_text(step.get("pattern"))
    if isinstance(pattern, dict) and "Regex" not in pattern:
        return max(1, len(content) / len(text)) if text else 1 + len(content)
    empty = not text or _MAY_BE_EMPTY.search(text) is not None
    return (1 if empty and content else 0) + max(1, len(content))


def _check_charsmap(key: str, encoded: Any) -> None:
    if not isinstance(encoded, str):
        return
    import base64

    try:
        raw = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise CorruptFile(f"{key}: precompiled_charsmap is not base64") from None
    if not raw:
        return
    try:
        check_charsmap(raw)
    except (CorruptFile, UnsafeFile) as error:
        raise type(error)(f"{key}: {error.message}") from None


def _check_template(key: str, step: Mapping[str, Any]) -> None:
    longest = max(_list_lengths(step.get("special_tokens")), default=1)
    for name in ("single", "pair"):
        pieces = step.get(name)
        if not isinstance(pieces, list):
            continue
        if len(pieces) * max(longest, 1) > _MAX_TEMPLATE:
            raise UnsafeFile(
                f"{key}: {name} has {len(pieces)} pieces of up to {longest} tokens, more than "
                f"{_MAX_TEMPLATE} together"
            )
        texts = [_text_of_piece(piece) for piece in pieces if _is_text(piece)]
        if len(texts) != len(set(texts)):
            raise UnsafeFile(f"{key}: {name} holds one text more than once")


def _is_text(piece: Any) -> bool:
    return not isinstance(piece, dict) or "Sequence" in piece


def _text_of_piece(piece: Any) -> str:
    """Give the letter of the text that stands in the piece's place, "A" where it is not told."""
    named = piece["Sequence"] if isinstance(piece, dict) else None
    return "B" if isinstance(named, dict) and named.get("id") == "B" else "A"


def _list_lengths(value: Any) -> Iterator[int]:
    if isinstance(value, (dict, list)):
        if isinstance(value, list):
            yield len(value)
            if len(value) > _MAX_TEMPLATE:
                return
        for item in value.values() if isinstance(value, dict) else value:
            yield from _list_lengths(item)
