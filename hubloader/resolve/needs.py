"""Which files of a commit a purpose needs: decided from names alone.

======================  ==========================================================================
wanted for              files
======================  ==========================================================================
``config``              config.json
``tokenizer``           config.json (it names the family), the tokenizer's own JSON and templates,
                        and tokenizer.json; where there is none, the legacy vocabulary files
``torch``, ``numpy``    config.json and one format of weights: safetensors, .bin, .h5, .msgpack
``tf``                  config.json and one format of weights: safetensors, .h5, .bin, .msgpack
``all``, or nothing     every file
patterns, exact names   those files, beside what the uses want
======================  ==========================================================================

Of formats, the first that is there. Several uses share one, the first one's choice: each reads all
four. A format is one file, or an index and its shards; ``variant="fp16"`` chooses the names that
transformers gives that variant. The manifest answers what is absent, so nobody has to ask the Hub
for a file that is not there: ``Needs.absent`` are the names a loader would look for in vain.

Source: transformers 5.23 ``utils/__init__.py`` (weight names), ``modeling_utils._add_variant``,
``tokenization_utils_base.py``; huggingface_hub 2.4 ``utils/_paths.py`` (patterns).
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from hubloader.types import Manifest, Purpose

__all__ = ["CONFIG", "Needs", "candidates", "matches", "needs", "weight_formats"]

CONFIG = "config.json"
_TOKENIZER_JSON = "tokenizer.json"
# What fast_tokenizer_files of tokenizer_config.json chooses from, by the reader's version.
_VERSIONED_TOKENIZER = re.compile(r"tokenizer\.\d+(?:\.\d+)*\.json")
_TOKENIZER_SETTINGS = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)
_LEGACY_VOCABULARY = (
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "tokenizer.model",
    "spm.model",
    "vocab.model",
    "source.spm",
    "target.spm",
    "bpe.codes",
    "dict.txt",
    "tekken.json",
    "tiktoken.model",
)
_MORE_TEMPLATES = "additional_chat_templates/"
_ADAPTER = "adapter_config.json"  # transformers asks for it before any weights

_SAFETENSORS, _PICKLE = "model.safetensors", "pytorch_model.bin"
_H5, _FLAX = "tf_model.h5", "flax_model.msgpack"
_FORMATS = {
    "torch": (_SAFETENSORS, _PICKLE, _H5, _FLAX),
    "tf": (_SAFETENSORS, _H5, _PICKLE, _FLAX),
    "numpy": (_SAFETENSORS, _PICKLE, _H5, _FLAX),
}


@dataclass(frozen=True)
class Needs:
    """What a purpose needs of a commit; names are those of the repository.

    Args:
        wanted: the files to bring, sorted.
        absent: names a loader looks for that the commit does not have, sorted.
        missing: what the purpose cannot do without and the commit does not have, in words for a
            message: exact names, or "weights …".
        indexes: shard indexes whose shards cannot be told from names; their content must be read.

    """

    wanted: tuple[str, ...]
    absent: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()


@dataclass(frozen=True)
class WeightFormat:
    """The names one format of weights can have: one file, or an index with numbered shards."""

    single: str
    index: str
    shard: re.Pattern[str]

    @property
    def suffix(self) -> str:
        """The format's name in ``Purpose.formats``: safetensors, bin, h5, msgpack."""
        return self.single.rpartition(".")[2]

    @property
    def is_safetensors(self) -> bool:
        """Whether it is the format that is preferred, and that ``use_safetensors`` is about."""
        return self.single.endswith(".safetensors")


def weight_formats(
    use: str, variant: str | None = None, use_safetensors: bool | None = None
) -> tuple[WeightFormat, ...]:
    """List the formats that ``use`` (torch, tf, numpy) reads, the preferred one first.

    ``use_safetensors`` True leaves only safetensors, False leaves it out.
    """
    formats = (_format(name, variant) for name in _FORMATS[use])
    return tuple(
        form
        for form in formats
        if use_safetensors is None or form.is_safetensors == use_safetensors
    )


def _format(name: str, variant: str | None) -> WeightFormat:
    stem, suffix = name.rsplit(".", 1)
    infix = f".{variant}" if variant else ""
    shard = re.compile(
        re.escape(f"{stem}{infix}") + r"-(\d{5,6})-of-(\d{5,6})" + re.escape(f".{suffix}")
    )
    return WeightFormat(f"{stem}{infix}.{suffix}", f"{name}.index{infix}.json", shard)


def needs(manifest: Manifest, purpose: Purpose) -> Needs:
    """Choose the files of ``manifest`` that ``purpose`` needs."""
    prefix = f"{purpose.subfolder}/" if purpose.subfolder else ""
    here = manifest.names(purpose.subfolder)
    wanted: set[str] = set()
    looked_for: set[str] = set()
    missing: list[str] = []
    indexes: list[str] = []
    if "all" in purpose.uses or not (purpose.uses or purpose.exact or purpose.include):
        wanted |= here
    if purpose.uses & {"config", "tokenizer", "torch", "tf", "numpy"}:
        looked_for.add(CONFIG)
    if "tokenizer" in purpose.uses:
        wanted |= {name for name in here if _is_extra_template(name)}
        wanted |= {name for name in here if _VERSIONED_TOKENIZER.fullmatch(name)}
        looked_for |= set(_tokenizer_names(here))
    if purpose.uses & _FORMATS.keys():
        chosen = _choose_weights(here, purpose)
        wanted |= set(chosen.wanted)
        looked_for |= {_ADAPTER, *chosen.absent}
        missing += chosen.missing
        indexes += chosen.indexes
    wanted |= looked_for & here
    missing += [prefix + name for name in purpose.exact if name not in here]
    named = {prefix + name for name in wanted}
    kept = _apply_patterns(named, {prefix + name for name in here}, purpose)
    kept |= {prefix + name for name in purpose.exact if name in here}
    return Needs(
        wanted=tuple(sorted(kept)),
        absent=tuple(sorted(prefix + name for name in looked_for - here)),
        missing=tuple(dict.fromkeys(missing)),
        indexes=tuple(dict.fromkeys(prefix + name for name in indexes)),
    )


