"""What stands around texts, as the engine's template, looked up once every token is there.

Source: transformers 4.57.6 ``convert_slow_tokenizer.py``: a token that the vocabulary lacks has the
id of the unknown one there, and so here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenizers import processors

from hubloader import notices
from hubloader.errors import CorruptFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import tokenizers

__all__ = ["framing_id", "template"]

_TEXTS = ("$A", "$B")


def template(
    engine: tokenizers.Tokenizer,
    single: Sequence[str],
    pair: Sequence[str],
    *,
    unknown: Any = None,
    named: Sequence[str] = (),
    where: str = "",
) -> Any:
    """Make the engine's part that puts special tokens around texts.

    Args:
        engine: where the tokens' ids are looked up; it is not changed.
        single: what a text becomes: ``$A`` and tokens, in order, each with ``:`` and a type id
            after it unless that is 0.
        pair: what two texts become: ``$B`` is the second.
        unknown: the token that stands in for one that the vocabulary lacks; None for none.
        named: tokens that the template names and does not use.
        where: the file to name in an error.

    Raises:
        CorruptFile: a token is not in the vocabulary, nor is the unknown one.

    """
    pieces = [_split(piece) for piece in (*single, *pair)]
    tokens = dict.fromkeys(name for name, _ in pieces if name not in _TEXTS)
    names = {token: _plain_name(token, place) for place, token in enumerate((*tokens, *named))}
    return processors.TemplateProcessing(
        single=[_joined(piece, names) for piece in single],
        pair=[_joined(piece, names) for piece in pair],
        special_tokens=[
            {
                "id": name,
                "ids": [framing_id(engine, token, unknown=unknown, where=where)],
                "tokens": [token],
            }
            for token, name in names.items()
        ],
    )


def framing_id(
    engine: tokenizers.Tokenizer, token: str, *, unknown: Any = None, where: str = ""
) -> int:
    """Look up a token that every text is framed with.

    Raises:
        CorruptFile: the vocabulary lacks it, and the unknown token.

    """
    index: int | None = engine.token_to_id(token)
    if index is None and unknown is not None:
        index = engine.token_to_id(str(unknown))
        if index is not None:
            notices.warn(
                f"the vocabulary has no {token}, which is put around every text: "
                f"{unknown} stands there"
            )
    if index is None:
        raise CorruptFile(
            f"{where or 'the vocabulary'} has no {token}, which is put around every text",
            hint="name the special tokens in tokenizer_config.json, or check the file",
            filename=where or None,
        )
    return index


def _split(piece: str) -> tuple[str, str]:
    """Take the type id off a piece."""
    name, colon, kind = piece.rpartition(":")
    return (name, kind) if colon and name and kind.isdecimal() else (piece, "0")


def _plain_name(token: str, place: int) -> str:
    """Give the token's name in the template, which has its own meaning of ``$`` and ``:``."""
    return f"special_{place}" if ":" in token or token.startswith("$") else token


def _joined(piece: str, names: Mapping[str, str]) -> str:
    name, kind = _split(piece)
    return f"{names.get(name, name)}:{kind}"
