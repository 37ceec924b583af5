"""XLM-RoBERTa (Conneau et al., 2019): RoBERTa on a hundred languages."""

from __future__ import annotations

from hubloader.architectures import roberta

ARCHITECTURE = roberta.ARCHITECTURE.renamed("xlm-roberta", "XLMRoberta")
