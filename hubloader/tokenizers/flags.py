"""Init arguments that reach into a tokenizer.json, which is otherwise run as it is.

Source: transformers 4.57.6: ``BertTokenizerFast.__init__`` sets three flags of the normalizer, and
``PreTrainedTokenizerFast.__init__`` and ``RobertaTokenizerFast.__init__`` set ``add_prefix_space``
and ``trim_offsets``. The latter two are set here only where a file or an argument names them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tokenizers import normalizers, processors

if TYPE_CHECKING:
    from collections.abc import Mapping

    import tokenizers

    from hubloader.tokenizers.classes import TokenizerClass

__all__ = ["apply_flags"]

_BERT_FLAGS = {
    "lowercase": "do_lower_case",
    "strip_accents": "strip_accents",
    "handle_chinese_chars": "tokenize_chinese_chars",
}


def apply_flags(
    backend: tokenizers.Tokenizer,
    kind: TokenizerClass,
    settings: Mapping[str, Any],
    named: Mapping[str, Any],
) -> None:
    """Set what the init arguments say of the engine's parts.

    Args:
        backend: the engine, changed in place; nobody else has it yet.
        kind: the class: which flags it has.
        settings: init arguments, the class's defaults included.
        named: those of them that a file or an argument names.

    """
    if kind.bert_flags:
        _set_bert_flags(backend, settings)
    if "add_prefix_space" in named:
        prefix = bool(named["add_prefix_space"])
        for part in (backend.pre_tokenizer, _roberta_processor(backend)):
            if hasattr(part, "add_prefix_space"):
                part.add_prefix_space = prefix
    if "trim_offsets" in named:
        part = _roberta_processor(backend)
        if part is not None:
            part.trim_offsets = bool(named["trim_offsets"])


def _set_bert_flags(backend: tokenizers.Tokenizer, settings: Mapping[str, Any]) -> None:
    normalizer = backend.normalizer
    if not isinstance(normalizer, normalizers.BertNormalizer):
        return
    state = json.loads(normalizer.__getstate__())
    del state["type"]
    wanted = {**state, **{flag: settings[name] for flag, name in _BERT_FLAGS.items()}}
    if wanted != state:
        backend.normalizer = normalizers.BertNormalizer(**wanted)


def _roberta_processor(backend: tokenizers.Tokenizer) -> Any:
    part = backend.post_processor
    return part if isinstance(part, processors.RobertaProcessing) else None
