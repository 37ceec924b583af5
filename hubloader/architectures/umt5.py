"""umT5 (Chung et al., 2023): mT5, each layer of which has its own bias by distance."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hubloader.architectures import mt5
from hubloader.architectures.mt5 import MT5Config


@dataclass(frozen=True, kw_only=True)
class UMT5Config(MT5Config):
    """Source: transformers 5.23, ``configuration_umt5.py``."""

    bias_in_every_layer = True


ARCHITECTURE = replace(mt5.ARCHITECTURE.renamed("umt5", "UMT5"), config=UMT5Config)
