"""Init arguments that decide what stands around a text, as attributes that may be set later.

``add_bos_token`` and ``add_eos_token`` of LLaMA and Gemma, ``src_lang`` and ``tgt_lang`` of mBART.
A class lists them as ``framed_by``; its family's ``frame`` carries them out.

Source: transformers 4.57.6 ``LlamaTokenizerFast.update_post_processor`` and
``MBartTokenizerFast.set_src_lang_special_tokens``.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

import tokenizers

from hubloader.tokenizers.calling import Calling
from hubloader.tokenizers.classes import family_named
from hubloader.tokenizers.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from hubloader.tokenizers.classes import FramingFamily

__all__ = ["Framing"]

_TARGET = "tgt_lang"


class Framing(Calling):
    """What stands around texts, and around targets."""

    def __getattr__(self, name: str) -> Any:
        if name in self.kind.framed_by or (name == _TARGET and name in self.kind.options):
            return self.init_kwargs.get(name)
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.kind.framed_by and "_engine" in self.__dict__:
            settings = {**self.init_kwargs, name: value}
            part = self._reframed(settings).post_processor  # before anything is changed
            self._engine.replace_part("post_processor", part)
            self.init_kwargs = settings
        elif name == _TARGET and name in self.kind.options:
            self.init_kwargs = {**self.init_kwargs, name: value}
        else:
            super().__setattr__(name, value)

    def _reframed(self, settings: Mapping[str, Any]) -> tokenizers.Tokenizer:
        """Make a copy of the engine with another frame."""
        engine = tokenizers.Tokenizer.from_str(self._engine.backend.to_str())
        family = cast("FramingFamily", family_named(self.kind.family))
        family.frame(engine, self.kind, {**self.special_tokens_map, **settings})
        return engine

    def _for_targets(self) -> Self:
        """Give the tokenizer that frames targets: of translation models, in their language."""
        if _TARGET not in self.kind.options:
            return self
        language = self.init_kwargs.get(_TARGET)
        if not isinstance(language, str):
            raise TypeError(  # as transformers does
                "text_target needs a language: give tgt_lang to from_pretrained"
            )
        made = copy.copy(self)
        made._engine = Engine(  # noqa: SLF001 - another of the same class
            self._reframed({**self.init_kwargs, "src_lang": language})
        )
        return made
