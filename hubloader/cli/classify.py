"""``hubloader classify``: what a text classifier says of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hubloader.cli._options import SharedCommand
from hubloader.cli._report import emit
from hubloader.cli._text import table

if TYPE_CHECKING:
    from hubloader.auto.pipeline_texts import TextClassificationPipeline

_NO_LIMIT = 10**20  # a model_max_length above this means that nobody set one
_WORDS = {"np": "np", "pt": "pt", "tf": "tf", "numpy": "np", "torch": "pt", "tensorflow": "tf"}


@click.command(cls=SharedCommand, short_help="Show what a classifier says of a text.")
@click.argument("name", metavar="NAME[@REV]")
@click.argument("texts", metavar="TEXT…", nargs=-1, required=True)
@click.option(
    "--framework",
    "--backend",
    type=click.Choice(list(_WORDS)),
    default="np",
    show_default=True,
    help="What to compute with: np is numpy, pt PyTorch, tf TensorFlow.",
)
@click.pass_context
def command(context: click.Context, name: str, texts: tuple[str, ...], framework: str) -> None:
    """Show the label and score that a text classifier gives each text.

    It runs on numpy unless told otherwise: no framework is needed, and none has to start. NAME may
    be a folder. A text that is longer than the model's window is cut off at its end.
    """
    from hubloader.auto.pipeline import pipeline

    word = _WORDS[framework]
    classifier = pipeline("text-classification", model=name, framework=word)
    results = [
        {"text": text, "label": answer["label"], "score": float(answer["score"])}
        for text, answer in zip(texts, classifier(list(texts), **_window(classifier)), strict=True)
    ]
    rows = [(each["label"], f"{each['score']:.4f}", each["text"]) for each in results]
    emit(context, {"name": name, "framework": word, "results": results}, table(rows))


def _window(classifier: TextClassificationPipeline) -> dict[str, Any]:
    """How texts are cut to what the model reads: as the tokenizer says, else the config."""
    positions = getattr(classifier.model.config, "max_position_embeddings", None)
    if classifier.tokenizer.model_max_length <= _NO_LIMIT or not positions:
        return {"truncation": True}
    # RoBERTa's family counts its positions from 2
    return {"truncation": True, "max_length": positions - 2}
