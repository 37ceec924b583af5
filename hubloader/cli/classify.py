"""``hubloader classify``: what a text classifier says of a text."""

from __future__ import annotations

import click

from hubloader.cli._options import SharedCommand
from hubloader.cli._report import emit
from hubloader.cli._text import table

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
    be a folder.
    """
    from hubloader.auto.pipeline import pipeline

    word = _WORDS[framework]
    classifier = pipeline("text-classification", model=name, framework=word)
    results = [
        {"text": text, "label": answer["label"], "score": float(answer["score"])}
        for text, answer in zip(texts, classifier(list(texts)), strict=True)
    ]
    rows = [(each["label"], f"{each['score']:.4f}", each["text"]) for each in results]
    emit(context, {"name": name, "framework": word, "results": results}, table(rows))
