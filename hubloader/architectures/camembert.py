"""CamemBERT (Martin et al., 2019): RoBERTa on French."""

from __future__ import annotations

from hubloader.architectures import roberta

ARCHITECTURE = roberta.ARCHITECTURE.renamed("camembert", "Camembert")
