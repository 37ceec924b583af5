"""``hubloader classify``: what a text classifier says of a text."""

from __future__ import annotations

import click

from hubloader.cli._options import SharedCommand
from hubloader.cli._report import emit
from hubloader.cli._text import table


@click.command(cls=SharedCommand, short_help="Show what a classifier says of a text.")
@click.argument("name", metavar="NAME[@REV]")
@click.argument("texts", metavar="TEXT…", nargs=-1, required=True)
@click.pass_context
def command(context: click.Context, name: str, texts: tuple[str, ...]) -> None:
    """Show the label and score that a text classifier gives each text.

    It runs on numpy: no framework is needed. NAME may be a folder.
    """
    from hubloader.auto.pipeline import pipeline

    classifier = pipeline("text-classification", model=name, framework="np")
    results = [
        {"text": text, "label": answer["label"], "score": float(answer["score"])}
        for text, answer in zip(texts, classifier(list(texts)), strict=True)
    ]
    rows = [(each["label"], f"{each['score']:.4f}", each["text"]) for each in results]
    emit(context, {"name": name, "results": results}, table(rows))
