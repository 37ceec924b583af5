"""Init arguments that decide what stands around a text, as attributes that may be set later.

``add_bos_token`` and ``add_eos_token`` of LLaMA and Gemma, ``src_lang`` and ``tgt_lang`` of mBART.
A class lists them as ``framed_by``; its family's ``frame`` carries them out.

Source: transformers 4.57.6 ``LlamaTokenizerFast.update_post_processor`` and
``MBartTokenizerFast.set_src_lang_special_tokens``.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

from hubloader.tokenizers.calling import Calling
from hubloader.tokenizers.classes import family_named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from hubloader.tokenizers.classes import FramingFamily

__all__ = ["Framing"]

_TARGET = "tgt_lang"


class Framing(Calling):
    """What stands around texts, and around targets.

    A class's other init arguments, such as ``do_lower_case``, are attributes too, to be read.
    """

    def __getattr__(self, name: str) -> Any:
        if name in self.kind.framed_by or name in self.kind.options:
            return self.init_kwargs.get(name)
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.kind.framed_by and "_engine" in self.__dict__:
            settings = self._settled({**self.init_kwargs, name: value})
            part = self._part(settings)  # before anything is changed
            self._engine.replace_part("post_processor", part)
            self.init_kwargs = settings
        elif name == _TARGET and name in self.kind.options:
            self.init_kwargs = self._settled({**self.init_kwargs, name: value})
        else:
            super().__setattr__(name, value)

    def _frame_texts(self) -> None:
        """Put around texts what the class does, now that every token is in the engine."""
        if hasattr(family_named(self.kind.family), "frame"):
            part = self._part(self.init_kwargs)
            if part is not None:
                self._engine.replace_part("post_processor", part)

    def _part(self, settings: Mapping[str, Any], *, target: bool = False) -> Any:
        family = cast("FramingFamily", family_named(self.kind.family))
        merged = {**settings, **self._roles}
        return family.frame(self._engine.backend, self.kind, merged, target=target)

    def _settled(self, settings: dict[str, Any]) -> dict[str, Any]:
        family = family_named(self.kind.family)
        if not hasattr(family, "settle"):
            return settings
        settled: dict[str, Any] = family.settle(self.kind, settings)
        return settled

    def _for_targets(self) -> Self:
        """Give the tokenizer that frames targets: of translation models, in their language."""
        if _TARGET not in self.kind.options:
            return self
        language = self.init_kwargs.get(_TARGET)
        if not isinstance(language, str):
            raise TypeError(  # as transformers does
                "text_target needs a language: give tgt_lang to from_pretrained"
            )
        part = self._part({**self.init_kwargs, "src_lang": language}, target=True)
        made = copy.copy(self)
        made._engine = self._engine.with_part("post_processor", part)  # noqa: SLF001 - a copy of this
        return made
