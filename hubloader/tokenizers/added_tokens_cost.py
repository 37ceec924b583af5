"""What it takes the engine to normalize added tokens, which it does before any text is read.

Each added token that is matched after normalizing goes through the whole normalizer when a
tokenizer.json is read. A few steps and a few thousand tokens are nothing; many of both, or one
pattern that tries again and again, take minutes. The work is estimated here, from above.

Source: measured with tokenizers 0.23: 2**18 tokens take 0.05 s for each step; its patterns make
200 million tries a second, and one match gives up after 10 million.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from hubloader.errors import UnsafeFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["check_normalizing"]

_MOST_CHARACTERS = 1 << 25  # normalized, about half a second
_MOST_TRIES = 1 << 27  # about half a second
_TRIES_OF_A_MATCH = 10**7
_OVERHEAD = 16  # a token costs as much as so many characters more
_PART = re.compile(
    r"""\\[gk]<          # a group once more: what that takes cannot be told
    | \\. | \[\^?\]?     # a character; the beginning of a class
    | \( | \) | \|
    | [*+] | \{\d*,?\d*\} | \?""",
    re.VERBOSE | re.DOTALL,
)
_CLASS_END = re.compile(r"(?:\\.|\[|[^\]\\\[])*\]", re.DOTALL)


def check_normalizing(
    texts: Sequence[str], patterns: Iterable[str], steps: int, grows: float
) -> None:
    """Refuse added tokens that would keep a normalizer busy for more than about a second.

    Args:
        texts: of the tokens that are normalized.
        patterns: the normalizer's regular expressions.
        steps: how many steps it has.
        grows: how many times longer it can make a text.

    Raises:
        UnsafeFile: the work is beyond the bound.

    """
    if not texts or not steps:
        return
    lengths = [math.ceil(len(text) * grows) for text in texts]
    if (sum(lengths) + _OVERHEAD * len(lengths)) * steps > _MOST_CHARACTERS:
        raise UnsafeFile(
            f"added_tokens: {len(texts)} are too many, or too long, for {steps} steps of a "
            "normalizer"
        )
    for pattern in patterns:
        count, ambiguous = _repetitions(pattern)
        if sum(_tries(length, count, ambiguous) for length in lengths) > _MOST_TRIES:
            raise UnsafeFile(
                f"normalizer: matching {pattern[:40]!r} in {len(texts)} added tokens takes too long"
            )


def _tries(length: int, repetitions: int, ambiguous: bool) -> float:
    """How often a pattern is tried in a text of ``length`` characters that it does not match."""
    if ambiguous:
        return 2.0 ** (length + 1) if length < 23 else float(_TRIES_OF_A_MATCH * length)
    each = math.pow(length, repetitions) / math.factorial(repetitions + 1)
    return min(each, _TRIES_OF_A_MATCH) * length


def _repetitions(pattern: str) -> tuple[int, bool]:
    """Count what may repeat, and tell whether a repetition or a choice is itself repeated."""
    count, position = 0, 0
    open_groups: list[bool] = []
    varies = False  # whether the group that was just closed can match in several ways
    while (found := _PART.search(pattern, position)) is not None:
        part, after_group = found[0], varies and found.start() == position
        position, varies = found.end(), False
        if part.startswith("["):
            end = _CLASS_END.match(pattern, position)
            position = position if end is None else end.end()
        elif part == "(":
            open_groups.append(False)
            position += pattern.startswith("?", position)
        elif part == ")":
            varies = bool(open_groups) and open_groups.pop()
            if open_groups and varies:
                open_groups[-1] = True
        elif part in {"\\g<", "\\k<"}:
            return count, True
        elif not part.startswith("\\"):
            if after_group and part not in {"?", "|"}:
                return count, True
            if part[0] != "{" or "," in part:  # a count that is exact can be met in one way
                count += part not in {"?", "|"}
                open_groups[-1:] = [True] * len(open_groups[-1:])
    return min(count, 8), False
