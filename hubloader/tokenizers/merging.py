"""Merges are worked out where a vocabulary lists none: whatever two tokens join to a third.

A vocabulary made for it has as many merges as it has letters, and each copies both its halves. So
all of it is bounded before anything is worked out; the numbers are some twice what the
largest published vocabulary (256,000 tokens, 600,000 merges) has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from hubloader.errors import UnsafeFile

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["check_merges", "check_tokens", "splits_of"]

MAX_TOKENS = 1 << 19
MAX_SPLITS = 1 << 22  # places at which all tokens can be cut: each is looked up
MAX_COPIED = 1 << 26  # letters of both halves at all of those places
MAX_MERGES = 1 << 20

_Text = TypeVar("_Text", str, bytes)


def check_tokens(tokens: Collection[str] | Collection[bytes]) -> None:
    """Bound the work that tokens can be.

    Raises:
        UnsafeFile: it is too much.

    """
    if len(tokens) > MAX_TOKENS:
        raise UnsafeFile(
            f"it has {len(tokens)} tokens: more than {MAX_TOKENS} are too many to work out merges"
        )
    splits = copied = 0
    for length in map(len, tokens):
        splits += length
        copied += length * length
    if splits > MAX_SPLITS:
        raise UnsafeFile(f"its tokens have {splits} characters, more than {MAX_SPLITS}")
    if copied > MAX_COPIED:
        raise UnsafeFile(
            f"its tokens are so long that merging them would copy {copied} characters, more than "
            f"{MAX_COPIED}"
        )


def check_merges(count: int) -> None:
    """Bound the merges that were found so far.

    Raises:
        UnsafeFile: they are too many.

    """
    if count > MAX_MERGES:
        raise UnsafeFile(f"its tokens can be merged in more than {MAX_MERGES} ways")


def splits_of(text: _Text, own: Mapping[_Text, _Text]) -> list[tuple[_Text, _Text]]:
    """Give every two tokens that join to ``text``.

    Args:
        text: a token.
        own: each token by itself: what is given are these very objects, not copies.

    """
    found: list[tuple[_Text, _Text]] = []
    for cut in range(1, len(text)):
        left = own.get(text[:cut])
        if left is not None:
            right = own.get(text[cut:])
            if right is not None:
                found.append((left, right))
    return found