def _tokenizer_names(here: Collection[str]) -> Iterator[str]:
    yield from _TOKENIZER_SETTINGS
    yield _TOKENIZER_JSON
    if _TOKENIZER_JSON not in here:
        yield from (name for name in _LEGACY_VOCABULARY if name in here)
        yield from (name for name in here if _is_tiktoken(name))


def _is_tiktoken(name: str) -> bool:
    """Whether it is a vocabulary that has a name of its own: ``qwen.tiktoken``."""
    return name.endswith(".tiktoken") and "/" not in name


def _is_extra_template(name: str) -> bool:
    return name.startswith(_MORE_TEMPLATES) and name.endswith(".jinja")


def _formats_for(purpose: Purpose) -> tuple[WeightFormat, ...]:
    """One order for all uses together, the first one's: each reads every format, none needs two."""
    first = next(use for use in _FORMATS if use in purpose.uses)
    found = weight_formats(first, purpose.variant, purpose.use_safetensors)
    if purpose.formats is None:
        return found
    chosen = [form for form in found if form.suffix in purpose.formats]
    return tuple(sorted(chosen, key=lambda form: (purpose.formats or ()).index(form.suffix)))


def _choose_weights(here: Collection[str], purpose: Purpose) -> Needs:
    tried: list[str] = []
    for form in _formats_for(purpose):
        if form.single in here:
            return Needs((form.single,), absent=tuple(tried))
        tried.append(form.single)
        if form.index in here:
            shards = _shards_by_name(here, form)
            unnamed = () if shards else (form.index,)
            return Needs((form.index, *shards), absent=tuple(tried), indexes=unnamed)
        tried.append(form.index)
    kinds = {None: "", True: " in safetensors", False: " outside safetensors"}
    variant = f" of the variant {purpose.variant!r}" if purpose.variant else ""
    uses = " and ".join(use for use in _FORMATS if use in purpose.uses)
    return Needs((), missing=(f"weights{variant} for {uses}{kinds[purpose.use_safetensors]}",))


def _shards_by_name(here: Iterable[str], form: WeightFormat) -> tuple[str, ...]:
    """The numbered shards, when they are one whole set; else nothing, and the index decides."""
    found = [match for name in here if (match := form.shard.fullmatch(name))]
    totals = {int(match[2]) for match in found}
    if len(totals) != 1:
        return ()
    numbers = sorted(int(match[1]) for match in found)
    whole = numbers == list(range(1, totals.pop() + 1))
    return tuple(sorted(match[0] for match in found)) if whole else ()


def _apply_patterns(wanted: set[str], here: set[str], purpose: Purpose) -> set[str]:
    if purpose.include is not None:
        added = {name for name in here if matches(name, purpose.include)}
        wanted = wanted | added if purpose.uses - {"all"} else added
    if purpose.exclude is not None:
        wanted = {name for name in wanted if not matches(name, purpose.exclude)}
    return wanted


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name fits one of huggingface_hub's patterns.

    ``*`` crosses slashes, case counts, and a pattern that ends in a slash means the whole folder.
    """
    return any(
        fnmatch.fnmatchcase(name, f"{pattern}*" if pattern.endswith("/") else pattern)
        for pattern in patterns
    )


def candidates(purpose: Purpose) -> tuple[tuple[str, ...], ...]:
    """Name what has to be asked for, file by file, where an endpoint lists nothing.

    Returns:
        Groups of names as in the repository: of each, the first that is there is the one to take.

    """
    prefix = f"{purpose.subfolder}/" if purpose.subfolder else ""
    groups: list[tuple[str, ...]] = [(name,) for name in purpose.exact]
    named = [(name,) for name in purpose.include or () if not _is_pattern(name)]
    if purpose.uses & {"config", "tokenizer", "torch", "tf", "numpy"}:
        groups.append((CONFIG,))
    if "tokenizer" in purpose.uses:
        groups += [(name,) for name in (*_TOKENIZER_SETTINGS, _TOKENIZER_JSON, *_LEGACY_VOCABULARY)]
    if purpose.uses & _FORMATS.keys():
        groups.append(tuple(name for f in _formats_for(purpose) for name in (f.single, f.index)))
    inside = [tuple(prefix + name for name in group) for group in groups]
    return tuple(dict.fromkeys([*inside, *named]))


def only_listed(purpose: Purpose) -> str:
    """Say what of a purpose only a listing can tell, in words for a message; "" for nothing."""
    patterns = [name for name in purpose.include or () if _is_pattern(name)]
    if patterns:
        return f"what fits {', '.join(patterns)}"
    everything = not (purpose.uses or purpose.exact) or "all" in purpose.uses
    return "all files" if everything and purpose.include is None else ""


def _is_pattern(name: str) -> bool:
    return name.endswith("/") or any(mark in name for mark in "*?[")
